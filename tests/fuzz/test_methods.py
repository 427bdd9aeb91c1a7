"""Methods against pamqp: each decodes what the other encodes; damage is an error, never a crash."""
from typing import Any, get_type_hints

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame

from amqp091 import methods
from amqp091.errors import CommandInvalid, NotImplemented_, SyntaxError_
from amqp091.method_table import METHOD_CLASSES
from tests.fuzz.strategies import damaged, shortstr, tables

# pamqp reads long-longs as signed
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "b": st.booleans(),
    "o": st.integers(0, 255),
    "s": st.integers(0, 2**16 - 1),
    "l": st.integers(0, 2**32 - 1),
    "L": st.integers(0, 2**63 - 1),
    "S": shortstr,
    "B": st.binary(max_size=60),
    "T": tables,
}
PAMQP_INDEXES = sorted(commands.INDEX_MAPPING)


def of_class(method_class: type[methods.Method]) -> st.SearchStrategy[methods.Method]:
    hints = get_type_hints(method_class, include_extras=True)
    return st.builds(method_class, **{name: FIELDS[hint.__metadata__[0]] for name, hint in hints.items()})


any_method = st.sampled_from(sorted(METHOD_CLASSES.values(), key=lambda each: each.__name__)).flatmap(of_class)
pamqp_method = st.sampled_from(PAMQP_INDEXES).flatmap(
    lambda index: of_class(METHOD_CLASSES[index >> 16, index & 0xFFFF])
)


def unchecked(theirs: type[Any]) -> Any:
    """A pamqp method without its checks of names and lengths, which a broker of our kind does not have."""
    loose: Any = type(theirs.__name__, (theirs,), {"__slots__": theirs.__slots__, "validate": lambda self: None})
    return loose.__new__(loose)


def plain(value: Any) -> Any:
    """pamqp decodes long strings as text where it can."""
    return value.encode() if isinstance(value, str) else value


@given(any_method, st.integers(0, 65535))
def test_methods_survive_the_wire(method: methods.Method, channel: int) -> None:
    wire = methods.encode(channel, method)
    assert wire[7:-1] == bytes((0, methods.method_id(method)[0], 0, methods.method_id(method)[1])) + (
        methods.encode_arguments(method)
    )
    decoded = methods.decode(*methods.method_id(method), wire[11:-1])
    assert repr(decoded) == repr(method)


@given(pamqp_method, st.integers(0, 65535))
def test_what_we_encode_pamqp_decodes(method: methods.Method, channel: int) -> None:
    wire = methods.encode(channel, method)
    consumed, of_channel, theirs = frame.unmarshal(wire)
    assert (consumed, of_channel) == (len(wire), channel)
    for ours, (_, value) in zip(method, theirs, strict=True):  # type: ignore[arg-type]
        if not isinstance(ours, dict):      # tables have their own test
            assert plain(ours) == plain(value)


@given(pamqp_method)
def test_what_pamqp_encodes_we_decode(method: methods.Method) -> None:
    class_id, method_id = methods.method_id(method)
    theirs = unchecked(commands.INDEX_MAPPING[class_id << 16 | method_id])
    expected = []
    for name, value in zip(theirs.__slots__, method, strict=True):
        if isinstance(value, dict):
            value = {"a": 1, "b": {"c": [True]}}
        elif isinstance(value, bytes):
            value = value.hex().encode()
        expected.append(value)
        setattr(theirs, name, value.decode() if isinstance(value, bytes) else value)
    assert methods.decode(class_id, method_id, theirs.marshal()) == tuple(expected)


@given(st.data())
def test_damaged_arguments_decode_or_are_a_syntax_error(data: st.DataObject) -> None:
    method = data.draw(any_method)
    arguments = data.draw(damaged(st.just(methods.encode_arguments(method))))
    try:
        decoded = methods.decode(*methods.method_id(method), arguments)
    except SyntaxError_:
        return
    again = methods.encode_arguments(decoded)
    assert repr(methods.decode(*methods.method_id(method), again)) == repr(decoded)


@given(st.integers(0, 130), st.integers(0, 130), st.binary(max_size=40))
def test_any_bytes_decode_or_are_an_error(class_id: int, method_id: int, arguments: bytes) -> None:
    try:
        methods.decode(class_id, method_id, arguments)
    except (SyntaxError_, CommandInvalid, NotImplemented_):
        pass
