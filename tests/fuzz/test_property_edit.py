"""Changed copies of properties: the compiled editor agrees with one in plain Python, whatever the properties hold."""
from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp091 import property_edit, scanner
from amqp091.errors import SyntaxError_
from tests.fuzz import reference
from tests.fuzz.strategies import damaged, wire_tables

NAMES = [b"", b"x-death", b"CC", b"a", b"b", b"\xff"]


def _shortstr(data: bytes) -> bytes:
    return bytes((len(data),)) + data


fields = st.builds(
    lambda name, table: _shortstr(name) + b"F" + table, st.sampled_from(NAMES) | st.binary(max_size=3), wire_tables
)
headers = st.lists(fields, max_size=5).map(b"".join).map(lambda body: struct.pack(">I", len(body)) + body) | wire_tables
shortstrs = st.binary(max_size=255).map(_shortstr)
_KINDS = {"S": shortstrs, "T": headers, "o": st.binary(min_size=1, max_size=1), "L": st.binary(min_size=8, max_size=8)}
packed = st.tuples(*(st.none() | _KINDS[kind] for kind in reference.PROPERTY_KINDS)).map(
    lambda parts: reference.joined(list(parts))
)
added = st.lists(fields, max_size=3).map(b"".join)


@given(packed, st.integers(0, 0xFFFF), st.lists(st.sampled_from(NAMES), max_size=3), added)
def test_a_copy_is_what_the_reference_makes(
    properties: bytes, removed: int, names: list[bytes], more: bytes
) -> None:
    copy = property_edit.edited(properties, removed=removed, removed_fields=names, added=more)
    assert copy == reference.edited(properties, removed, names, more)
    # and it is well-formed
    assert scanner.read_content_header(bytes(12) + copy)["properties"] == copy


@given(damaged(packed), st.integers(0, 0xFFFF), st.lists(st.sampled_from(NAMES), max_size=2))
def test_damaged_properties_are_refused(properties: bytes, removed: int, names: list[bytes]) -> None:
    try:
        reference.content_header(bytes(12) + properties)
    except ValueError:
        with pytest.raises(SyntaxError_):
            property_edit.edited(properties, removed=removed, removed_fields=names)
    else:
        copy = property_edit.edited(properties, removed=removed, removed_fields=names)
        assert copy == reference.edited(properties, removed, names, b"")
