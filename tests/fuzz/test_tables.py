"""Field tables against pamqp, and against a plain decoder where the input is damaged."""
import calendar
import datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as pamqp_decode
from pamqp import encode as pamqp_encode

from amqp091 import scanner
from amqp091.errors import SyntaxError_
from amqp091.tables import Binary, Timestamp, decode_table, encode_table, from_json, to_json
from tests.fuzz import reference
from tests.fuzz.strategies import damaged, tables, wire_tables


def to_pamqp(value: Any) -> Any:
    """Our value as pamqp takes it. It writes no bytes that are not UTF-8 as `S`: they go as `x`."""
    match value:
        case Timestamp():
            return datetime.datetime.fromtimestamp(value, tz=datetime.UTC)
        case bytes():
            return bytearray(value)
        case dict():
            return {name: to_pamqp(item) for name, item in value.items()}
        case list():
            return [to_pamqp(item) for item in value]
    return value


def from_pamqp(value: Any) -> Any:
    match value:
        case datetime.datetime():
            return Timestamp(calendar.timegm(value.utctimetuple()))
        case bytearray():
            return Binary(value)
        case dict():
            return {name: from_pamqp(item) for name, item in value.items()}
        case list():
            return [from_pamqp(item) for item in value]
    return value


def all_binary(value: Any) -> Any:
    """Bytes as pamqp would have sent them."""
    match value:
        case bytes():
            return Binary(value)
        case dict():
            return {name: all_binary(item) for name, item in value.items()}
        case list():
            return [all_binary(item) for item in value]
    return value


@given(tables)
def test_what_we_encode_pamqp_decodes(table: dict[str, Any]) -> None:
    wire = encode_table(table)
    consumed, theirs = pamqp_decode.field_table(wire)
    assert consumed == len(wire)
    assert repr(all_binary(from_pamqp(theirs))) == repr(all_binary(table))


@given(tables)
def test_what_pamqp_encodes_we_decode(table: dict[str, Any]) -> None:
    assert decode_table(pamqp_encode.field_table(to_pamqp(table))) == all_binary(table)


@given(tables)
def test_encoding_and_json_lose_nothing(table: dict[str, Any]) -> None:
    assert repr(decode_table(encode_table(table))) == repr(table)
    assert repr(from_json(orjson.loads(orjson.dumps(to_json(table))))) == repr(table)


@given(wire_tables)
def test_every_letter_decodes_as_by_the_reference(wire: bytes) -> None:
    assert scanner.is_table(wire)
    table = decode_table(wire)
    assert repr(table) == repr(reference.decode_table(wire))
    assert repr(from_json(orjson.loads(orjson.dumps(to_json(table))))) == repr(table)
    encode_table(table)


@given(st.one_of(damaged(wire_tables), st.binary(max_size=60)))
def test_damage_is_told_as_by_the_reference(wire: bytes) -> None:
    try:
        expected = reference.decode_table(wire)
    except ValueError:
        expected = None
    assert scanner.is_table(wire) == (expected is not None)
    try:
        table = decode_table(wire)
    except SyntaxError_:
        table = None
    assert repr(table) == repr(expected)


def test_tables_nested_without_end() -> None:
    """Deeper than any stack, and as wide as the frame allows."""
    depth = 20_000
    sizes = [7 * level for level in range(depth)]
    body = b"".join(b"\x01aF" + size.to_bytes(4, "big") for size in reversed(sizes))
    wire = len(body).to_bytes(4, "big") + body
    assert not scanner.is_table(wire)
    try:
        decode_table(wire)
    except SyntaxError_ as error:
        assert "nested deeper" in error.text
    else:
        raise AssertionError("accepted")
