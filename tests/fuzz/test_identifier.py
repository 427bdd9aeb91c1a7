"""Ids of messages: the compiled scanner finds what a plain one in Python finds, whatever the properties hold."""
from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from shards.engine.identifier import identifier_of
from shards.engine.siphash import siphash
from tests.fuzz import reference
from tests.fuzz.strategies import damaged, wire_values

DEFAULT_HEADER = b"x-deduplication-header"
NAMES = [DEFAULT_HEADER, b"id", b"\xff", b"", DEFAULT_HEADER + b"s"]
KEY0, KEY1 = 0x77617272656E2069, 0x64656E7469666965
TEXT, INTEGER, REAL, BOOLEAN = 1, 2, 3, 4
RAW_CLASSES = {"T": 5, "D": 6, "x": 7, "A": 8, "F": 9}
INTEGERS = {letter: form for letter, form in reference.FIXED.items() if letter in "bBsuIilL"}
SIZES = {"t": 1, "T": 8, "D": 5, "V": 0} | {letter: struct.calcsize(form) for letter, form in reference.FIXED.items()}
HEADERS, MESSAGE_ID = 2, 8

shortstrs = st.binary(max_size=255).map(lambda data: bytes((len(data),)) + data)
fields = st.builds(
    lambda name, value: bytes((len(name),)) + name + value, st.sampled_from(NAMES) | st.binary(max_size=3), wire_values)
headers = st.lists(fields, max_size=5).map(b"".join).map(lambda body: struct.pack(">I", len(body)) + body)
KINDS = {"S": shortstrs, "T": headers, "o": st.binary(min_size=1, max_size=1), "L": st.binary(min_size=8, max_size=8)}
packed = st.tuples(*(st.none() | KINDS[kind] for kind in reference.PROPERTY_KINDS)).map(
    lambda parts: reference.joined(list(parts)))


def hashed(type_class: int, value: bytes) -> bytes:
    return siphash(struct.pack("<QQ", KEY0 ^ type_class, KEY1), value)


def of_field(letter: str, value: bytes) -> bytes | None:
    """The id that a field's value is; strings without their length word."""
    if letter == "S":
        return hashed(TEXT, value)
    if letter in INTEGERS:
        return hashed(INTEGER, struct.pack("<q", struct.unpack(INTEGERS[letter], value)[0]))
    if letter in "fd":
        return hashed(REAL, struct.pack("<d", struct.unpack(f">{letter}", value)[0] or 0.0))
    if letter == "t":
        return hashed(BOOLEAN, bytes([value != b"\0"]))
    return hashed(RAW_CLASSES[letter], value) if letter in RAW_CLASSES else None


def header_of(table: bytes | None, name: bytes) -> tuple[str, bytes] | None:
    """The first field of that name: letter and value."""
    reader = reference.Reader(b"" if table is None else table[4:])
    while reader.data:
        found = reader.shortstr()
        letter = reader.take(1).decode("latin-1")
        value = reader.take(SIZES[letter]) if letter in SIZES else reader.longstr()
        if found == name:
            return letter, value
    return None


def expected(properties: bytes, header: bytes) -> bytes | None:
    parts = reference.property_parts(properties)
    found = header_of(parts[HEADERS], header or DEFAULT_HEADER)
    identifier = None if found is None else of_field(*found)
    if identifier is not None or header:
        return identifier
    message_id = parts[MESSAGE_ID]
    return hashed(TEXT, message_id[1:]) if message_id is not None and len(message_id) > 1 else None


@given(packed, st.sampled_from([b"", *NAMES]))
def test_an_id_is_what_the_reference_finds(properties: bytes, header: bytes) -> None:
    assert identifier_of(properties, header) == expected(properties, header)


@given(damaged(packed), st.sampled_from([b"", b"id"]))
def test_damaged_properties_have_no_id(properties: bytes, header: bytes) -> None:
    try:
        reference.content_header(bytes(12) + properties)
    except ValueError:
        assert identifier_of(properties, header) is None
    else:
        assert identifier_of(properties, header) == expected(properties, header)


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_any_bytes(properties: bytes, header: bytes) -> None:
    identifier_of(properties, header)
