"""Values as RabbitMQ prints them in its error texts, where tools and tests look for them."""
from __future__ import annotations

from decimal import Decimal
from typing import Any

from amqp091.tables import type_name


def text(value: Any) -> str:
    """A value alone: strings as they are, everything else as a term."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else term(value)


def term(value: Any) -> str:
    """A value as an Erlang term: binaries in angle brackets, booleans in lower case."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        scale = -exponent if isinstance(exponent, int) else 0
        return f"{{{scale},{int(value.scaleb(scale))}}}"
    if isinstance(value, bytes):
        return "<<" + ",".join(str(octet) for octet in value) + ">>"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'<<"{escaped}">>' if escaped else "<<>>"
    if isinstance(value, dict):
        return "[" + ",".join(f"{{{term(key)},{type_name(item)},{term(item)}}}" for key, item in value.items()) + "]"
    return "[" + ",".join(f"{{{type_name(item)},{term(item)}}}" for item in value) + "]"


def json_term(value: Any) -> str:
    """A value of a JSON document as an Erlang term: objects are maps."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{term(key)} => {json_term(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(json_term, value)) + "]"
    return term(value)
