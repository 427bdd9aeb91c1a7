"""From the request of a consumer to what it reads of a stream: where it begins, and what passes its filter."""
from typing import Any, Final

from topology.stream_offset import NEXT, STREAM_OFFSET, Start, StreamOffset, stream_offset

STREAM_FILTER: Final = "x-stream-filter"
MATCH_UNFILTERED: Final = "x-stream-match-unfiltered"


def reading(arguments: dict[str, Any], message: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """The keyword arguments of Engine.consume; they mean nothing to a queue that is no stream.

    A consumer that was there before the shard was restarted says the offset that it has come to (`stream_offset` of
    the request); its argument holds for the first time only.
    """
    resumed = message.get("stream_offset")
    if resumed is not None:
        start: StreamOffset | None = StreamOffset(Start.OFFSET, resumed)
    else:
        start = stream_offset(arguments[STREAM_OFFSET], now_ms) if STREAM_OFFSET in arguments else NEXT
    return {
        "start": NEXT if start is None else start,
        "filters": _filters(arguments.get(STREAM_FILTER)),
        "match_unfiltered": arguments.get(MATCH_UNFILTERED) is True,
    }


def _filters(value: Any) -> list[bytes] | None:
    """One string or a list of them; in a list all else is passed over, and what is neither is no filter."""
    if isinstance(value, list):
        return [_octets(item) for item in value if isinstance(item, (str, bytes))]
    return [_octets(value)] if isinstance(value, (str, bytes)) else None


def _octets(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
