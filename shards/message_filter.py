"""Which messages somebody means who looks at a queue, deletes from it or moves out of it: by position, state, content.

The fields of a request (browse, delete, move), all of them optional:

    from, to        the lowest and the highest position that count; without `to` what came after the request does not
    positions       [[first, last], ...], both ends included
    states          some of "ready", "unacked", "delayed"; without it ready
    search          a text in the routing key, the properties or the body, byte for byte
    headers         {name: value}: header fields by their value as text, as JSON writes it
    routing_key     a pattern of words as topic exchanges know it: `*` one word, `#` any number of them

Values only. What does not decode is refused (PreconditionFailed) before anything is looked at.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from amqp091.errors import AMQPError, PreconditionFailed
from amqp091.properties import decode
from amqp091.table_json import to_json
from shards.engine.browsing import DELAYED, READY, UNACKED, Browsed
from topology.exchanges.topic import TopicTable
from topology.model import QUEUE, Binding

POSITION_MAX: Final = 2**64 - 2
RANGES_MAX: Final = 10_000
"""Of positions in one request: more come in several."""
TEXT_BYTES_MAX: Final = 4096
HEADERS_MAX: Final = 16
STATES: Final = {"ready": READY, "unacked": UNACKED, "delayed": DELAYED}

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """What a message has to be like. `ranges` ascend and do not touch."""

    ranges: tuple[Range, ...] = ((0, POSITION_MAX),)
    states: int = READY
    search: bytes = b""
    headers: Mapping[str, str] | None = None
    routing_key: TopicTable | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether a position and a state do not settle it."""
        return bool(self.search or self.headers or self.routing_key)

    @property
    def texts(self) -> tuple[bytes, ...]:
        return (self.search,) if self.search else ()

    @property
    def properties_texts(self) -> tuple[bytes, ...]:
        """What the properties hold of a message that has the headers: an early no for most others."""
        return tuple(name.encode("utf-8", "surrogateescape") for name in self.headers or ())

    def accepts(self, message: Browsed) -> bool:
        """The rest of it, of a message that holds the texts."""
        if self.routing_key is not None:
            key = message.routing_key.decode("utf-8", "surrogateescape")
            if not self.routing_key.match(key, None):
                return False
        return not self.headers or self._has_headers(message.properties)

    def _has_headers(self, properties: bytes) -> bool:
        try:
            headers = decode(properties).headers or {}
        except AMQPError:
            return False
        return all(name in headers and text_of(headers[name]) == value for name, value in (self.headers or {}).items())


def text_of(value: Any) -> str:
    """A header's value as somebody would type it: a text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(to_json({"": value})[""]).decode()


def filter_of(request: Mapping[str, Any], last: int) -> MessageFilter:
    """The filter that the fields of a request ask for; `last` is the position that was given out last."""
    return MessageFilter(
        _ranges(request.get("positions"), _position(request.get("from", 0)), _position(request.get("to", last))),
        _states(request.get("states")),
        _text(request.get("search", ""), "search").encode("utf-8", "surrogateescape"),
        _headers(request.get("headers")),
        _pattern(request.get("routing_key")),
    )


def _position(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= POSITION_MAX:
        raise PreconditionFailed(f"a position is a number from 0 to {POSITION_MAX}, not {value!r}")
    return value


def _ranges(value: Any, lowest: int, highest: int) -> tuple[Range, ...]:
    if value is None:
        return ((lowest, highest),) if lowest <= highest else ()
    if not isinstance(value, list) or len(value) > RANGES_MAX:
        raise PreconditionFailed(f"positions are up to {RANGES_MAX} pairs of a first and a last one")
    merged: list[Range] = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise PreconditionFailed("positions are pairs of a first and a last one")
    for first, last in sorted(
        (max(lowest, _position(first)), min(highest, _position(last))) for first, last in value
    ):
        if first > last:
            continue
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _states(value: Any) -> int:
    if value is None:
        return READY
    if not isinstance(value, list) or not value or not all(state in STATES for state in value):
        raise PreconditionFailed(f"the states of messages are {', '.join(STATES)}")
    return sum({STATES[state] for state in value})


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_BYTES_MAX:
        raise PreconditionFailed(f"{field} is a text of at most {TEXT_BYTES_MAX} characters")
    return value


def _headers(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > HEADERS_MAX:
        raise PreconditionFailed(f"headers are up to {HEADERS_MAX} names with their values")
    return {_text(name, "the name of a header"): _text(text, "the value of a header") for name, text in value.items()}


def _pattern(value: Any) -> TopicTable | None:
    if value is None:
        return None
    table = TopicTable()
    table.add(Binding("", "", "", QUEUE, _text(value, "routing_key")))
    return table
