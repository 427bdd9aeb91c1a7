"""Requests to shards and their answers, across the death of a shard.

Owns what is unanswered. A request travels as a record of the link, so it keeps
its place among the publishes and acks before and after it. While a shard is down
its requests wait for it, up to a limit, and are sent again once it is back: all
verbs that wait are idempotent from the client's view. Never blocks, reads no clock.
"""
import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson

from amqp091.errors import NotFound, error_from_code

SHARD_WAIT_S_MAX: Final = 60.0
"""A shard is back within two seconds; what takes longer is not coming back by itself."""
REQUEST_ID_MAX: Final = 0xFFFF_FFFF

Document = dict[str, Any]


class ShardChannel(Protocol):
    """What carries requests: the compiled core."""

    def request(self, shard: int, request_id: int, document: bytes) -> bool: ...


class _Pending:
    """One unanswered request."""

    __slots__ = ("document", "future", "moot_when_down", "prepare", "since_s")

    def __init__(
        self,
        document: bytes,
        future: "asyncio.Future[Document]",
        moot_when_down: bool,
        prepare: Callable[[int], None] | None,
    ) -> None:
        self.document = document
        self.future = future
        self.moot_when_down = moot_when_down
        self.prepare = prepare
        self.since_s: float | None = None       # when it began to wait for the shard


class ShardRequests:
    """The requests of one gateway to all shards."""

    def __init__(self, channel: ShardChannel, loop: asyncio.AbstractEventLoop, shard_count: int) -> None:
        self._channel = channel
        self._loop = loop
        self._last_id = 0
        self._sent: list[dict[int, _Pending]] = [{} for _ in range(shard_count)]
        self._waiting: list[dict[int, _Pending]] = [{} for _ in range(shard_count)]

    def ask(
        self,
        shard: int,
        message: Document,
        *,
        moot_when_down: bool = False,
        prepare: Callable[[int], None] | None = None,
    ) -> "asyncio.Future[Document]":
        """The future answer; refusals raise the AMQP error that the shard names.

        `moot_when_down`: a shard that died has forgotten what this asks it to forget, so {} is the answer.
        `prepare`: called with the request's id each time just before it is sent.
        """
        pending = _Pending(orjson.dumps(message), self._loop.create_future(), moot_when_down, prepare)
        self._send(shard, self._new_id(shard), pending)
        return pending.future

    def answered(self, shard: int, request_id: int, document: bytes) -> None:
        """A RESPONSE record. An unknown id is of a request whose asker gave up."""
        pending = self._sent[shard].pop(request_id, None)
        if pending is None or pending.future.done():
            return
        answer: Document = orjson.loads(document)
        error = answer.get("error")
        if error is None:
            pending.future.set_result(answer)
        else:
            pending.future.set_exception(error_from_code(error[0], error[1]))

    def completed(self, shard: int, request_id: int) -> None:
        """The answer needed no document: GET_OK, already in the client's output."""
        pending = self._sent[shard].pop(request_id, None)
        if pending is not None and not pending.future.done():
            pending.future.set_result({})

    def shard_down(self, shard: int) -> None:
        """What was sent is unanswered for good; it waits for the next incarnation or is moot."""
        sent = self._sent[shard]
        self._sent[shard] = {}
        for request_id, pending in sent.items():
            self._hold(shard, request_id, pending)

    def shard_up(self, shard: int) -> None:
        """Sends what waited, in order."""
        waiting = self._waiting[shard]
        self._waiting[shard] = {}
        for request_id, pending in waiting.items():
            if not pending.future.done():
                self._send(shard, request_id, pending)

    def expire(self, now_s: float) -> None:
        """Refuses what has waited for too long. Called by the sweep."""
        for shard, waiting in enumerate(self._waiting):
            for request_id, pending in list(waiting.items()):
                if pending.since_s is None:
                    pending.since_s = now_s
                elif now_s - pending.since_s > SHARD_WAIT_S_MAX:
                    del waiting[request_id]
                    if not pending.future.done():
                        pending.future.set_exception(NotFound(f"home shard {shard} is down or inaccessible"))

    def unanswered_count(self) -> int:
        return sum(len(sent) + len(waiting) for sent, waiting in zip(self._sent, self._waiting, strict=True))

    def _send(self, shard: int, request_id: int, pending: _Pending) -> None:
        if pending.prepare is not None:
            pending.prepare(request_id)
        if self._channel.request(shard, request_id, pending.document):
            self._sent[shard][request_id] = pending
        else:
            self._hold(shard, request_id, pending)

    def _hold(self, shard: int, request_id: int, pending: _Pending) -> None:
        if pending.moot_when_down:
            if not pending.future.done():
                pending.future.set_result({})
        else:
            pending.since_s = None
            self._waiting[shard][request_id] = pending

    def _new_id(self, shard: int) -> int:
        while True:
            self._last_id = self._last_id % REQUEST_ID_MAX + 1
            if self._last_id not in self._sent[shard] and self._last_id not in self._waiting[shard]:
                return self._last_id
