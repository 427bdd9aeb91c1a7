"""What an operator does with single messages of a queue: looks at them, deletes or moves them. Verbs of control.py.

    verb                    fields beside those of message_filter.py    answer
    queue.browse            queue_id, count, payload, payload_bytes_max messages (message_rows.py), next, last
    queue.delete_messages   queue_id                                    message_count, next, last
    queue.move_messages     message_moves.py                            message_count, unroutable, next, last, stopped

An answer has limits, of messages, bytes and time; where it ends early, `next` is the position to go on from (field
`from`), else null, and `last` is where that ends (field `to`): what is asked for in several requests has an end,
whatever comes into the queue meanwhile. In between the shard goes on with its messages: the work is done in slices. The
verbs may be asked again: what is gone is gone.
"""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

from amqp091.errors import PreconditionFailed
from shards.engine import Engine
from shards.engine.browsing import DELAYED, READY, Browsed
from shards.message_filter import MessageFilter, Range, filter_of
from shards.message_moves import Mover, destination_of
from shards.message_rows import row
from topology.replica import Replica

BROWSED_MESSAGES_MAX: Final = 1000
"""Of one answer."""
BROWSED_BYTES_MAX: Final = 4 << 20
"""Of payloads and properties in one answer: it is JSON, and goes through two processes."""
PAYLOAD_BYTES_SHOWN: Final = 4096
PAYLOAD_BYTES_SHOWN_MAX: Final = 1 << 20
ANSWER_S_MAX: Final = 2.0
"""After this an answer says how far it has come: whoever asks waits for ten seconds."""
SLICE_MESSAGES_MAX: Final = 256
SLICE_BYTES_MAX: Final = 1 << 20
"""Looked at in one go, well under a millisecond where nothing of it has to come from the disk."""

SLICE_POSITIONS_MAX: Final = 4096
"""The same where nothing is read."""

Document = dict[str, Any]
Found = TypeVar("Found")
Look = Callable[[int, int], tuple[list[Found], int | None]]
"""What is found from one position to another, and where to go on or None."""


class Messages:
    """The verbs of one shard."""

    def __init__(self, engine: Engine, replica: Replica, now: Callable[[], None], wake: Callable[[], None]) -> None:
        """`now`: the engine is told the time; `wake`: the queues have changed."""
        self._engine = engine
        self._replica = replica
        self._now = now
        self._wake = wake

    async def browse(self, request: Document) -> Document:
        last = self._engine.last_position(request["queue_id"])
        wanted = filter_of(request, last)
        count_max = _number(request, "count", BROWSED_MESSAGES_MAX, BROWSED_MESSAGES_MAX)
        payload = bool(request.get("payload", True))
        payload_bytes = _number(request, "payload_bytes_max", PAYLOAD_BYTES_SHOWN, PAYLOAD_BYTES_SHOWN_MAX)
        queue_id = request["queue_id"]
        rows: list[Document] = []
        size_bytes = 0
        on: int | None = None
        look = self._look(queue_id, wanted, payload_bytes if payload else 0)
        async for messages, following in slices(wanted.ranges, look):
            on = following
            for message in messages:
                if len(rows) == count_max or size_bytes >= BROWSED_BYTES_MAX:
                    return {"messages": rows, "next": message.position, "last": last}
                rows.append(row(message, payload=payload))
                size_bytes += len(message.payload) + len(message.properties)
            if len(rows) == count_max:
                break
        return {"messages": rows, "next": on, "last": last}

    async def delete(self, request: Document) -> Document:
        queue_id, count = request["queue_id"], 0
        last = self._engine.last_position(queue_id)
        wanted = not_held(request, last)
        on: int | None = None
        async for positions, following in slices(wanted.ranges, self._find(queue_id, wanted)):
            on = following
            count += self._engine.delete_messages(queue_id, positions)
            self._wake()
        return {"message_count": count, "next": on, "last": last}

    async def move(self, request: Document) -> Document:
        last = self._engine.last_position(request["queue_id"])
        wanted = not_held(request, last)
        mover = Mover(self._engine, destination_of(request, self._replica), self._now, self._wake)
        moved = mover.result
        on: int | None = None
        async for messages, following in slices(wanted.ranges, self._look(request["queue_id"], wanted, 0)):
            on = following
            await mover.move(messages)
            if moved.stopped is not None:
                on = moved.stopped_at
                break
        return {
            "message_count": moved.message_count, "unroutable": moved.unroutable, "next": on, "last": last,
            "stopped": moved.stopped,
        }

    def _look(self, queue_id: int, wanted: MessageFilter, payload_bytes: int) -> Look[Browsed]:
        """The messages that are meant, with so much of their payloads."""

        def look(first: int, last: int) -> tuple[list[Browsed], int | None]:
            messages, following = self._engine.browse(
                queue_id, first, last, wanted.states, SLICE_MESSAGES_MAX, SLICE_BYTES_MAX, payload_bytes,
                wanted.texts, wanted.properties_texts,
            )
            return [message for message in messages if wanted.accepts(message)], following

        return look

    def _find(self, queue_id: int, wanted: MessageFilter) -> Look[int]:
        """Their positions. Where these and their states settle it, no message is read."""
        if not wanted.looks_inside:
            return lambda first, last: self._engine.positions(queue_id, first, last, wanted.states, SLICE_POSITIONS_MAX)
        look = self._look(queue_id, wanted, 0)

        def find(first: int, last: int) -> tuple[list[int], int | None]:
            messages, following = look(first, last)
            return [message.position for message in messages], following

        return find


async def slices(ranges: Sequence[Range], look: Look[Found]) -> AsyncIterator[tuple[list[Found], int | None]]:
    """What is found in the ranges, some at a time, and where to go on behind it (None: that is the end).

    Ends early when the time of an answer is up.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + ANSWER_S_MAX
    next_ranges: list[int | None] = [*(first for first, _ in ranges[1:]), None] if ranges else []
    for (first, last), next_range in zip(ranges, next_ranges, strict=True):
        following: int | None = first
        while following is not None:
            found, following = look(following, last)
            if following is not None and following > last:
                following = None
            yield found, next_range if following is None else following
            if loop.time() >= until_s:
                return
            await asyncio.sleep(0)


def not_held(request: Document, last: int) -> MessageFilter:
    """The filter of something that is to be changed."""
    wanted = filter_of(request, last)
    if wanted.states & ~(READY | DELAYED):
        raise PreconditionFailed("a message that a consumer holds cannot be deleted or moved")
    return wanted


def _number(request: Document, field: str, default: int, highest: int) -> int:
    value = request.get(field, default)
    if type(value) is not int or not 0 <= value <= highest:
        raise PreconditionFailed(f"{field} is a number from 0 to {highest}, not {value!r}")
    return value
