"""One object of a definitions document: its fields with their types, and where it stands, for the text of a refusal.

A field that nobody asks for is ignored, as in RabbitMQ. Every refusal is a PreconditionFailed that begins with the
place: `queues[3]: ...`.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from amqp091.errors import AMQPError, PreconditionFailed
from topology.names import stripped

NAME_BYTES_MAX: Final = 255         # a short string of the protocol
INTEGER_MIN: Final = -(1 << 63)     # what a field table can hold
INTEGER_MAX: Final = (1 << 63) - 1
REQUIRED: Final[Any] = object()

T = TypeVar("T")


class Item:
    """An object, and its place in the document."""

    __slots__ = ("place", "values")

    def __init__(self, place: str, values: dict[str, Any]) -> None:
        self.place = place
        self.values = values

    def refusal(self, text: str) -> PreconditionFailed:
        return PreconditionFailed(f"{self.place}: {text}")

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(key) is not None

    def text(self, key: str, default: str = REQUIRED) -> str:
        """A text of any length."""
        return self._of_type(key, str, "a text", default)

    def short(self, key: str, default: str = REQUIRED) -> str:
        """A routing key or another text that has to fit the protocol's short strings."""
        value = self.text(key, default)
        if len(value.encode()) > NAME_BYTES_MAX:
            raise self.refusal(f"{key} is longer than {NAME_BYTES_MAX} bytes")
        return value

    def name(self, key: str = "name") -> str:
        """The name of something: short, without line breaks, not empty."""
        value = stripped(self.short(key))
        if not value:
            raise self.refusal(f"{key} is empty")
        return value

    def flag(self, key: str, default: bool = REQUIRED) -> bool:
        return self._of_type(key, bool, "true or false", default)

    def _of_type(self, key: str, kind: type[T], described: str, default: T) -> T:
        value = self.values.get(key)
        if value is None:
            if default is REQUIRED:
                raise self.refusal(f"{key} is missing")
            return default
        if not isinstance(value, kind):
            raise self.refusal(f"{key} is not {described}")
        return value

    def table(self, key: str) -> dict[str, Any]:
        """A field table: a JSON object, or the empty list that some programs write for one."""
        value = self.values.get(key)
        if value is None or value == []:
            return {}
        if not isinstance(value, dict):
            raise self.refusal(f"{key} is not an object")
        self._check_table(key, value)
        return value

    def _check_table(self, key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                if len(name.encode()) > NAME_BYTES_MAX:
                    raise self.refusal(f"{key} has a name that is longer than {NAME_BYTES_MAX} bytes")
                self._check_table(key, item)
        elif isinstance(value, list):
            for item in value:
                self._check_table(key, item)
        elif isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
            raise self.refusal(f"{key} has a number that does not fit 64 bits")

    def checked(self, check: Callable[[], T]) -> T:
        """What the check returns; what it refuses is told with the place of the item."""
        try:
            return check()
        except AMQPError as error:
            raise self.refusal(error.text) from None


def items(document: dict[str, Any], category: str) -> Iterator[Item]:
    """The objects of a category, which may be missing."""
    found = document.get(category, [])
    if not isinstance(found, list):
        raise PreconditionFailed(f"{category} is not a list")
    for number, values in enumerate(found):
        if not isinstance(values, dict):
            raise PreconditionFailed(f"{category}[{number}]: not an object")
        yield Item(f"{category}[{number}]", values)
