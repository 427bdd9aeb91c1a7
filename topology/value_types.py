"""The types of argument values, by the names that RabbitMQ's texts use."""
from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from amqp091.values import Binary, Timestamp

INT32_MIN: Final = -(1 << 31)
INT32_MAX: Final = (1 << 31) - 1
INTEGER_TYPES: Final = ("signedint", "long")


def type_name(value: Any) -> str:
    """The name of a value's type as it would be encoded."""
    if value is None:
        return "void"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Timestamp):
        return "timestamp"
    if isinstance(value, int):
        return "signedint" if INT32_MIN <= value <= INT32_MAX else "long"
    if isinstance(value, Decimal):
        return "decimal"
    if isinstance(value, float):
        return "double"
    if isinstance(value, dict):
        return "table"
    if isinstance(value, (list, tuple)):
        return "array"
    if isinstance(value, Binary):
        return "binary"
    return "longstr"


def type_class(value: Any) -> str:
    """Types that are compared by value among each other share a class."""
    name = type_name(value)
    if name in INTEGER_TYPES or name == "decimal":
        return "int"
    return "float" if name == "double" else name
