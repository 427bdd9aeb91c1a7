"""What the fuzz tests are fed: values, wire forms, and damage done to them."""
import struct
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from amqp091.values import Binary, Timestamp

NESTED_MAX = 12

# no lone surrogates: no UTF-8 has them
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = text.filter(lambda name: len(name.encode()) <= 128)
shortstr = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)

decimals = st.builds(
    lambda unscaled, scale: Decimal(unscaled).scaleb(-scale),
    st.integers(0, 2**31 - 1),
    st.integers(0, 20),
)
not_utf8 = st.binary(max_size=8).map(lambda data: b"\xff" + data)

leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-70000, 70000),
    st.floats(allow_nan=False, width=32),    # pamqp writes no others
    text,
    not_utf8,
    st.binary(max_size=20).map(Binary),
    decimals,
    st.integers(0, 2**32 - 1).map(Timestamp),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=NESTED_MAX,
)
tables = st.dictionaries(names, values, max_size=6)


def _packed(letter: str, form: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return numbers.map(lambda number: letter.encode() + struct.pack(form, number))


def _long(letter: bytes, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return content.map(lambda data: letter + struct.pack(">I", len(data)) + data)


def _named(value: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    name = st.binary(max_size=6)
    return st.builds(lambda name, value: bytes((len(name),)) + name + value, name, value)


wire_leaves = st.one_of(
    _packed("t", ">B", st.integers(0, 255)),
    _packed("b", ">b", st.integers(-128, 127)),
    _packed("B", ">B", st.integers(0, 255)),
    _packed("s", ">h", st.integers(-(2**15), 2**15 - 1)),
    _packed("u", ">H", st.integers(0, 2**16 - 1)),
    _packed("I", ">i", st.integers(-(2**31), 2**31 - 1)),
    _packed("i", ">I", st.integers(0, 2**32 - 1)),
    _packed("l", ">q", st.integers(-(2**63), 2**63 - 1)),
    _packed("L", ">q", st.integers(-(2**63), 2**63 - 1)),
    _packed("T", ">Q", st.integers(0, 2**64 - 1)),
    _packed("f", ">f", st.floats(width=32, allow_nan=False)),
    _packed("d", ">d", st.floats(allow_nan=False)),
    st.binary(min_size=5, max_size=5).map(lambda data: b"D" + data),
    st.just(b"V"),
    _long(b"S", st.binary(max_size=20)),
    _long(b"x", st.binary(max_size=20)),
)
wire_values = st.recursive(
    wire_leaves,
    lambda inner: st.one_of(
        _long(b"A", st.lists(inner, max_size=4).map(b"".join)),
        _long(b"F", st.lists(_named(inner), max_size=4).map(b"".join)),
    ),
    max_leaves=NESTED_MAX,
)
# every letter, names of any bytes, names that occur twice
wire_tables = _long(b"", st.lists(_named(wire_values), max_size=6).map(b"".join))


@st.composite
def damaged(draw: st.DrawFn, wire: st.SearchStrategy[bytes]) -> bytes:
    """A wire form with a few octets changed, cut out or put in."""
    data = bytearray(draw(wire))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "cut", "insert", "end"])):
            case "change" if at < len(data):
                data[at] = draw(st.one_of(st.integers(0, 255), st.sampled_from(b"FASxtIlD\x00\xff\x7f\x80")))
            case "cut":
                del data[at : at + draw(st.integers(1, 4))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "end":
                del data[at:]
    return bytes(data)
