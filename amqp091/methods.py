"""Methods as bytes and back: `decode` the arguments of a method frame, `encode` a whole one.

The classes are those of amqp091/method_table.py. A method without fields is an empty tuple: test
`method is None` or isinstance, never its truth. Owns no state; knows no channel's state.
"""
from typing import Any, Final, get_type_hints

from amqp091.constants import MethodId
from amqp091.errors import CommandInvalid, NotImplemented_, SyntaxError_
from amqp091.fields import method_frame, read_fields, write_fields
from amqp091.method_table import *  # noqa: F403  the classes belong to this module's surface
from amqp091.method_table import METHOD_CLASSES, METHOD_IDS

Method = tuple[Any, ...]

# classes of the AMQP specifications that no broker of this family has: file, stream, dtx, tunnel, test
CLASSES_NOT_IMPLEMENTED: Final = frozenset({70, 80, 100, 110, 120})


def _signature(method_class: type[Method]) -> bytes:
    """The letters of a class's fields, from their types."""
    hints = get_type_hints(method_class, include_extras=True)
    fields: tuple[str, ...] = method_class._fields  # type: ignore[attr-defined]
    return "".join(hints[field].__metadata__[0] for field in fields).encode()


_DECODED: Final = {
    method_id: (_signature(method_class), method_class._make)  # type: ignore[attr-defined]
    for method_id, method_class in METHOD_CLASSES.items()
}
_ENCODED: Final = {
    method_class: (*method_id, _DECODED[method_id][0]) for method_class, method_id in METHOD_IDS.items()
}


def method_id(method: Method) -> MethodId:
    """(class id, method id) of a method."""
    return METHOD_IDS[type(method)]


def method_name(of: MethodId) -> str:
    """As RabbitMQ's texts have it: `queue.declare`, `connection.start-ok`."""
    method_class = METHOD_CLASSES.get(of)
    if method_class is None:
        return f"{of[0]}.{of[1]}"
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in method_class.__name__).split()
    return f"{words[0]}.{'_'.join(words[1:])}"


def decode(class_id: int, method_id: int, arguments: bytes) -> Any:
    """The method of a frame: what follows class id and method id is `arguments`, to the last byte."""
    decoded = _DECODED.get((class_id, method_id))
    if decoded is None:
        if class_id in CLASSES_NOT_IMPLEMENTED:
            raise NotImplemented_(f"class {class_id} is not implemented", class_id=class_id, method_id=method_id)
        raise CommandInvalid(f"unknown method {class_id}.{method_id}", class_id=class_id, method_id=method_id)
    signature, make = decoded
    try:
        return make(read_fields(signature, arguments))
    except SyntaxError_ as error:
        name = method_name((class_id, method_id))
        raise SyntaxError_(
            f"cannot decode '{name}': {error.text}", class_id=class_id, method_id=method_id
        ) from None


def encode(channel: int, method: Method) -> bytes:
    """A method as a whole frame. ValueError or TypeError for values that do not fit their fields."""
    class_id, method_id, signature = _ENCODED[type(method)]
    return method_frame(channel, class_id, method_id, signature, method)


def encode_arguments(method: Method) -> bytes:
    """The arguments alone, as decode takes them."""
    return write_fields(_ENCODED[type(method)][2], method)
