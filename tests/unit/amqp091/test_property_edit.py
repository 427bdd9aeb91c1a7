"""Changed copies of properties."""
from __future__ import annotations

import pytest

from amqp091.properties import Properties, decode, encode
from amqp091.property_edit import edited
from amqp091.tables import encode_table_body

EXPIRATION = 1 << 8
HEADERS = 1 << 13
WHOLE = Properties(
    content_type="text/plain", content_encoding="gzip", headers={"a": 1, "b": "two", "c": [3]}, delivery_mode=2,
    priority=9, correlation_id="c", reply_to="r", expiration="60000", message_id="m", timestamp=1700000000, type="t",
    user_id="u", app_id="app", cluster_id="cluster",
)


def test_nothing_to_change_is_a_copy() -> None:
    for properties in (WHOLE, Properties(), Properties(headers={}), Properties(cluster_id="")):
        assert edited(encode(properties)) == encode(properties)


@pytest.mark.parametrize("place", range(14))
def test_any_property_is_removed_by_its_flag(place: int) -> None:
    name = Properties._fields[place]
    assert decode(edited(encode(WHOLE), removed=1 << (15 - place))) == WHOLE._replace(**{name: None})
    # where it is not there, nothing changes
    without = encode(WHOLE._replace(**{name: None}))
    assert edited(without, removed=1 << (15 - place)) == without


def test_a_header_field_is_set() -> None:
    field = encode_table_body({"b": 2})
    assert decode(edited(encode(WHOLE), removed_fields=[b"b"], added=field)).headers == {"a": 1, "c": [3], "b": 2}


def test_a_message_without_headers_gets_some() -> None:
    for properties in (Properties(), WHOLE._replace(headers=None), Properties(headers={})):
        copy = decode(edited(encode(properties), added=encode_table_body({"x": "y"})))
        assert copy == properties._replace(headers={"x": "y"})


def test_the_table_stays_when_its_last_field_goes() -> None:
    assert decode(edited(encode(Properties(headers={"a": 1})), removed_fields=[b"a"])).headers == {}


def test_names_are_whole_names() -> None:
    properties = encode(Properties(headers={"CC": 1, "BCC": 2, "C": 3, "CCC": 4}))
    assert decode(edited(properties, removed_fields=[b"CC"])).headers == {"BCC": 2, "C": 3, "CCC": 4}


def test_headers_may_be_replaced_as_a_whole() -> None:
    field = encode_table_body({"only": True})
    assert decode(edited(encode(WHOLE), removed=HEADERS, added=field)).headers == {"only": True}


def test_a_field_within_a_field_is_not_meant() -> None:
    properties = encode(Properties(headers={"t": {"a": 1}}))
    assert edited(properties, removed_fields=[b"a"]) == properties


def test_a_name_longer_than_any_field_is_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        edited(encode(Properties()), removed_fields=[b"n" * 256])


def test_properties_grow_as_far_as_they_have_to() -> None:
    field = encode_table_body({"x": "y" * 5_000_000})
    copy = decode(edited(encode(WHOLE), removed=EXPIRATION, added=field))
    assert copy.headers == {"a": 1, "b": "two", "c": [3], "x": "y" * 5_000_000}
    assert copy.expiration is None
