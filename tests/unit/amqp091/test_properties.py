"""Properties of basic content as Python sees them."""
import pytest
from pamqp import commands, header

from amqp091 import properties
from amqp091.errors import SyntaxError_
from amqp091.properties import Properties

ALL = Properties(
    "text/plain", "gzip", {"k": 1}, 2, 9, "c", "r", "1000", "m", 2**64 - 1, "t", "u", "a", ""
)


def test_all_properties_survive() -> None:
    assert properties.decode(properties.encode(ALL)) == ALL


def test_each_property_alone_has_its_flag() -> None:
    for place, (name, value) in enumerate(ALL._asdict().items()):
        wire = properties.encode(Properties(**{name: value}))
        assert int.from_bytes(wire[:2], "big") == 1 << (15 - place)
        assert properties.decode(wire) == Properties(**{name: value})


def test_order_agrees_with_another_implementation() -> None:
    theirs = ["type" if name == "message_type" else name for name in commands.Basic.Properties.attributes()]
    assert list(Properties._fields) == theirs


def test_none_is_two_octets() -> None:
    assert properties.encode(Properties()) == properties.NO_PROPERTIES
    assert properties.decode(properties.NO_PROPERTIES) == Properties()


@pytest.mark.parametrize(
    "wire", [b"", b"\x00", b"\x00\x00\x00", b"\x00\x01", b"\x00\x02", b"\x80\x00", b"\x80\x00\x05abc", b"\x00\x40\x00"]
)
def test_malformed_properties_are_syntax_errors(wire: bytes) -> None:
    with pytest.raises(SyntaxError_):
        properties.decode(wire)


def test_a_content_header_frame_decodes_elsewhere() -> None:
    frame = properties.content_header_frame(3, 70000, properties.encode(Properties(delivery_mode=2, priority=4)))
    assert (frame[0], frame[1:3], frame[-1]) == (2, b"\x00\x03", 0xCE)
    theirs = header.ContentHeader()
    theirs.unmarshal(frame[7:-1])
    assert theirs.body_size == 70000
    assert theirs.properties.delivery_mode == 2
    assert theirs.properties.priority == 4
