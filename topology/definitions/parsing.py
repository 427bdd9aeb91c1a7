"""From bytes to a definitions document: is it JSON, an object, not too large, not too deep?

Looks at no field.
"""
from __future__ import annotations

from typing import Any, Final

import orjson

from amqp091.errors import PreconditionFailed

DOCUMENT_BYTES_MAX: Final = 256 << 20
"""Room for a million queues with bindings. It travels as one message of the control bus, which takes four times that.
"""
DEPTH_MAX: Final = 64
"""As deep as AMQP's tables may be nested, and far below what the encoders of JSON and of tables take."""
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def parse(data: bytes) -> dict[str, Any]:
    """The document. PreconditionFailed says what is wrong with the bytes. Nothing at all is an empty document."""
    if len(data) > DOCUMENT_BYTES_MAX:
        raise PreconditionFailed(f"the definitions have {len(data)} bytes, more than {DOCUMENT_BYTES_MAX}")
    data = data.removeprefix(BYTE_ORDER_MARK)
    if not data.strip():
        return {}
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise PreconditionFailed(f"not_json: {error}") from None
    return checked(document)


def checked(document: Any) -> dict[str, Any]:
    """A document that was parsed elsewhere."""
    if not isinstance(document, dict):
        raise PreconditionFailed("not_json: the definitions are not a JSON object")
    _check_depth(document)
    return document


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(DEPTH_MAX):
        level = [
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise PreconditionFailed(f"the definitions are nested deeper than {DEPTH_MAX}")
