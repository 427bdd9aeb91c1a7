"""CC, BCC, x-delay and x-deliver-at in any headers, and properties found by their flags: as by plain Python."""
from __future__ import annotations

import math
import re
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp091 import scanner
from amqp091.errors import PreconditionFailed
from amqp091.tables import encode_table
from amqp091.values import Timestamp
from gateway.core import special_headers
from tests.fuzz import reference
from tests.fuzz.strategies import damaged, values, wire_tables, wire_values

NAMES = [b"CC", b"BCC", b"x-delay", b"x-deliver-at", b"C", b"CCC", b"BCCC", b"cc", b"x-delaY", b"X-deliver-at", b""]
DELAY_MS_MAX = 2**32 - 1
DELIVER_AT_MS_MAX = 253_402_300_799_999
HEADERS = reference.HEADERS_PLACE


def named(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + value


def long(letter: bytes, data: bytes) -> bytes:
    return letter + struct.pack(">I", len(data)) + data


keys = st.lists(st.binary(max_size=12).map(lambda key: long(b"S", key)) | wire_values, max_size=4).map(
    lambda items: long(b"A", b"".join(items)))
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda number: b"l" + struct.pack(">q", number)),
    st.integers(-3, 2**33).map(lambda number: b"l" + struct.pack(">q", number)),
    st.integers(-200, 70_000).map(lambda number: long(b"S", b"%d" % number)),
    st.floats(-2, 2**33).map(lambda number: b"d" + struct.pack(">d", number)),
    st.integers(0, 2**40).map(lambda number: b"T" + struct.pack(">Q", number)),
)
fields = st.builds(named, st.sampled_from(NAMES), keys | numbers | wire_values)
tables = st.lists(fields, max_size=5).map(b"".join).map(lambda body: struct.pack(">I", len(body)) + body) | wire_tables
shortstrs = st.binary(max_size=30).map(lambda data: bytes((len(data),)) + data)
KINDS = {"S": shortstrs, "T": tables, "o": st.binary(min_size=1, max_size=1), "L": st.binary(min_size=8, max_size=8)}
packed = st.tuples(*(st.none() | KINDS[kind] for kind in reference.PROPERTY_KINDS)).map(
    lambda parts: reference.joined(list(parts)))
with_headers = st.tuples(tables, st.none() | shortstrs).map(
    lambda parts: reference.joined([None, None, parts[0], *[None] * 4, parts[1], *[None] * 6]))


def first_fields(properties: bytes) -> dict[bytes, tuple[str, bytes]]:
    """The letter and what is behind it, of the first field of each name."""
    table = reference.property_parts(properties)[HEADERS]
    found: dict[bytes, tuple[str, bytes]] = {}
    for name, whole in reference.field_parts(table[4:]) if table else []:
        value = whole[1 + len(name) :]
        found.setdefault(name, (chr(value[0]), value[1:]))
    return found


def delay_of(letter: str, raw: bytes) -> int:
    (value,) = reference.decode_table(encode(letter, raw)).values()
    if letter in "Sx":
        text = raw[4:]
        value = int(text) if re.fullmatch(rb"[+-]?[0-9]+", text) else 0
    elif letter not in "bBsuIilLfd" or not math.isfinite(value):
        return 0
    delay = math.trunc(value)
    return delay if 0 < delay <= DELAY_MS_MAX else 0


def deliver_at_of(letter: str, raw: bytes) -> int | None:
    (value,) = reference.decode_table(encode(letter, raw)).values()
    if letter not in "bBsuIilLT":
        return None
    at_ms = value * 1000 if letter == "T" else max(value, 0)
    return at_ms if at_ms <= DELIVER_AT_MS_MAX else None


def encode(letter: str, raw: bytes) -> bytes:
    body = named(b"v", letter.encode() + raw)
    return struct.pack(">I", len(body)) + body


def expected(properties: bytes, routing_key: bytes) -> dict[str, Any] | None:
    """None: refused."""
    fields = first_fields(properties)
    keys = [routing_key]
    for name in (b"CC", b"BCC"):
        if name in fields:
            letter, raw = fields[name]
            if letter != "A":
                return None
            keys += [item[5:] for item in reference.array_parts(raw[4:]) if item[:1] == b"S"]
    at_ms = deliver_at_of(*fields[b"x-deliver-at"]) if b"x-deliver-at" in fields else None
    if at_ms is None and b"x-deliver-at" in fields:
        return None
    return {
        "keys": tuple(dict.fromkeys(keys)),
        "delay_ms": delay_of(*fields[b"x-delay"]) if b"x-delay" in fields else 0,
        "deliver_at_ms": at_ms,
    }


def read(properties: bytes, routing_key: bytes = b"") -> dict[str, Any] | None:
    try:
        return special_headers.read(properties, routing_key)
    except PreconditionFailed:
        return None


@given(packed | with_headers, st.binary(max_size=9))
def test_any_headers_are_read_as_by_the_reference(properties: bytes, routing_key: bytes) -> None:
    assert read(properties, routing_key) == expected(properties, routing_key)


@given(with_headers)
def test_what_is_kept_is_what_the_reference_keeps(properties: bytes) -> None:
    kept = reference.edited(properties, 0, [b"BCC"], b"")
    assert special_headers.kept(properties) == kept
    delay_ms = delay_of(*found) if (found := first_fields(properties).get(b"x-delay")) else 0
    if delay_ms:
        kept = reference.edited(kept, 0, [b"x-delay"], named(b"x-delay", b"l" + struct.pack(">q", -delay_ms)))
    assert special_headers.kept(properties, delayed=True) == kept


@given(damaged(packed | with_headers))
def test_damaged_properties_are_refused_or_read_to_their_end_and_no_further(properties: bytes) -> None:
    try:
        reference.content_header(bytes(12) + properties)
    except ValueError:
        for take in (special_headers.read, special_headers.kept):
            with pytest.raises(ValueError):
                take(properties)
    else:
        assert read(properties) == expected(properties, b"")
        special_headers.kept(properties, delayed=True)


@given(st.dictionaries(st.sampled_from([name.decode() for name in NAMES]), values, max_size=6))
def test_headers_that_clients_write(table: dict[str, Any]) -> None:
    """By the codec of tables, whose values say what is meant."""
    found = read(reference.joined([None, None, encode_table(table), *[None] * 11]), b"k")
    refused = any(not isinstance(table.get(name, []), list) for name in ("CC", "BCC"))
    at = table.get("x-deliver-at", 0)
    plain = isinstance(at, int) and not isinstance(at, bool)
    refused |= not plain or (at * 1000 if isinstance(at, Timestamp) else at) > DELIVER_AT_MS_MAX
    assert (found is None) == refused
    if found is not None:
        copies = [*table.get("CC", []), *table.get("BCC", [])]
        texts = [text.encode() for text in copies if isinstance(text, str)]
        assert {key for key in found["keys"][1:] if b"\xff" not in key} <= set(texts)
        assert set(texts) <= {*found["keys"]}
        delay = table.get("x-delay")
        if isinstance(delay, (Timestamp, bool, Decimal, list, dict)):
            assert found["delay_ms"] == 0


@given(packed, st.integers(2, 15))
def test_a_property_is_found_by_its_flag(properties: bytes, bit: int) -> None:
    part = reference.property_parts(properties)[15 - bit]
    if part is not None and reference.PROPERTY_KINDS[15 - bit] == "S":
        part = part[1:]
    assert scanner.read_property(properties, 1 << bit) == part


@given(damaged(packed), st.integers(0, 15))
def test_no_property_is_looked_for_behind_the_end(properties: bytes, bit: int) -> None:
    found = scanner.read_property(properties, 1 << bit)
    assert found is None or found in properties
