"""What the renderer writes, any client reads: pamqp decodes it, and every frame keeps to frame_max."""
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame

from amqp091 import methods, properties, renderer, scanner
from amqp091.properties import Properties
from tests.fuzz.strategies import shortstr

frame_maxima = st.one_of(st.just(0), st.integers(9, 64), st.integers(4096, 5000))
tags = st.integers(0, 2**63 - 1)


def split(wire: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while wire:
        read = scanner.read_frame(wire)
        assert read is not None
        found.append(read[1:])
        wire = wire[read[0] :]
    return found


@given(
    st.sampled_from(["deliver", "get-ok", "return"]),
    st.integers(1, 65535),
    shortstr,
    shortstr,
    shortstr,
    tags,
    st.booleans(),
    st.binary(max_size=600),
    st.integers(0, 20),
    frame_maxima,
)
def test_content_is_cut_and_comes_together_again(
    kind: str, channel: int, first: str, exchange: str, routing_key: str, tag: int, redelivered: bool,
    piece: bytes, times: int, frame_max: int,
) -> None:  # fmt: skip
    content = piece * times
    encoded = properties.encode(Properties(delivery_mode=2, correlation_id=first))
    names = exchange.encode(), routing_key.encode()
    method: methods.Method
    if kind == "deliver":
        method = methods.BasicDeliver(first, tag, redelivered, exchange, routing_key)
        wire = renderer.render_deliver(channel, first.encode(), tag, redelivered, *names, encoded, content, frame_max)
    elif kind == "get-ok":
        method = methods.BasicGetOk(tag, redelivered, exchange, routing_key, times)
        wire = renderer.render_get_ok(channel, tag, redelivered, *names, times, encoded, content, frame_max)
    else:
        method = methods.BasicReturn(312, first, exchange, routing_key)
        wire = renderer.render_return(channel, 312, first.encode(), *names, encoded, content, frame_max)

    head, header, *bodies = split(wire)
    assert wire.startswith(methods.encode(channel, method))
    assert header == (2, channel, scanner_payload(len(content), encoded))
    assert b"".join(payload for _, _, payload in bodies) == content
    assert all(of == channel for _, of, _ in (head, header, *bodies))
    if frame_max:
        assert all(len(payload) + 8 == frame_max for _, _, payload in bodies[:-1])
        assert all(0 < len(payload) + 8 <= frame_max for _, _, payload in bodies[-1:])
    else:
        assert len(bodies) == bool(content)
    frame.unmarshal(wire)


def scanner_payload(body_size: int, encoded: bytes) -> bytes:
    return properties.content_header_frame(1, body_size, encoded)[7:-1]


@given(st.integers(0, 65535), st.integers(0, 2**64 - 1), st.booleans(), st.booleans())
def test_confirms_are_the_codecs(channel: int, tag: int, multiple: bool, requeue: bool) -> None:
    assert renderer.render_ack(channel, tag, multiple) == methods.encode(channel, methods.BasicAck(tag, multiple))
    nack = methods.BasicNack(tag, multiple, requeue)
    assert renderer.render_nack(channel, tag, multiple, requeue) == methods.encode(channel, nack)
