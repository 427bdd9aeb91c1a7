"""What a message calls itself: values of equal type class and value are one id, all others are not."""
from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest

from amqp091.properties import Properties, encode
from amqp091.values import Binary, Timestamp
from shards.engine.identifier import identifier_of
from shards.engine.siphash import siphash

NAME = b"x-deduplication-header"


def of(letter: bytes, value: bytes) -> bytes | None:
    """The id of a message with the field as it is on the wire."""
    table = bytes((len(NAME),)) + NAME + letter + value
    return identifier_of(b"\x20\x00" + struct.pack(">I", len(table)) + table)


def test_equal_values_are_one_id_whatever_their_width() -> None:
    five = [
        of(b"b", b"\x05"), of(b"B", b"\x05"), of(b"s", b"\0\5"), of(b"u", b"\0\5"), of(b"I", b"\0\0\0\5"),
        of(b"i", b"\0\0\0\5"), of(b"l", bytes(7) + b"\5"), of(b"L", bytes(7) + b"\5"),
    ]
    assert len(set(five)) == 1 and None not in five
    assert of(b"b", b"\xff") == of(b"l", b"\xff" * 8) != of(b"B", b"\xff")
    assert of(b"i", b"\xff" * 4) != of(b"I", b"\xff" * 4)
    assert of(b"f", struct.pack(">f", 1.5)) == of(b"d", struct.pack(">d", 1.5))
    assert of(b"d", struct.pack(">d", 0.0)) == of(b"d", struct.pack(">d", -0.0))
    assert of(b"t", b"\1") == of(b"t", b"\7")
    assert of(b"S", b"\0\0\0\3abc") == identifier_of(encode(Properties(message_id="abc")))


def test_values_of_other_types_are_other_ids() -> None:
    found = [
        of(b"I", b"\0\0\0\1"), of(b"t", b"\1"), of(b"d", struct.pack(">d", 1.0)), of(b"T", bytes(7) + b"\1"),
        of(b"D", b"\0\0\0\0\1"), of(b"D", b"\1\0\0\0\x0a"), of(b"S", b"\0\0\0\1" b"1"), of(b"x", b"\0\0\0\1" b"1"),
        of(b"A", b"\0\0\0\2" b"t\1"), of(b"F", b"\0\0\0\3" b"\0t\1"), of(b"S", b"\0\0\0\0"), of(b"x", bytes(4)),
        of(b"A", bytes(4)), of(b"F", bytes(4)),
    ]
    assert None not in found
    assert all(one != other for one, other in itertools.combinations(found, 2))


@pytest.mark.parametrize("properties", [
    Properties(), Properties(headers={}), Properties(message_id=""), Properties(correlation_id="x"),
    Properties(headers={"x-deduplication-header": None}),
])
def test_what_is_no_id(properties: Properties) -> None:
    assert identifier_of(encode(properties)) is None


@pytest.mark.parametrize("value", [True, 5, 2**40, 1.5, "x", Timestamp(7), Binary(b"x"), [1], {"a": 1}])
def test_a_header_of_any_type(value: Any) -> None:
    properties = encode(Properties(message_id="m", headers={"order": value, "x-deduplication-header": "y"}))
    identifier = identifier_of(properties, b"order")
    assert identifier is not None
    assert identifier == identifier_of(encode(Properties(headers={"x-deduplication-header": value})))
    assert identifier_of(properties) == identifier_of(encode(Properties(message_id="y")))


@pytest.mark.parametrize("data, expected", [
    (0, "a3817f04ba25a8e66df67214c7550293"),
    (1, "da87c1d86b99af44347659119b22fc45"),
    (8, "3b62a9ba6258f5610f83e264f31497b4"),
    (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
])
def test_the_hash_is_siphash(data: int, expected: str) -> None:
    """The test vectors of its authors: key 00 01 ... 0f, input 00 01 ..."""
    assert siphash(bytes(range(16)), bytes(range(data))).hex() == expected
