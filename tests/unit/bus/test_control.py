"""The control bus: answers, errors, order, restarts. Over Unix sockets, and over ZeroMQ."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.control import ControlClient, ControlClosed, ControlError, ControlServer, ControlTimeout
from tests.unit.bus.conftest import until

Message = dict[str, Any]


async def echo(peer: str, message: Message) -> Message:
    return {"peer": peer, **message}


@asynccontextmanager
async def running(*ends: ControlServer | ControlClient) -> AsyncIterator[None]:
    for end in ends:
        await end.start()
    try:
        yield
    finally:
        for end in reversed(ends):
            await end.close()


@pytest.fixture(params=["unix", "ipc"])
def address(short_directory: Path, request: pytest.FixtureRequest) -> str:
    return f"{request.param}://{short_directory}/c"


async def test_a_request_is_answered(address: str) -> None:
    client = ControlClient(address, "gateway-0")
    async with running(ControlServer(address, echo), client):
        assert await client.request({"verb": "hello"}, 5) == {"peer": "gateway-0", "verb": "hello"}


async def test_an_error_of_the_handler_is_raised_at_the_requester(address: str) -> None:
    async def refuse(peer: str, message: Message) -> Message:
        raise ControlError(404, "no queue 'q' in vhost '/'")

    client = ControlClient(address, "gateway-0")
    async with running(ControlServer(address, refuse), client):
        with pytest.raises(ControlError, match="no queue 'q'") as caught:
            await client.request({"verb": "queue.delete"}, 5)
    assert caught.value.code == 404


async def test_an_unexpected_error_of_the_handler_is_an_internal_error(address: str) -> None:
    async def fail(peer: str, message: Message) -> Message:
        raise KeyError("name")

    client = ControlClient(address, "gateway-0")
    async with running(ControlServer(address, fail), client):
        with pytest.raises(ControlError) as caught:
            await client.request({"verb": "x"}, 5)
    assert caught.value.code == 541


async def test_handlers_start_in_the_order_of_the_requests_and_may_overlap(address: str) -> None:
    seen: list[int] = []
    release = asyncio.Event()

    async def handle(peer: str, message: Message) -> Message:
        seen.append(message["n"])
        if message["n"] == 0:
            await release.wait()
        return {}

    client = ControlClient(address, "gateway-0")
    async with running(ControlServer(address, handle), client):
        requests = [asyncio.ensure_future(client.request({"verb": "x", "n": n}, 5)) for n in range(50)]
        await asyncio.gather(*requests[1:])
        assert not requests[0].done()
        release.set()
        await requests[0]
    assert seen == list(range(50))


async def test_the_server_pushes_and_asks(address: str) -> None:
    pushed: list[Message] = []

    async def answer(message: Message) -> Message:
        if message["verb"] == "refuse":
            raise ControlError(406, "in use")
        return {"double": message["n"] * 2}

    server = ControlServer(address, echo)
    client = ControlClient(address, "shard-1", on_push=pushed.append, handle=answer)
    async with running(server, client):
        await client.request({"verb": "known"}, 5)
        for n in range(10):
            server.push("shard-1", {"n": n})
        assert await server.ask("shard-1", {"verb": "double", "n": 21}, 5) == {"double": 42}
        with pytest.raises(ControlError, match="in use"):
            await server.ask("shard-1", {"verb": "refuse"}, 5)
    assert pushed == [{"n": n} for n in range(10)]


async def test_a_peer_says_hello(address: str) -> None:
    peers: list[str] = []
    async with running(ControlServer(address, echo, on_peer=peers.append), ControlClient(address, "shard-1")):
        await until(lambda: peers == ["shard-1"])


async def test_asking_a_peer_that_is_not_there_fails_at_once(address: str) -> None:
    server = ControlServer(address, echo)
    async with running(server):
        server.push("nobody", {"verb": "x"})
        with pytest.raises(ControlClosed):
            await server.ask("nobody", {"verb": "x"}, 5)


async def test_a_peer_that_is_gone_answers_no_more(address: str) -> None:
    async def never(message: Message) -> Message:
        await asyncio.Event().wait()
        return {}

    server = ControlServer(address, echo)
    client = ControlClient(address, "shard-1", handle=never)
    async with running(server, client):
        await client.request({"verb": "known"}, 5)
        question = asyncio.ensure_future(server.ask("shard-1", {"verb": "x"}, 5))
        await asyncio.sleep(0)
        server.forget_peer("shard-1")
        with pytest.raises(ControlClosed):
            await question


async def test_no_answer_in_time(address: str) -> None:
    client = ControlClient(address, "gateway-0")
    async with running(client):
        with pytest.raises(ControlTimeout):
            await client.request({"verb": "x"}, 0.05)


async def test_requests_survive_a_restart_of_the_server(address: str) -> None:
    asked: list[int] = []

    async def silent(peer: str, message: Message) -> Message:
        asked.append(message["n"])
        await asyncio.Event().wait()
        return {}

    first = ControlServer(address, silent)
    client = ControlClient(address, "gateway-0")
    async with running(client):
        await first.start()
        requests = [asyncio.ensure_future(client.request({"verb": "x", "n": n}, 5)) for n in range(3)]
        await until(lambda: asked == [0, 1, 2])
        await first.close()
        order: list[int] = []

        async def answer(peer: str, message: Message) -> Message:
            order.append(message["n"])
            return {"n": message["n"]}

        second = ControlServer(address, answer)
        async with running(second):
            client.resend_pending()             # once is enough, whether or not the end of the first was noticed
            assert await asyncio.gather(*requests) == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert list(dict.fromkeys(order)) == [0, 1, 2]


async def test_an_answer_for_a_dead_client_never_reaches_its_successor(address: str) -> None:
    release = asyncio.Event()

    async def slow(peer: str, message: Message) -> Message:
        if message["who"] == "first":
            await release.wait()
        return {"who": message["who"]}

    async with running(ControlServer(address, slow)):
        first = ControlClient(address, "gateway-0")
        await first.start()
        request = asyncio.ensure_future(first.request({"verb": "x", "who": "first"}, 5))
        await asyncio.sleep(0.05)
        await first.close()
        with pytest.raises(ControlClosed):
            await request
        second = ControlClient(address, "gateway-0")
        async with running(second):
            asyncio.get_running_loop().call_soon(release.set)
            answers = await asyncio.gather(*(second.request({"verb": "x", "who": "second"}, 5) for _ in range(3)))
            assert answers == [{"who": "second"}] * 3
