"""Field tables: every letter, every malformation."""
import math
import struct
from decimal import Decimal
from typing import Any

import orjson
import pytest

from amqp091.errors import SyntaxError_
from amqp091.tables import (
    Binary,
    Timestamp,
    decode_table,
    decode_table_body,
    encode_table,
    encode_table_body,
    from_json,
    to_json,
    type_name,
)

DEPTH_MAX = 64


def table(*fields: bytes) -> bytes:
    body = b"".join(fields)
    return struct.pack(">I", len(body)) + body


def field(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + value


def nested(depth: int, letter: bytes = b"F") -> bytes:
    """`depth` tables, or one table around depth-1 arrays."""
    body = b""
    for _ in range(depth - 1):
        head = field(b"a", letter) if letter == b"F" else letter
        body = head + struct.pack(">I", len(body)) + body
    if letter == b"A" and body:
        body = b"\x01a" + body
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"t\x00", False),
        (b"t\x01", True),
        (b"t\x02", True),
        (b"b\x80", -128),
        (b"B\xff", 255),
        (b"s\x80\x00", -32768),
        (b"u\xff\xff", 65535),
        (b"I\x80\x00\x00\x00", -(2**31)),
        (b"i\xff\xff\xff\xff", 2**32 - 1),
        (b"l" + b"\xff" * 8, -1),
        (b"L" + b"\xff" * 8, -1),
        (b"f\x3f\xc0\x00\x00", 1.5),
        (b"d\x3f\xf8" + bytes(6), 1.5),
        (b"D\x02\x00\x00\x00\x96", Decimal("1.50")),
        (b"D\xff\xff\xff\xff\xff", Decimal(2**32 - 1).scaleb(-255)),
        (b"S\x00\x00\x00\x03\xc3\xa9z", "\xe9z"),
        (b"S\x00\x00\x00\x01\xff", b"\xff"),
        (b"x\x00\x00\x00\x01a", Binary(b"a")),
        (b"A\x00\x00\x00\x04t\x01b\x07", [True, 7]),
        (b"A\x00\x00\x00\x00", []),
        (b"F\x00\x00\x00\x03\x01kV", {"k": None}),
        (b"T" + b"\xff" * 8, Timestamp(2**64 - 1)),
        (b"V", None),
    ],
)
def test_each_letter_decodes(wire: bytes, value: Any) -> None:
    decoded = decode_table(table(field(b"k", wire)))
    assert decoded == {"k": value}
    assert type(decoded["k"]) is type(value)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (True, b"t\x01"),
        (1, b"I\x00\x00\x00\x01"),
        (-(2**31), b"I\x80\x00\x00\x00"),
        (2**31, b"l\x00\x00\x00\x00\x80\x00\x00\x00"),
        (-(2**63), b"l\x80" + bytes(7)),
        (1.5, b"d\x3f\xf8" + bytes(6)),
        (Decimal("1.50"), b"D\x02\x00\x00\x00\x96"),
        (Decimal("15E+1"), b"D\x00\x00\x00\x00\x96"),
        ("\xe9", b"S\x00\x00\x00\x02\xc3\xa9"),
        (b"\xff", b"S\x00\x00\x00\x01\xff"),
        (Binary(b"a"), b"x\x00\x00\x00\x01a"),
        ([1, "a"], b"A\x00\x00\x00\x0bI\x00\x00\x00\x01S\x00\x00\x00\x01a"),
        ((), b"A\x00\x00\x00\x00"),
        ({}, b"F\x00\x00\x00\x00"),
        (Timestamp(1), b"T" + bytes(7) + b"\x01"),
        (None, b"V"),
    ],
)
def test_each_type_encodes(value: Any, wire: bytes) -> None:
    assert encode_table({"k": value}) == table(field(b"k", wire))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**63, ValueError),
        (Timestamp(2**64), ValueError),
        (Timestamp(-1), ValueError),
        (Decimal(-1), ValueError),
        (Decimal(2**32), ValueError),
        (Decimal("1e-256"), ValueError),
        (Decimal("1e999999"), ValueError),
        (Decimal("NaN"), ValueError),
        (object(), TypeError),
        ("\ud800", ValueError),
    ],
)
def test_what_amqp_cannot_carry_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_table({"k": value})


def test_a_name_has_at_most_255_bytes() -> None:
    assert decode_table(encode_table({"n" * 255: 1})) == {"n" * 255: 1}
    with pytest.raises(ValueError, match="255"):
        encode_table({"n" * 256: 1})


def test_a_name_that_is_not_utf8_survives() -> None:
    wire = table(field(b"\xff\xfe", b"V"))
    assert encode_table(decode_table(wire)) == wire


def test_of_fields_with_one_name_the_first_counts() -> None:
    assert decode_table(table(field(b"k", b"b\x01"), field(b"k", b"b\x02"))) == {"k": 1}


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\x00\x00\x00",
        b"\x00\x00\x00\x01",                                # length beyond the end
        b"\x00\x00\x00\x00\x00",                            # a byte behind the end
        b"\xff\xff\xff\xff",
        table(b"\x05k"),                                    # name beyond the end
        table(b"\x01k"),                                    # no letter
        table(b"\x01kz\x00"),                               # unknown letter
        table(b"\x01k\x00"),
        table(b"\x01kI\x00\x00\x00"),                       # value beyond the end
        table(b"\x01kS\x00\x00\x00\x02a"),
        table(b"\x01kS\xff\xff\xff\xffa"),
        table(b"\x01kF\x00\x00\x00\x01\x05"),
        table(b"\x01kA\x00\x00\x00\x01I") + b"\x00\x00\x00\x00",
        table(b"\x01kA\x00\x00\x00\x01I\x00\x00\x00\x01"),  # inner value reaches over its array
        table(b"\x01kD\x00\x00\x00\x00"),
        table(b"\x01kT\x00\x00\x00\x00"),
        table(b"\x01kd\x00\x00\x00\x00"),
    ],
)
def test_a_malformed_table_is_a_syntax_error(wire: bytes) -> None:
    with pytest.raises(SyntaxError_) as caught:
        decode_table(wire)
    assert caught.value.reply_code == 502


@pytest.mark.parametrize("letter", [b"F", b"A"])
def test_nesting_is_limited(letter: bytes) -> None:
    decode_table(nested(DEPTH_MAX, letter))
    with pytest.raises(SyntaxError_, match="nested deeper"):
        decode_table(nested(DEPTH_MAX + 1, letter))
    with pytest.raises(SyntaxError_, match="nested deeper"):
        decode_table(nested(2_000, letter))


def test_nesting_is_limited_when_encoding() -> None:
    deep: dict[str, Any] = {}
    for _ in range(DEPTH_MAX):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested deeper"):
        encode_table(deep)
    encode_table(deep["a"])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested deeper"):
        encode_table({"a": endless})


def test_a_table_body_has_no_length_word() -> None:
    body = encode_table_body({"LOGIN": "guest", "PASSWORD": "guest"})
    assert body.startswith(b"\x05LOGINS\x00\x00\x00\x05guest")
    assert decode_table_body(body) == {"LOGIN": "guest", "PASSWORD": "guest"}
    assert decode_table_body(b"") == {}


EVERY_TYPE: dict[str, Any] = {
    "bool": True,
    "int": -1,
    "long": 2**62,
    "double": 0.1,
    "whole": 2.0,
    "infinity": -math.inf,
    "decimal": Decimal("0.00"),
    "text": "\N{GRINNING FACE}$",
    "bytes": b"\xff",
    "binary": Binary(b"\x00"),
    "timestamp": Timestamp(2**64 - 1),
    "void": None,
    "array": [1, [Binary(b"")], {}],
    "table": {"$": {"$": Timestamp(1)}, "\udcff": [b"\xfe"]},
}


def test_json_loses_nothing() -> None:
    document = orjson.loads(orjson.dumps(to_json(EVERY_TYPE)))
    back = from_json(document)
    assert repr(back) == repr(EVERY_TYPE)
    assert encode_table(back) == encode_table(EVERY_TYPE)
    assert decode_table(encode_table(back)) == EVERY_TYPE


def test_json_carries_nan() -> None:
    assert math.isnan(from_json(orjson.loads(orjson.dumps(to_json({"n": math.nan}))))["n"])


def test_plain_values_are_plain_json() -> None:
    plain = {"x-max-length": 5, "x-overflow": "drop-head", "list": [1.5, None, True]}
    assert to_json(plain) == plain


@pytest.mark.parametrize("document", [{"$": "?", "value": 1}, {"$": "timestamp", "value": 1}])
def test_json_that_is_no_table_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="field table"):
        from_json(document)


def test_json_refuses_other_types() -> None:
    with pytest.raises(TypeError):
        to_json({"k": object()})


def test_type_names_are_rabbitmqs() -> None:
    names = {name: type_name(value) for name, value in EVERY_TYPE.items()}
    assert names == {
        "bool": "bool", "int": "signedint", "long": "long", "double": "double", "whole": "double",
        "infinity": "double", "decimal": "decimal", "text": "longstr", "bytes": "longstr", "binary": "binary",
        "timestamp": "timestamp", "void": "void", "array": "array", "table": "table",
    }  # fmt: skip
