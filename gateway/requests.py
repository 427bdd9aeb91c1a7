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
"""A shard is back within two seconds; one that takes longer than this is not coming back by itself."""
REQUEST_ID_MAX: Final = 0xFFFF_FFFF

Document = dict[str, Any]


class Carrier(Protocol):
    """What carries requests: the compiled core."""

    def request(self, shard: int, request_id: int, document: bytes) -> bool: ...
    def shard_is_up(self, shard: int) -> bool: ...


class _Request:
    """One unanswered request."""

    __slots__ = ("document", "future", "moot_when_down", "on_answer", "prepare", "shard", "since_s")

    def __init__(
        self,
        shard: int,
        document: bytes | None,
        future: "asyncio.Future[Document]",
        moot_when_down: bool,
        prepare: Callable[[int], None] | None,
        on_answer: Callable[[Document], None] | None,
    ) -> None:
        self.shard = shard
        self.document = document
        self.future = future
        self.moot_when_down = moot_when_down
        self.prepare = prepare
        self.on_answer = on_answer
        self.since_s: float | None = None       # when the sweep first saw it wait for the shard


class ShardRequests:
    """The requests of one gateway to all shards."""

    def __init__(self, carrier: Carrier, loop: asyncio.AbstractEventLoop) -> None:
        self._carrier = carrier
        self._loop = loop
        self._last_id = 0
        self._sent: dict[int, _Request] = {}
        self._waiting: dict[int, _Request] = {}

    def ask(
        self,
        shard: int,
        message: Document,
        *,
        moot_when_down: bool = False,
        prepare: Callable[[int], None] | None = None,
        on_answer: Callable[[Document], None] | None = None,
    ) -> "asyncio.Future[Document]":
        """The future answer; refusals raise the AMQP error that the shard names.

        `moot_when_down`: a shard that died has forgotten what this asks it to forget, so {} is the answer.
        `prepare`: called with the request's id each time just before it is sent.
        `on_answer`: called with the answer when it was granted, before the next record of the shard is looked at;
        whoever awaits the future comes later.
        """
        request = _Request(shard, orjson.dumps(message), self._loop.create_future(), moot_when_down, prepare, on_answer)
        self._send(self._new_id(), request)
        return request.future

    def ask_by_record(self, shard: int, send: Callable[[int], None]) -> "asyncio.Future[Document]":
        """As `ask`, for what has a record of its own: `send` writes it, with the request's id."""
        request = _Request(shard, None, self._loop.create_future(), False, send, None)
        self._send(self._new_id(), request)
        return request.future

    def answered(self, request_id: int, document: bytes) -> None:
        """A RESPONSE record. An unknown id is of a request whose shard was down in between."""
        request = self._sent.pop(request_id, None)
        if request is None or request.future.done():
            return
        answer: Document = orjson.loads(document)
        error = answer.get("error")
        if error is None:
            if request.on_answer is not None:
                request.on_answer(answer)
            request.future.set_result(answer)
        else:
            request.future.set_exception(error_from_code(error[0], error[1]))

    def completed(self, request_id: int, answer: Document | None = None) -> None:
        """The answer was a record."""
        request = self._sent.pop(request_id, None)
        if request is not None and not request.future.done():
            request.future.set_result(answer or {})

    def shard_down(self, shard: int) -> None:
        """What was sent to it is unanswered for good; it waits for the next incarnation or is moot."""
        lost = [request_id for request_id, request in self._sent.items() if request.shard == shard]
        for request_id in lost:
            self._hold(request_id, self._sent.pop(request_id))

    def shard_up(self, shard: int) -> None:
        """Sends what waited for it, in order."""
        held = [request_id for request_id, request in self._waiting.items() if request.shard == shard]
        for request_id in held:
            request = self._waiting.pop(request_id)
            if not request.future.done():
                self._send(request_id, request)

    def expire(self, now_s: float) -> None:
        """Refuses what has waited for too long. Called by the sweep."""
        for request_id, request in list(self._waiting.items()):
            if request.since_s is None:
                request.since_s = now_s
            elif now_s - request.since_s > SHARD_WAIT_S_MAX:
                del self._waiting[request_id]
                if not request.future.done():
                    request.future.set_exception(NotFound(f"home shard {request.shard} is down or inaccessible"))

    @property
    def unanswered_count(self) -> int:
        return len(self._sent) + len(self._waiting)

    def _send(self, request_id: int, request: _Request) -> None:
        if not self._carrier.shard_is_up(request.shard):
            self._hold(request_id, request)
            return
        if request.prepare is not None:
            request.prepare(request_id)
        if request.document is not None:
            self._carrier.request(request.shard, request_id, request.document)
        self._sent[request_id] = request

    def _hold(self, request_id: int, request: _Request) -> None:
        if not request.moot_when_down:
            request.since_s = None
            self._waiting[request_id] = request
        elif not request.future.done():
            request.future.set_result({})

    def _new_id(self) -> int:
        while True:
            self._last_id = self._last_id % REQUEST_ID_MAX + 1
            if self._last_id not in self._sent and self._last_id not in self._waiting:
                return self._last_id
