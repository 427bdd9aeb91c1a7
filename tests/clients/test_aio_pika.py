"""aio-pika over a live broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.patterns import RPC

from tests.conftest import Names

WAIT_S = 20


@pytest_asyncio.fixture
async def connection(url: str) -> AsyncIterator[AbstractConnection]:
    """A plain connection."""
    opened = await aio_pika.connect(url)
    async with opened:
        yield opened


async def test_publish_with_confirms_and_iterate(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    queue = await channel.declare_queue(names("q"), durable=True)
    exchange = await channel.declare_exchange(names("e"), aio_pika.ExchangeType.TOPIC, durable=True)
    await queue.bind(exchange, "orders.*")
    await asyncio.gather(
        *(
            exchange.publish(
                aio_pika.Message(str(n).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT), "orders.new"
            )
            for n in range(200)
        )
    )
    got = []
    async with queue.iterator() as messages:
        async for message in messages:
            async with message.process():
                got.append(int(message.body))
            if len(got) == 200:
                break
    assert sorted(got) == list(range(200))


async def test_a_message_that_fails_is_requeued_or_rejected(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel()
    queue = await channel.declare_queue(names("q"))
    await channel.default_exchange.publish(aio_pika.Message(b"x"), names("q"))
    first = await queue.get(timeout=WAIT_S)
    with pytest.raises(RuntimeError):
        async with first.process(requeue=True):
            raise RuntimeError("again, please")
    second = await queue.get(timeout=WAIT_S)
    assert second.redelivered
    with pytest.raises(RuntimeError):
        async with second.process(requeue=False):
            raise RuntimeError("away with it")
    assert await queue.get(fail=False) is None


async def test_an_unroutable_message_is_told(connection: AbstractConnection) -> None:
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    with pytest.raises(aio_pika.exceptions.DeliveryError):
        await channel.default_exchange.publish(aio_pika.Message(b"x"), "t-nobody", mandatory=True)


async def test_many_channels_at_once(connection: AbstractConnection, names: Names) -> None:
    async def one(number: int) -> None:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for turn in range(5):
            await channel.default_exchange.publish(aio_pika.Message(f"{number}/{turn}".encode()), queue.name)
        for turn in range(5):
            message = await queue.get(timeout=WAIT_S)
            assert message.body == f"{number}/{turn}".encode()
            await message.ack()
        await channel.close()

    await asyncio.gather(*(one(number) for number in range(20)))


async def test_a_transaction(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel(publisher_confirms=False)
    queue = await channel.declare_queue(names("q"))
    with pytest.raises(ZeroDivisionError):
        async with channel.transaction():
            await channel.default_exchange.publish(aio_pika.Message(b"dropped"), names("q"))
            raise ZeroDivisionError
    async with channel.transaction():
        await channel.default_exchange.publish(aio_pika.Message(b"kept"), names("q"))
    message = await queue.get(timeout=WAIT_S)
    assert message.body == b"kept"
    await message.ack()


async def test_the_rpc_pattern(url: str, names: Names) -> None:
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel()
        rpc = await RPC.create(channel)

        async def multiply(*, x: int, y: int) -> int:
            return x * y

        method = names("multiply")
        await rpc.register(method, multiply, auto_delete=True)
        results = await asyncio.gather(*(rpc.call(method, kwargs={"x": n, "y": n}) for n in range(20)))
        assert results == [n * n for n in range(20)]
        await rpc.close()


async def test_headers_exchange_and_properties(connection: AbstractConnection, names: Names) -> None:
    channel = await connection.channel()
    exchange = await channel.declare_exchange(names("e"), aio_pika.ExchangeType.HEADERS)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "", arguments={"x-match": "all", "kind": "report", "format": "pdf"})
    await exchange.publish(aio_pika.Message(b"no", headers={"kind": "report"}), "")
    await exchange.publish(
        aio_pika.Message(
            b"yes",
            headers={"kind": "report", "format": "pdf"},
            priority=3,
            message_id="m-1",
            content_type="application/pdf",
        ),
        "",
    )
    message: AbstractIncomingMessage = await queue.get(timeout=WAIT_S)
    assert (message.body, message.message_id, message.content_type, message.priority) == (
        b"yes",
        "m-1",
        "application/pdf",
        3,
    )
    await message.ack()
