"""What dead letters say of their deaths: compiled and plain Python agree, whatever the headers hold."""
from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from amqp091 import scanner
from shards.engine import death as engine
from tests.fuzz import dead_letters, reference
from tests.fuzz.dead_letters import FIRST, LAST, Death, field, long, text
from tests.fuzz.strategies import wire_tables, wire_values
from tests.fuzz.test_property_edit import packed

REASONS = ["rejected", "expired", "maxlen", "delivery_limit"]
QUEUES = [b"", b"q", b"q1", b"dead", b"\xff"]

names = st.sampled_from(QUEUES) | st.binary(max_size=255)
deaths = st.builds(
    Death, queue=names, reason=st.sampled_from(REASONS), recorded=st.booleans(), exchange=names, routing_key=names,
    rekeyed=st.booleans(), time_s=st.integers(0, 2**64 - 1),
)
entry_fields = st.one_of(
    st.sampled_from(QUEUES).map(lambda queue: field(b"queue", text(queue))),
    st.sampled_from(REASONS).map(lambda reason: field(b"reason", text(reason.encode()))),
    st.integers(0, 2**64 - 1).map(lambda count: field(b"count", b"l" + struct.pack(">Q", count))),
    wire_values.map(lambda value: field(b"count", value)),
    wire_values.map(lambda value: field(b"queue", value)),
)
entries = st.lists(entry_fields, max_size=4).map(lambda fields: b"F" + long(b"".join(fields)))
arrays = st.lists(entries | wire_values, max_size=5).map(lambda values: b"A" + long(b"".join(values)))
header_fields = st.one_of(
    arrays.map(lambda array: field(b"x-death", array)),
    wire_values.map(lambda value: field(b"x-death", value)),
    st.lists(wire_values, max_size=3).map(lambda values: field(b"CC", b"A" + long(b"".join(values)))),
    st.sampled_from([*FIRST, *LAST, b"BCC", b"CC", b"other"]).flatmap(
        lambda name: wire_values.map(lambda value: field(name, value))
    ),
)
tables = st.lists(header_fields, max_size=6).map(lambda fields: long(b"".join(fields)))


@st.composite
def properties(draw: st.DrawFn) -> bytes:
    parts = reference.property_parts(draw(packed))
    parts[reference.HEADERS_PLACE] = draw(st.none() | tables | wire_tables)
    return reference.joined(parts)


def written(encoded: bytes, death: Death) -> bytes:
    return engine.with_death(encoded, **death._asdict())


@given(properties(), deaths)
def test_a_death_is_what_the_reference_writes(encoded: bytes, death: Death) -> None:
    dead = written(encoded, death)
    assert dead == dead_letters.with_death(encoded, death)
    assert scanner.read_content_header(bytes(12) + dead)["properties"] == dead


@given(properties(), st.lists(deaths, min_size=2, max_size=6))
def test_so_are_many_deaths_in_a_row(encoded: bytes, several: list[Death]) -> None:
    compiled = plain = encoded
    for number, death in enumerate(several):
        death = death._replace(recorded=number > 0)
        compiled, plain = written(compiled, death), dead_letters.with_death(plain, death)
        assert compiled == plain


@given(st.lists(st.tuples(properties() | st.just(b"\0\0"), deaths), min_size=2, max_size=8), st.booleans())
def test_what_a_queue_remembers_of_one_death_changes_no_other(
    several: list[tuple[bytes, Death]], alike: bool
) -> None:
    """The template of a queue, with deaths that differ in everything, or in their keys and times alone."""
    template = engine.Template()
    first = several[0][1]
    for encoded, death in several:
        death = death._replace(queue=first.queue)
        if alike:
            death = death._replace(reason=first.reason, exchange=first.exchange)
        dead = engine.with_death(encoded, **death._asdict(), template=template)
        assert dead == dead_letters.with_death(encoded, death)


@given(properties(), deaths, names)
def test_circles_are_found_as_by_the_reference(encoded: bytes, death: Death, target: bytes) -> None:
    found = engine.goes_in_circles(
        encoded, queue=death.queue, reason=death.reason, recorded=death.recorded, target=target
    )
    assert found == dead_letters.goes_in_circles(encoded, death, target)
