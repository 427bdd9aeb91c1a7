"""What clients send as proof of who they are."""
import pytest

from amqp091.errors import SyntaxError_
from amqp091.tables import encode_table
from gateway.sasl import Credentials, amqplain, plain


def test_plain() -> None:
    assert plain(b"\0guest\0secret") == Credentials("guest", "secret")


@pytest.mark.parametrize("response", [b"", b"guest", b"\0guest", b"you\0guest\0secret", b"\0a\0b\0c"])
def test_a_malformed_plain_response_is_a_syntax_error(response: bytes) -> None:
    with pytest.raises(SyntaxError_):
        plain(response)


def test_amqplain_is_a_table_without_its_length() -> None:
    assert amqplain(encode_table({"LOGIN": "guest", "PASSWORD": "secret"})[4:]) == Credentials("guest", "secret")


@pytest.mark.parametrize("table", [{"LOGIN": "guest"}, {"PASSWORD": "x"}, {}, {"LOGIN": 1, "PASSWORD": 2}])
def test_amqplain_without_name_or_password_is_a_syntax_error(table: dict[str, object]) -> None:
    with pytest.raises(SyntaxError_):
        amqplain(encode_table(table)[4:])


def test_amqplain_that_is_no_table_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError_):
        amqplain(b"\xff\xff")
