"""Errors that carry the answer: each has its reply code and its level, a channel's or a connection's.

A handler raises one; one place per level turns it into channel.close or connection.close.
Owns the form of the reply text; knows no transport.
"""
from typing import ClassVar

from amqp091.constants import NO_METHOD, REPLY_NAMES, SHORTSTR_BYTES_MAX, MethodId

CUT_MARK = b"..."


class AMQPError(Exception):
    """What was wrong, in the words that the peer gets to read after the code's name."""

    reply_code: ClassVar[int] = 541

    def __init__(
        self, text: str, *, class_id: int = 0, method_id: int = 0, method: MethodId = NO_METHOD
    ) -> None:
        super().__init__(text)
        self.text = text
        self.class_id = class_id or method[0]
        self.method_id = method_id or method[1]

    @property
    def reply_name(self) -> str:
        return REPLY_NAMES[self.reply_code]

    def reply_text(self) -> str:
        """`CODE_NAME - explanation`, at most 255 bytes: the reply text is a short string."""
        complete = f"{self.reply_name} - {self.text}"
        encoded = complete.encode("utf-8", "surrogateescape")
        if len(encoded) <= SHORTSTR_BYTES_MAX:
            return complete
        kept = encoded[: SHORTSTR_BYTES_MAX - len(CUT_MARK)]
        # a character cut in half is left out: clients decode the text strictly
        return kept.decode("utf-8", "ignore") + CUT_MARK.decode()

    def __str__(self) -> str:
        return f"{self.reply_code} {self.reply_name} - {self.text}"


class ChannelError(AMQPError):
    """Closes the channel; on channel 0, the connection."""


class ConnectionLevelError(AMQPError):
    """Closes the connection."""


class ContentTooLarge(ChannelError):
    reply_code = 311


class NoRoute(ChannelError):
    reply_code = 312


class NoConsumers(ChannelError):
    reply_code = 313


class AccessRefused(ChannelError):
    reply_code = 403


class NotFound(ChannelError):
    reply_code = 404


class ResourceLocked(ChannelError):
    reply_code = 405


class PreconditionFailed(ChannelError):
    reply_code = 406


class ConnectionForced(ConnectionLevelError):
    reply_code = 320


class InvalidPath(ConnectionLevelError):
    reply_code = 402


class LoginRefused(ConnectionLevelError):
    """403 where there is no channel yet: the login."""

    reply_code = 403


class FrameError(ConnectionLevelError):
    reply_code = 501


class SyntaxError_(ConnectionLevelError):
    reply_code = 502


class CommandInvalid(ConnectionLevelError):
    reply_code = 503


class ChannelErrorHard(ConnectionLevelError):
    """504 CHANNEL_ERROR: a method on a channel that is not open, and the like."""

    reply_code = 504


class UnexpectedFrame(ConnectionLevelError):
    reply_code = 505


class ResourceError(ConnectionLevelError):
    reply_code = 506


class NotAllowed(ConnectionLevelError):
    reply_code = 530


class NotImplemented_(ConnectionLevelError):
    reply_code = 540


class InternalError(ConnectionLevelError):
    reply_code = 541


_BY_CODE: dict[int, type[AMQPError]] = {
    error.reply_code: error
    for error in (
        ContentTooLarge, NoRoute, NoConsumers, AccessRefused, NotFound, ResourceLocked, PreconditionFailed,
        ConnectionForced, InvalidPath, FrameError, SyntaxError_, CommandInvalid, ChannelErrorHard,
        UnexpectedFrame, ResourceError, NotAllowed, NotImplemented_, InternalError,
    )
}  # fmt: skip


def error_from_code(
    reply_code: int, text: str, *, class_id: int = 0, method_id: int = 0, method: MethodId = NO_METHOD
) -> AMQPError:
    """The error for a code and text that came from another process; an unknown code is an InternalError.

    `text` may carry the code's name already (`NOT_FOUND - no queue ...`): it is not said twice.
    """
    error = _BY_CODE.get(reply_code, InternalError)
    explanation = text.removeprefix(f"{REPLY_NAMES[error.reply_code]} - ")
    return error(explanation, class_id=class_id, method_id=method_id, method=method)
