"""Frames that occur per message, read back by an independent decoder."""
from typing import Any

import pytest
from pamqp import commands, frame

from amqp091 import methods, properties, renderer
from amqp091.properties import Properties

PROPERTIES = properties.encode(Properties(delivery_mode=2, headers={"k": "v"}))
SIZES = [0, 1, 4087, 4088, 4089, 8176, 8177, 100_000]


def unmarshal(wire: bytes) -> list[tuple[int, int, Any]]:
    """(size, channel, frame) of all frames."""
    frames = []
    while wire:
        consumed, channel, value = frame.unmarshal(wire)
        frames.append((consumed, channel, value))
        wire = wire[consumed:]
    return frames


def check_content(frames: list[tuple[int, int, Any]], body: bytes, frame_max: int, channel: int) -> None:
    """The frames behind the method's: header, then as few bodies as frame_max allows."""
    (header_size, _, header), *bodies = frames[1:]
    assert all(of == channel for _, of, _ in frames)
    assert header_size == 8 + 12 + len(PROPERTIES)
    assert header.body_size == len(body)
    assert header.properties.delivery_mode == 2
    assert header.properties.headers == {"k": "v"}
    assert b"".join(piece.value for _, _, piece in bodies) == body
    piece_max = (frame_max or 2**31 - 1) - 8
    assert len(bodies) == -(-len(body) // piece_max)
    assert all(size == piece_max + 8 for size, _, _ in bodies[:-1])


@pytest.mark.parametrize("frame_max", [0, 4096, 131072])
@pytest.mark.parametrize("size", SIZES)
def test_deliver(size: int, frame_max: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    wire = renderer.render_deliver(9, b"ctag", 2**63, True, b"ex", b"key", PROPERTIES, body, frame_max)
    frames = unmarshal(wire)
    deliver = frames[0][2]
    assert isinstance(deliver, commands.Basic.Deliver)
    assert wire.startswith(methods.encode(9, methods.BasicDeliver("ctag", 2**63, True, "ex", "key")))
    check_content(frames, body, frame_max, 9)


@pytest.mark.parametrize("size", SIZES)
def test_get_ok(size: int) -> None:
    body = b"x" * size
    wire = renderer.render_get_ok(65535, 7, False, b"", b"k" * 255, 2**32 - 1, PROPERTIES, body, 4096)
    assert wire.startswith(methods.encode(65535, methods.BasicGetOk(7, False, "", "k" * 255, 2**32 - 1)))
    check_content(unmarshal(wire), body, 4096, 65535)


@pytest.mark.parametrize("size", SIZES)
def test_return(size: int) -> None:
    body = b"x" * size
    wire = renderer.render_return(1, 312, b"NO_ROUTE", b"ex", b"", PROPERTIES, body, 4096)
    assert wire.startswith(methods.encode(1, methods.BasicReturn(312, "NO_ROUTE", "ex", "")))
    check_content(unmarshal(wire), body, 4096, 1)


@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("requeue", [False, True])
def test_confirms(multiple: bool, requeue: bool) -> None:
    tag = 0x0102030405060708
    assert renderer.render_ack(3, tag, multiple) == methods.encode(3, methods.BasicAck(tag, multiple))
    nack = methods.BasicNack(tag, multiple, requeue)
    assert renderer.render_nack(3, tag, multiple, requeue) == methods.encode(3, nack)


def test_content_without_properties() -> None:
    wire = renderer.render_deliver(1, b"", 1, False, b"", b"", properties.NO_PROPERTIES, b"", 4096)
    assert [type(value).__name__ for _, _, value in unmarshal(wire)] == ["Deliver", "ContentHeader"]


def test_a_body_may_be_any_buffer() -> None:
    of_bytes = renderer.render_deliver(1, b"t", 1, False, b"", b"q", PROPERTIES, b"body", 4096)
    of_view = renderer.render_deliver(1, b"t", 1, False, b"", b"q", PROPERTIES, memoryview(b"body"), 4096)
    assert of_bytes == of_view


def test_what_is_no_short_string_is_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        renderer.render_deliver(1, b"t" * 256, 1, False, b"", b"", PROPERTIES, b"", 4096)
    with pytest.raises(ValueError, match="flags"):
        renderer.render_deliver(1, b"t", 1, False, b"", b"", b"\x00", b"", 4096)
