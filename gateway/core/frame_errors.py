"""Faults of frames and of content, in RabbitMQ's words (which print Erlang terms).

Builds errors only; each is raised by the compiled code that found the fault.
"""
from typing import Final

from amqp091.constants import BASIC_PUBLISH, FRAME_OVERHEAD_BYTES
from amqp091.errors import FrameError, SyntaxError_, UnexpectedFrame

SNIPPET_BYTES_MAX: Final = 16


def erlang_binary(octets: bytes) -> str:
    if octets and all(0x20 <= octet < 0x7F for octet in octets):
        return f'<<"{octets.decode("ascii")}">>'
    return f"<<{','.join(map(str, octets))}>>"


def snippet(payload: bytes) -> str:
    extent = "all" if len(payload) <= SNIPPET_BYTES_MAX else f"first {SNIPPET_BYTES_MAX}"
    return f"{extent} octets = {erlang_binary(payload[:SNIPPET_BYTES_MAX])}"


def frame_too_large(frame_type: int, payload_bytes: int, frame_max: int) -> FrameError:
    reason = f"{{frame_too_large,{payload_bytes},{frame_max - FRAME_OVERHEAD_BYTES}}}"
    return FrameError(f"type {frame_type}, all octets = <<>>: {reason}")


def bad_end(frame_type: int, payload: bytes, end: int) -> FrameError:
    return FrameError(f"type {frame_type}, {snippet(payload)}: {{invalid_frame_end_marker,{end}}}")


def unknown_frame(frame_type: int, payload: bytes) -> FrameError:
    return FrameError(f"type {frame_type}, {snippet(payload)}: unknown_frame")


def unexpected_frame(frame_type: int, payload: bytes) -> UnexpectedFrame:
    """A frame that has no place on this channel, or at this time."""
    return UnexpectedFrame(f"type {frame_type}, {snippet(payload)}")


def method_expected() -> UnexpectedFrame:
    return UnexpectedFrame("expected method frame, got non method frame instead")


def header_expected() -> UnexpectedFrame:
    return UnexpectedFrame(
        f"expected content header for class {BASIC_PUBLISH[0]}, got non content header frame instead",
        method=BASIC_PUBLISH,
    )


def header_of_another_class(class_id: int) -> UnexpectedFrame:
    return UnexpectedFrame(
        f"expected content header for class {BASIC_PUBLISH[0]}, got one for class {class_id} instead",
        method=BASIC_PUBLISH,
    )


def body_expected() -> UnexpectedFrame:
    return UnexpectedFrame("expected content body, got non content body frame instead", method=BASIC_PUBLISH)


def body_too_long(declared_bytes: int, received_bytes: int) -> FrameError:
    return FrameError(
        f"content body is longer than its header says: {received_bytes} bytes instead of {declared_bytes}",
        method=BASIC_PUBLISH,
    )


def body_beyond_limit(declared_bytes: int, bytes_max: int) -> FrameError:
    return FrameError(
        f"content body of {declared_bytes} bytes is larger than the maximum of {bytes_max} bytes", method=BASIC_PUBLISH
    )


def undecodable_publish() -> SyntaxError_:
    return SyntaxError_("the method's arguments do not decode", method=BASIC_PUBLISH)


def undecodable_header() -> SyntaxError_:
    return SyntaxError_("the content header does not decode", method=BASIC_PUBLISH)
