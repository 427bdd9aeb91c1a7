"""Field tables as JSON and back, without loss: how arguments travel between processes and are stored.

Text, numbers, booleans, null, arrays and tables stand for themselves. What JSON has no form for is
an object with the one member TAG first:

    {"$": "bytes", "value": hex}         a long string that is not UTF-8
    {"$": "binary", "value": hex}        Binary
    {"$": "timestamp", "value": int}     Timestamp
    {"$": "decimal", "value": text}      Decimal
    {"$": "double", "value": text}       NaN and the infinities
    {"$": "table", "value": [[name as hex, value], ...]}   a table with a name that is TAG or not UTF-8
"""
import math
from decimal import Decimal
from typing import Any, Final

from amqp091.values import Binary, Timestamp

TAG: Final = "$"


def to_json(table: dict[str, Any]) -> dict[str, Any]:
    """A decoded field table as plain JSON values."""
    if any(name == TAG or not _is_utf8(name) for name in table):
        pairs = [
            [name.encode("utf-8", "surrogateescape").hex(), _value_to_json(value)] for name, value in table.items()
        ]
        return {TAG: "table", "value": pairs}
    return {name: _value_to_json(value) for name, value in table.items()}


def from_json(document: dict[str, Any]) -> dict[str, Any]:
    """The field table that to_json made `document` of."""
    table = _value_from_json(document)
    if not isinstance(table, dict):
        raise ValueError("not a field table")
    return table


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tagged(tag: str, value: object) -> dict[str, Any]:
    return {TAG: tag, "value": value}


def _value_to_json(value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case Timestamp():
            return _tagged("timestamp", int(value))
        case int():
            return value
        case float():
            return value if math.isfinite(value) else _tagged("double", repr(value))
        case Binary():
            return _tagged("binary", value.hex())
        case bytes():
            return _tagged("bytes", value.hex())
        case Decimal():
            return _tagged("decimal", str(value))
        case dict():
            return to_json(value)
        case list() | tuple():
            return [_value_to_json(item) for item in value]
        case _:
            raise TypeError(f"a field table cannot hold {type(value).__name__}")


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_value_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {name: _value_from_json(item) for name, item in value.items()}
    content = value["value"]
    match value[TAG]:
        case "bytes":
            return bytes.fromhex(content)
        case "binary":
            return Binary.fromhex(content)
        case "timestamp":
            return Timestamp(content)
        case "decimal":
            return Decimal(content)
        case "double":
            return float(content)
        case "table":
            return {
                bytes.fromhex(name).decode("utf-8", "surrogateescape"): _value_from_json(item)
                for name, item in content
            }
        case tag:
            raise ValueError(f"unknown tag {tag!r} in a field table")
