"""Bytes that are, or are not, a definitions document."""
import random

import pytest

from amqp091.errors import PreconditionFailed
from topology.definitions import parse, parsing


def test_an_object() -> None:
    assert parse(b'\xef\xbb\xbf {"users": []}') == {"users": []}


@pytest.mark.parametrize("nothing", [b"", b" \r\n", b"\xef\xbb\xbf"])
def test_nothing_is_an_empty_document(nothing: bytes) -> None:
    assert parse(nothing) == {}


@pytest.mark.parametrize("data", [
    b"hello", b"[]", b"5", b'"x"', b"null", b'{"a":', b'{"a": NaN}', b'{"a": 1e999}', b"\xff\xfe{}",
    b'{"a": "\\ud800"}', b'{"a": "\xff"}', b"{'a': 1}", b"\0" * 1000,
    b"{" * 1_000_000, b"[" * 1_000_000 + b"]" * 1_000_000,
])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(PreconditionFailed, match=r"^406 PRECONDITION_FAILED - not_json: "):
        parse(data)


def test_a_megabyte_of_nonsense_is_refused() -> None:
    with pytest.raises(PreconditionFailed, match="not_json"):
        parse(random.Random(1).randbytes(1 << 20))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_too_deep_is_refused(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' + opening * depth + b"0" + closing * depth + b"}"

    parse(nested(parsing.DEPTH_MAX - 1))
    for depth in (parsing.DEPTH_MAX, 500):
        with pytest.raises(PreconditionFailed, match=f"nested deeper than {parsing.DEPTH_MAX}"):
            parse(nested(depth))


def test_what_is_too_large_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "DOCUMENT_BYTES_MAX", 10)
    with pytest.raises(PreconditionFailed, match="have 11 bytes, more than 10"):
        parse(b" " * 11)
