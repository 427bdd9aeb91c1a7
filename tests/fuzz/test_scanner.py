"""The frame scanner over streams cut and damaged anywhere; publishes and acks against plain readers."""
import struct

from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame

from amqp091 import methods, scanner
from amqp091.errors import FrameError, SyntaxError_
from tests.fuzz import reference
from tests.fuzz.strategies import damaged, shortstr

FRAME_MAX = 4096
EXPIRATION_MS_MAX = 315_360_000_000

Frame = tuple[int, int, bytes]


def wire_frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


frames = st.builds(wire_frame, st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=50))
streams = st.lists(frames, max_size=6).map(b"".join)
publishes = st.builds(methods.BasicPublish, st.just(0), shortstr, shortstr, st.booleans(), st.booleans())
settles = st.one_of(
    st.builds(methods.BasicAck, st.integers(0, 2**64 - 1), st.booleans()),
    st.builds(methods.BasicReject, st.integers(0, 2**64 - 1), st.booleans()),
    st.builds(methods.BasicNack, st.integers(0, 2**64 - 1), st.booleans(), st.booleans()),
)


def scan(wire: bytes) -> list[Frame]:
    """All complete frames; a bad one ends the list with type -1."""
    found: list[Frame] = []
    view = memoryview(wire)
    try:
        while (read := scanner.read_frame(view, FRAME_MAX)) is not None:
            found.append(read[1:])
            view = view[read[0] :]
    except FrameError:
        found.append((-1, 0, b""))
    return found


@given(streams, st.integers(0, 400))
def test_streams_are_scanned_up_to_any_cut(wire: bytes, cut: int) -> None:
    whole = scan(wire)
    assert whole == reference.frames(wire, FRAME_MAX)
    assert scan(wire[:cut]) == whole[: len(scan(wire[:cut]))]


@given(st.one_of(damaged(streams), st.binary(max_size=80)))
def test_damaged_streams_are_scanned_as_by_the_reference(wire: bytes) -> None:
    assert scan(wire) == reference.frames(wire, FRAME_MAX)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), st.integers(1, 65535))
def test_frames_of_pamqp_are_scanned(bodies: list[bytes], channel: int) -> None:
    wire = b"".join(frame.marshal(body.ContentBody(each), channel) for each in bodies)
    assert scan(wire) == [(3, channel, each) for each in bodies]


@given(st.text("abc.-_:", max_size=127), shortstr, st.booleans(), st.integers(0, 65535))
def test_a_publish_of_pamqp_is_read(exchange: str, routing_key: str, mandatory: bool, channel: int) -> None:
    wire = frame.marshal(commands.Basic.Publish(0, exchange, routing_key, mandatory), channel)
    ((kind, of_channel, payload),) = scan(wire)
    assert (kind, of_channel) == (1, channel)
    assert scanner.read_publish(payload) == (exchange.encode(), routing_key.encode(), mandatory, False)


@given(st.data())
def test_damaged_publishes_are_told_as_by_the_reference(data: st.DataObject) -> None:
    whole = methods.encode(1, data.draw(publishes))[7:-1]
    payload = data.draw(st.one_of(damaged(st.just(whole)), st.binary(max_size=20).map(lambda tail: whole[:6] + tail)))
    try:
        expected = reference.publish(payload)
    except ValueError:
        expected = None
    try:
        read = scanner.read_publish(payload)
    except SyntaxError_:
        read = None
    assert read == expected


@given(st.data())
def test_damaged_settles_are_told_as_by_the_method_codec(data: st.DataObject) -> None:
    """The codec of methods shares no line with the reader of acks."""
    payload = data.draw(damaged(settles.map(lambda method: methods.encode(1, method)[7:-1])))
    try:
        read = scanner.read_settle(payload)
    except SyntaxError_:
        read = None
    expected = None
    if payload[:4] in (b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x5a", b"\x00\x3c\x00\x78"):
        try:
            method = methods.decode(60, payload[3], payload[4:])
        except SyntaxError_:
            pass
        else:
            multiple = getattr(method, "multiple", False)
            expected = (payload[3], method.delivery_tag, multiple, getattr(method, "requeue", False))
    assert read == expected


@given(st.one_of(st.binary(max_size=30), st.integers(-5, 10**30).map(lambda number: b"%d" % number)))
def test_any_expiration_is_a_number_or_refused(text: bytes) -> None:
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if digits.isdigit() and 0 <= int(text) <= EXPIRATION_MS_MAX:
        assert scanner.read_expiration(text) == int(text)
    else:
        assert scanner.read_expiration(text) < 0
