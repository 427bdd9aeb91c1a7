"""The classes of argument values: which types are compared by value among each other."""
from __future__ import annotations

from typing import Any, Final

from amqp091.tables import type_name

INTEGER_TYPES: Final = ("signedint", "long")
FLOAT_TYPES: Final = ("float", "double")


def type_class(value: Any) -> str:
    """`int` for all integers and decimals, `float` for both widths, else the type's own name."""
    name = type_name(value)
    if name in INTEGER_TYPES or name == "decimal":
        return "int"
    return "float" if name in FLOAT_TYPES else name


__all__ = ["INTEGER_TYPES", "type_class", "type_name"]
