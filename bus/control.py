"""The control bus: requests, answers and pushes in JSON, for everything that is not per message.

One server (supervisor, catalog) and many clients. An address `unix://...` is a Unix socket (bus/unix_carrier.py), any
other is ZeroMQ's (bus/zmq_carrier.py). What one peer sends arrives in its order; handlers are started in that order
and may overlap from their first await on. Answers to requests that were sent before a peer was restarted never reach
its successor as answers to something else, because each client counts its requests from a random number.

A message is one JSON object:

    {"kind": "hello"}
    {"kind": "request",  "id": n, "body": {...}}       either way
    {"kind": "response", "id": n, "body": {...}}       or "error": [code, text]
    {"kind": "push",     "body": {...}}                either way, not answered

Never carries messages of clients, but for those that an operator looks at (shards/messages.py).
"""
from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from bus.unix_carrier import SCHEME, UnixClient, UnixServer

if TYPE_CHECKING:
    from bus.zmq_carrier import ZmqClient, ZmqServer

logger = logging.getLogger(__name__)

Message = dict[str, Any]

INTERNAL_ERROR: Final = 541
LINGER_S: Final = 0.5
"""What was said last (an answer, "stopped") still leaves when a socket is closed."""


class ControlError(Exception):
    """The answer to a request that failed: an AMQP reply code (or 0) and a text for people."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return self.text


class ControlTimeout(ControlError):
    """No answer in time."""


class ControlClosed(ControlError):
    """This end was closed, or the peer is not connected."""


def _first_request_id() -> Iterator[int]:
    return itertools.count(secrets.randbits(32) << 16)


class _Requests:
    """Requests of one end that wait for an answer, with what was sent, so that it can be sent again."""

    def __init__(self) -> None:
        self._ids = _first_request_id()
        self._waiting: dict[int, tuple[asyncio.Future[Message], bytes]] = {}

    def open(self, message: Message) -> tuple[int, asyncio.Future[Message], bytes]:
        request_id = next(self._ids)
        data = orjson.dumps({"kind": "request", "id": request_id, "body": message})
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = (future, data)
        return request_id, future, data

    def forget(self, request_id: int) -> None:
        self._waiting.pop(request_id, None)

    def answer(self, envelope: Message) -> None:
        future, _ = self._waiting.pop(envelope["id"], (None, b""))
        if future is None or future.done():
            return
        error = envelope.get("error")
        if error is None:
            future.set_result(envelope.get("body") or {})
        else:
            future.set_exception(ControlError(int(error[0]), str(error[1])))

    def unanswered(self) -> list[bytes]:
        return [data for _, data in self._waiting.values()]

    def fail_all(self, error: ControlError) -> None:
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(error)


async def _wait(future: asyncio.Future[Message], message: Message, timeout_s: float | None) -> Message:
    try:
        async with asyncio.timeout(timeout_s):
            return await future
    except TimeoutError:
        raise ControlTimeout(INTERNAL_ERROR, f"no answer to {message.get('verb')!r} within {timeout_s} s") from None


async def _answer(run: Callable[[Message], Awaitable[Message | None]], envelope: Message) -> bytes:
    """Runs a handler and makes the response, whatever becomes of it."""
    response: Message = {"kind": "response", "id": envelope["id"]}
    try:
        response["body"] = await run(envelope["body"]) or {}
    except ControlError as error:
        response["error"] = [error.code, error.text]
    except Exception as error:
        logger.exception("the handler of %r failed", envelope["body"].get("verb"))
        response["error"] = [INTERNAL_ERROR, f"INTERNAL_ERROR - {type(error).__name__}: {error}"]
    return orjson.dumps(response)


def _serve(address: str, on_message: Callable[[str, bytes], None]) -> UnixServer | ZmqServer:
    loop = asyncio.get_running_loop()
    if address.startswith(SCHEME):
        return UnixServer(loop, address, on_message)
    from bus.zmq_carrier import ZmqServer  # a library that most brokers do not need

    return ZmqServer(loop, address, on_message)


def _connect(address: str, identity: str, on_message: Callable[[bytes], None]) -> UnixClient | ZmqClient:
    loop = asyncio.get_running_loop()
    if address.startswith(SCHEME):
        return UnixClient(loop, address, identity, on_message)
    from bus.zmq_carrier import ZmqClient

    return ZmqClient(loop, address, identity, on_message)


class ControlServer:
    """The answering side. `handle(peer, message)` answers requests; for a push its result is dropped."""

    def __init__(
        self,
        address: str,
        handle: Callable[[str, Message], Awaitable[Message | None]],
        *,
        on_peer: Callable[[str], None] | None = None,
    ) -> None:
        self.address = address
        self._handle = handle
        self._on_peer = on_peer
        self._requests: dict[str, _Requests] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._carrier: UnixServer | ZmqServer | None = None

    async def start(self) -> None:
        self._carrier = _serve(self.address, self._on_message)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for requests in self._requests.values():
            requests.fail_all(ControlClosed(INTERNAL_ERROR, "closed"))
        if self._carrier is not None:
            self._carrier.close(LINGER_S)
            self._carrier = None

    def push(self, peer: str, message: Message) -> None:
        """A message that is not answered; dropped where the peer is not connected."""
        self._send(peer, orjson.dumps({"kind": "push", "body": message}))

    async def ask(self, peer: str, message: Message, timeout_s: float | None) -> Message:
        requests = self._requests.setdefault(peer, _Requests())
        request_id, future, data = requests.open(message)
        try:
            if not self._send(peer, data):
                raise ControlClosed(INTERNAL_ERROR, f"{peer} is not connected")
            return await _wait(future, message, timeout_s)
        finally:
            requests.forget(request_id)

    def forget_peer(self, peer: str) -> None:
        """The peer is gone for good: what it was asked fails now instead of at its timeout."""
        requests = self._requests.pop(peer, None)
        if requests is not None:
            requests.fail_all(ControlClosed(INTERNAL_ERROR, f"{peer} is gone"))

    def _send(self, peer: str, data: bytes) -> bool:
        return self._carrier is not None and self._carrier.send(peer, data)

    def _on_message(self, peer: str, data: bytes) -> None:
        envelope = orjson.loads(data)
        kind = envelope["kind"]
        if kind == "response":
            requests = self._requests.get(peer)
            if requests is not None:
                requests.answer(envelope)
        elif kind == "hello":
            if self._on_peer is not None:
                self._on_peer(peer)
        else:
            task = asyncio.get_running_loop().create_task(self._run(peer, envelope))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, peer: str, envelope: Message) -> None:
        async def run(message: Message) -> Message | None:
            return await self._handle(peer, message)

        if envelope["kind"] == "request":
            self._send(peer, await _answer(run, envelope))
            return
        try:
            await run(envelope["body"])
        except Exception:
            logger.exception("the handler of %r from %s failed", envelope["body"].get("verb"), peer)


class ControlClient:
    """The asking side, which the server may ask and push to as well."""

    def __init__(
        self,
        address: str,
        identity: str,
        *,
        on_push: Callable[[Message], None] | None = None,
        handle: Callable[[Message], Awaitable[Message | None]] | None = None,
    ) -> None:
        self.address = address
        self.identity = identity
        self._on_push = on_push
        self._handle = handle
        self._requests = _Requests()
        self._tasks: set[asyncio.Task[None]] = set()
        self._carrier: UnixClient | ZmqClient | None = None

    async def start(self) -> None:
        """Connects (the server may come later) and says hello."""
        self._connect()

    def _connect(self) -> None:
        self._carrier = _connect(self.address, self.identity, self._on_message)
        self._send(orjson.dumps({"kind": "hello"}))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        self._requests.fail_all(ControlClosed(INTERNAL_ERROR, "closed"))
        if self._carrier is not None:
            self._carrier.close(LINGER_S)

    async def request(self, message: Message, timeout_s: float | None = None) -> Message:
        """The answer; ControlError where the handler raised it or none came in time."""
        request_id, future, data = self._requests.open(message)
        try:
            if not self._send(data):
                raise ControlClosed(INTERNAL_ERROR, "closed")
            return await _wait(future, message, timeout_s)
        finally:
            self._requests.forget(request_id)

    def push(self, message: Message) -> None:
        self._send(orjson.dumps({"kind": "push", "body": message}))

    def resend_pending(self) -> None:
        """After the server was restarted: says hello and asks again, in order, what is unanswered.

        On a connection of its own: the old one may not have noticed yet that its server is dead, and would swallow
        what it is given. A request may be handled twice, so only idempotent ones belong to a server that is
        restarted under its clients.
        """
        if self._carrier is None:
            return
        self._carrier.close()
        self._connect()
        for data in self._requests.unanswered():
            self._send(data)

    def _send(self, data: bytes) -> bool:
        return self._carrier is not None and self._carrier.send(data)

    def _on_message(self, data: bytes) -> None:
        envelope = orjson.loads(data)
        kind = envelope["kind"]
        if kind == "response":
            self._requests.answer(envelope)
        elif kind == "push":
            if self._on_push is not None:
                self._on_push(envelope["body"])
        elif kind == "request":
            task = asyncio.get_running_loop().create_task(self._run(envelope))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, envelope: Message) -> None:
        async def run(message: Message) -> Message | None:
            if self._handle is None:
                raise ControlError(INTERNAL_ERROR, f"{self.identity} answers no requests")
            return await self._handle(message)

        self._send(await _answer(run, envelope))
