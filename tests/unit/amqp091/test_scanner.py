"""Frames and payloads, read in place."""
import struct

import pytest

from amqp091 import methods, properties, scanner
from amqp091.errors import FrameError, SyntaxError_
from amqp091.properties import Properties
from amqp091.tables import encode_table


def frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((end,))


def method_payload(method: methods.Method) -> bytes:
    return methods.encode(0, method)[7:-1]


def header_payload(body_size: int, encoded: bytes, class_id: int = 60, weight: int = 0) -> bytes:
    return struct.pack(">HHQ", class_id, weight, body_size) + encoded


def test_frames_are_read_whole() -> None:
    wire = frame(1, 1, b"abc") + frame(3, 65535, b"") + frame(8, 0, b"")
    assert scanner.read_frame(wire) == (11, 1, 1, b"abc")
    assert scanner.read_frame(wire[11:]) == (8, 3, 65535, b"")
    assert scanner.read_frame(wire[19:]) == (8, 8, 0, b"")


def test_an_incomplete_frame_waits_at_every_cut() -> None:
    wire = frame(2, 7, b"payload")
    for cut in range(len(wire)):
        assert scanner.read_frame(wire[:cut], 4096) is None


def test_frame_max_counts_the_overhead() -> None:
    assert scanner.read_frame(frame(3, 1, bytes(4088)), 4096) is not None
    with pytest.raises(FrameError):
        scanner.read_frame(frame(3, 1, bytes(4089)), 4096)


def test_a_lying_size_is_told_before_the_payload_comes() -> None:
    with pytest.raises(FrameError):
        scanner.read_frame(b"\x01\x00\x01\xff\xff\xff\xff", 131072)
    with pytest.raises(FrameError):
        scanner.read_frame(b"\x01\x00\x01\xff\xff\xff\xff", 0xFFFFFFFF)
    assert scanner.read_frame(b"\x01\x00\x01\xff\xff\xff\xff") is None


def test_a_wrong_end_octet_is_a_frame_error() -> None:
    with pytest.raises(FrameError) as caught:
        scanner.read_frame(frame(1, 1, b"abc", end=0xCD))
    assert caught.value.reply_code == 501


@pytest.mark.parametrize("kind", sorted(set(range(256)) - {1, 2, 3, 8}))
def test_an_unknown_type_is_told_by_its_first_octet(kind: int) -> None:
    with pytest.raises(FrameError):
        scanner.read_frame(bytes((kind,)))


def test_publish_is_read() -> None:
    for mandatory in (False, True):
        for immediate in (False, True):
            publish = methods.BasicPublish(7, "exchange", "r" * 255, mandatory, immediate)
            read = scanner.read_publish(method_payload(publish))
            assert read == (b"exchange", b"r" * 255, mandatory, immediate)


def test_publish_with_empty_names_is_read() -> None:
    assert scanner.read_publish(method_payload(methods.BasicPublish())) == (b"", b"", False, False)


def test_a_publish_cut_or_lengthened_anywhere_is_a_syntax_error() -> None:
    payload = method_payload(methods.BasicPublish(0, "ex", "key", True))
    for wrong in [payload[:cut] for cut in range(len(payload))] + [payload + b"\x00"]:
        with pytest.raises(SyntaxError_):
            scanner.read_publish(wrong)


def test_a_publish_with_a_lying_length_is_a_syntax_error() -> None:
    head = b"\x00\x3c\x00\x28\x00\x00"
    for rest in (b"\xff", b"\xffabc", b"\x00\xff\x00", b"\x01a\x05b\x00"):
        with pytest.raises(SyntaxError_):
            scanner.read_publish(head + rest)


@pytest.mark.parametrize("tag", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_settling_methods_are_read(tag: int, first: bool, second: bool) -> None:
    assert scanner.read_settle(method_payload(methods.BasicAck(tag, first))) == (80, tag, first, False)
    assert scanner.read_settle(method_payload(methods.BasicReject(tag, first))) == (90, tag, False, first)
    assert scanner.read_settle(method_payload(methods.BasicNack(tag, first, second))) == (120, tag, first, second)


def test_a_settling_method_of_another_length_is_a_syntax_error() -> None:
    payload = method_payload(methods.BasicAck(1))
    for wrong in [payload[:cut] for cut in range(len(payload))] + [payload + b"\x00"]:
        with pytest.raises(SyntaxError_):
            scanner.read_settle(wrong)
    with pytest.raises(SyntaxError_):
        scanner.read_settle(b"\x00\x3c\x00\x28" + payload[4:])


def test_a_content_header_is_read() -> None:
    headers = {"a": [1, {"b": None}]}
    encoded = properties.encode(
        Properties(headers=headers, delivery_mode=2, priority=5, reply_to="", expiration="60", user_id="u")
    )
    read = scanner.read_content_header(header_payload(2**40, encoded))
    assert read["class_id"] == 60
    assert read["body_size"] == 2**40
    assert read["properties"] == encoded
    assert (read["delivery_mode"], read["priority"]) == (2, 5)
    assert (read["reply_to"], read["expiration"], read["user_id"]) == (b"", b"60", b"u")
    assert scanner.is_table(read["headers"])


def test_absent_properties_are_told_from_empty_ones() -> None:
    read = scanner.read_content_header(header_payload(0, b"\x00\x00"))
    assert (read["headers"], read["reply_to"], read["expiration"], read["user_id"]) == (None, None, None, None)
    assert (read["delivery_mode"], read["priority"], read["flags"]) == (0, 0, 0)


def test_a_content_header_cut_or_lengthened_anywhere_is_a_syntax_error() -> None:
    encoded = properties.encode(Properties("a", "b", {"c": 1}, 1, 2, "d", "e", "3", "f", 4, "g", "h", "i", "j"))
    payload = header_payload(5, encoded)
    assert scanner.read_content_header(payload)["user_id"] == b"h"
    for wrong in [payload[:cut] for cut in range(len(payload))] + [payload + b"\x00"]:
        with pytest.raises(SyntaxError_):
            scanner.read_content_header(wrong)


def test_a_weight_is_a_frame_error() -> None:
    with pytest.raises(FrameError):
        scanner.read_content_header(header_payload(0, b"\x00\x00", weight=1))


def test_headers_are_walked_to_their_end() -> None:
    for wrong in (
        b"\x00\x00\x00\x01\x00",
        b"\x00\x00\x00\x03\x01kz",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x04\x01kF\x00",
    ):
        assert not scanner.is_table(wrong)
        with pytest.raises(SyntaxError_):
            scanner.read_content_header(header_payload(0, b"\x20\x00" + wrong))


def test_headers_nested_without_end_are_refused() -> None:
    body = b""
    for _ in range(2_000):
        body = b"\x01aF" + struct.pack(">I", len(body)) + body
    assert not scanner.is_table(struct.pack(">I", len(body)) + body)


EXPIRATION_MS_MAX = 315_360_000_000     # ten years


@pytest.mark.parametrize(
    ("text", "ttl_ms"),
    [(b"0", 0), (b"60000", 60000), (b"+5", 5), (b"-0", 0), (b"%d" % EXPIRATION_MS_MAX, EXPIRATION_MS_MAX)],
)
def test_expirations_are_read(text: bytes, ttl_ms: int) -> None:
    assert scanner.read_expiration(text) == ttl_ms


@pytest.mark.parametrize(
    "text", [b"", b"+", b"-", b"1.5", b" 1", b"1 ", b"x", b"1x", b"-1", b"%d" % (EXPIRATION_MS_MAX + 1), b"9" * 255]
)
def test_other_expirations_are_refused(text: bytes) -> None:
    assert scanner.read_expiration(text) < 0


def test_the_letter_of_a_field_is_found_behind_fields_of_every_kind() -> None:
    table = encode_table({
        "text": "CC", "number": 1, "void": None,
        "flag": True, "inside": {"CC": 1}, "many": ["CC", 2], "CC": ["k"], "C": 1.5,
    })
    assert scanner.is_table(table)
    assert scanner.read_field_letter(table, b"CC") == "A"
    assert scanner.read_field_letter(table, b"C") == "d"
    assert scanner.read_field_letter(table, b"BCC") is None
    assert scanner.read_field_letter(encode_table({}), b"CC") is None
