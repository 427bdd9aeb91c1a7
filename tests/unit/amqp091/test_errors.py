"""Reply codes, levels and texts."""
import pytest
from pamqp import exceptions as pamqp_exceptions

from amqp091 import constants, errors, refusals
from amqp091.constants import QUEUE_BIND, QUEUE_DECLARE
from amqp091.errors import AMQPError, ChannelError, ConnectionLevelError, error_from_code

HARD = {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541}
SOFT = {311, 312, 313, 403, 404, 405, 406}


@pytest.mark.parametrize("code", sorted(HARD | SOFT))
def test_each_reply_code_has_an_error_of_its_level(code: int) -> None:
    error = error_from_code(code, "x")
    assert error.reply_code == code
    assert isinstance(error, ConnectionLevelError if code in HARD else ChannelError)


@pytest.mark.parametrize("code", sorted((HARD | SOFT) & set(pamqp_exceptions.CLASS_MAPPING)))
def test_names_agree_with_another_implementation(code: int) -> None:
    name = pamqp_exceptions.CLASS_MAPPING[code].name  # type: ignore[attr-defined]
    assert constants.REPLY_NAMES[code] == name.replace("-", "_")


def test_reply_text_is_the_name_and_the_explanation() -> None:
    error = errors.NotFound("no queue 'x' in vhost '/'", method=QUEUE_BIND)
    assert error.reply_text() == "NOT_FOUND - no queue 'x' in vhost '/'"
    assert (error.class_id, error.method_id) == (50, 20)
    assert str(error) == "404 NOT_FOUND - no queue 'x' in vhost '/'"


def test_class_and_method_can_be_given_apart() -> None:
    error = errors.NotFound("x", class_id=50, method_id=10)
    assert (error.class_id, error.method_id) == QUEUE_DECLARE


def test_a_long_reply_text_is_cut_at_255_bytes() -> None:
    exact = 255 - len("NOT_FOUND - ")
    assert errors.NotFound("x" * exact).reply_text() == "NOT_FOUND - " + "x" * exact
    cut = errors.NotFound("x" * (exact + 1)).reply_text()
    assert len(cut) == 255 and cut.endswith("x...")


def test_a_cut_never_splits_a_character() -> None:
    for padding in range(4):
        text = errors.NotFound("a" * padding + "\N{GRINNING FACE}" * 100).reply_text()
        assert len(text.encode()) <= 255
        assert text.endswith("\N{GRINNING FACE}...")


def test_a_name_that_is_not_utf8_can_be_cut_too() -> None:
    assert len(errors.NotFound("\udcff" * 300).reply_text().encode("utf-8", "surrogateescape")) <= 255


def test_login_refused_closes_the_connection_with_403() -> None:
    error = errors.LoginRefused("Login was refused")
    assert error.reply_code == 403 and isinstance(error, ConnectionLevelError)
    assert error.reply_text() == "ACCESS_REFUSED - Login was refused"


def test_error_from_code_does_not_say_the_name_twice() -> None:
    error = error_from_code(404, "NOT_FOUND - no queue 'q' in vhost '/'")
    assert error.reply_text() == "NOT_FOUND - no queue 'q' in vhost '/'"


def test_an_unknown_code_is_an_internal_error() -> None:
    assert error_from_code(999, "x").reply_code == 541
    assert AMQPError("x").reply_text() == "INTERNAL_ERROR - x"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refusals.missing("exchange", "e", "v"), "NOT_FOUND - no exchange 'e' in vhost 'v'"),
        (refusals.no_previously_declared_queue(), "NOT_FOUND - no previously declared queue"),
        (refusals.in_use("queue", "q", "/"), "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"),
        (refusals.not_empty("q", "/"), "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"),
        (refusals.in_exclusive_use("q", "/"), "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"),
        (
            refusals.reserved_name("queue", "amq.x"),
            "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'",
        ),
        (refusals.default_exchange(), "ACCESS_REFUSED - operation not permitted on the default exchange"),
        (
            refusals.internal_exchange("x", "/"),
            "ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/'",
        ),
        (refusals.unknown_exchange_type("z"), "PRECONDITION_FAILED - unknown exchange type 'z'"),
        (refusals.unknown_delivery_tag(7), "PRECONDITION_FAILED - unknown delivery tag 7"),
        (
            refusals.no_permission("configure", "queue", "q", "/", "u"),
            "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'",
        ),
    ],
)
def test_the_words_of_refusals(error: AMQPError, text: str) -> None:
    assert error.reply_text() == text


def test_a_locked_queue_is_explained_at_length() -> None:
    text = refusals.locked("q", "/").reply_text()
    assert text.startswith("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It ")
    assert len(text) <= 255
