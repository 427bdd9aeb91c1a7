"""The methods of AMQP 0-9-1 for the raw client: pamqp's codecs without pamqp's opinions about the values.

A test must be able to send a name of 255 bytes or one that no client library lets pass, so the checks are taken out.
The namespaces are spelled as in the specification: ``Queue.Declare(queue="q")``, ``Basic.Ack(delivery_tag=1)``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pamqp import commands


def _without_checks(value: type) -> type:
    return type(
        value.__name__,
        (value,),
        {
            "__slots__": value.__slots__,
            "validate": lambda self: None,
            "__repr__": _show,
            "__eq__": _equal,
            "__hash__": None,
        },
    )


def _show(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name, None)!r}" for name in self.__slots__)
    return f"{self.name}({values})"


def _equal(self: Any, other: object) -> bool:
    return isinstance(other, type(self)) and all(
        getattr(self, name, None) == getattr(other, name, None) for name in self.__slots__
    )


def _namespace(source: type) -> SimpleNamespace:
    return SimpleNamespace(
        **{name: _without_checks(value) for name, value in vars(source).items() if isinstance(value, type)}
    )


Connection = _namespace(commands.Connection)
Channel = _namespace(commands.Channel)
Exchange = _namespace(commands.Exchange)
Queue = _namespace(commands.Queue)
Basic = _namespace(commands.Basic)
Confirm = _namespace(commands.Confirm)
Tx = _namespace(commands.Tx)
Properties: Any = Basic.Properties

BY_INDEX: dict[int, Any] = {
    value.index: value
    for namespace in (Connection, Channel, Exchange, Queue, Basic, Confirm, Tx)
    for value in vars(namespace).values()
    if value is not Properties
}
