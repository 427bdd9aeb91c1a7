"""Content headers: the compiled reader, the Python one, pamqp and the reference agree."""
import calendar
import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, header

from amqp091 import properties, scanner
from amqp091.errors import FrameError, SyntaxError_
from amqp091.properties import Properties
from tests.fuzz import reference
from tests.fuzz.strategies import damaged, names, shortstr, wire_tables

octet = st.integers(0, 255)
# pamqp leaves out empty strings and writes the delivery mode and priority only in their ranges
some_text = shortstr.filter(bool)
header_values = st.one_of(st.booleans(), st.integers(-5, 2**40), shortstr)
headers = st.dictionaries(names.filter(bool), header_values, min_size=1, max_size=4)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


any_properties = st.builds(
    Properties,
    **{
        name: optional(
            {b"S": shortstr, b"T": headers, b"o": octet, b"L": st.integers(0, 2**64 - 1)}[letter]
        )
        for name, letter in properties.PROPERTY_TYPES.items()
    },
)
pamqp_properties = st.builds(
    Properties,
    **{
        name: optional({b"S": some_text, b"T": headers, b"o": octet, b"L": st.integers(0, 2**32 - 1)}[letter])
        for name, letter in properties.PROPERTY_TYPES.items()
        if name not in ("delivery_mode", "priority", "cluster_id")
    },
    delivery_mode=optional(st.integers(1, 2)),
    priority=optional(octet),
    cluster_id=st.none(),
)


def payload(body_size: int, encoded: bytes) -> bytes:
    return properties.content_header_frame(1, body_size, encoded)[7:-1]


def read(wire: bytes) -> dict[str, Any] | None:
    try:
        return scanner.read_content_header(wire)
    except (SyntaxError_, FrameError):
        return None


def expected(wire: bytes) -> dict[str, Any] | None:
    try:
        return reference.content_header(wire)
    except ValueError:
        return None


@given(any_properties, st.integers(0, 2**64 - 1))
def test_properties_survive(given_properties: Properties, body_size: int) -> None:
    encoded = properties.encode(given_properties)
    assert properties.decode(encoded) == given_properties
    wire = payload(body_size, encoded)
    assert read(wire) == expected(wire) is not None


@given(pamqp_properties, st.integers(0, 2**63 - 1))
def test_what_we_encode_pamqp_decodes(given_properties: Properties, body_size: int) -> None:
    theirs = header.ContentHeader()
    theirs.unmarshal(payload(body_size, properties.encode(given_properties)))
    assert theirs.body_size == body_size
    for name, value in given_properties._asdict().items():
        other = getattr(theirs.properties, "message_type" if name == "type" else name)
        if isinstance(other, datetime.datetime):
            other = calendar.timegm(other.utctimetuple())
        assert (other or None) == (value or None)


@given(pamqp_properties, st.integers(0, 2**63 - 1))
def test_what_pamqp_encodes_we_decode(given_properties: Properties, body_size: int) -> None:
    fields = {"message_type" if name == "type" else name: value for name, value in given_properties._asdict().items()}
    if fields["timestamp"] is not None:
        fields["timestamp"] = datetime.datetime.fromtimestamp(fields["timestamp"], tz=datetime.UTC)
    del fields["cluster_id"]
    wire = header.ContentHeader(0, body_size, commands.Basic.Properties(**fields)).marshal()
    found = read(wire)
    assert found is not None
    assert found == expected(wire)
    assert found["body_size"] == body_size
    assert properties.decode(found["properties"]) == given_properties


@given(st.data())
def test_damage_is_told_as_by_the_reference(data: st.DataObject) -> None:
    table = data.draw(wire_tables)
    whole = b"\x30\x00" + table + b"\x02" if data.draw(st.booleans()) else properties.encode(data.draw(any_properties))
    wire = data.draw(damaged(st.just(payload(data.draw(st.integers(0, 2**20)), whole))))
    assert read(wire) == expected(wire)


@given(st.binary(max_size=60))
def test_any_bytes_are_told_as_by_the_reference(wire: bytes) -> None:
    assert read(wire) == expected(wire)
    decodes = True
    try:
        properties.decode(wire)
    except SyntaxError_:
        decodes = False
    assert decodes == (expected(bytes(12) + wire) is not None)
