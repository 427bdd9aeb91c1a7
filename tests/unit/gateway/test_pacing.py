"""Publishers to flooded queues rest after each read, and go on when the flood is over or their rest is."""
import asyncio
from unittest.mock import patch

from amqp091.method_table import QueueDeclare
from gateway.pacing import REST_S
from tests.unit.gateway.bench import Bench, scenario, turn
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import Published


def bodies(bench: Bench) -> list[bytes]:
    return [r.body for link in bench.links.values() for r in link.records if isinstance(r, Published)]


def flooded_queue(bench: Bench, name: str = "q") -> tuple[int, int]:
    queue = bench.gateway.replica.queue("/", name)
    assert queue is not None
    return queue.shard, queue.queue_id


@scenario
async def test_a_publisher_rests_until_the_flood_is_over(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    shard, queue_id = flooded_queue(bench)
    bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": True})
    client.raw(frames.publish(1, b"1"))
    assert client.connection.feeds_flood == queue_id
    with patch("gateway.pacing.REST_S", 3600.0):        # not over by itself while this machine is busy
        bench.gateway.pacing.rest(client.connection)
    client.raw(frames.publish(1, b"2"))
    await turn()
    assert bodies(bench) == [b"1"] and client.connection.paused
    bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": False})
    await turn()
    assert bodies(bench) == [b"1", b"2"] and not client.connection.paused


@scenario
async def test_the_flood_of_another_queue_is_nothing_to_it(bench: Bench) -> None:
    client = await bench.opened()
    floods = []
    for name in ("q", "other"):
        await client.call(1, QueueDeclare(queue=name))
        shard, queue_id = flooded_queue(bench, name)
        floods.append((shard, queue_id))
        bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": True})
    client.raw(frames.publish(1, b"1"))
    bench.gateway.pacing.rest(client.connection)
    (shard, queue_id), (other_shard, other_id) = floods
    bench.gateway._on_event(other_shard, {"event": "flood", "queue_id": other_id, "on": False})
    assert client.connection.paused
    bench.gateway._on_event(other_shard, {"event": "flood", "queue_id": other_id, "on": True})
    bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": False})
    assert not client.connection.paused


@scenario
async def test_a_rest_ends_by_itself(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    shard, queue_id = flooded_queue(bench)
    bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": True})
    client.raw(frames.publish(1, b"1"))
    bench.gateway.pacing.rest(client.connection)
    rested = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2 * REST_S, rested.set_result, None)
    await rested
    assert not client.connection.paused


@scenario
async def test_a_shard_that_is_down_floods_nothing(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    shard, queue_id = flooded_queue(bench)
    bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": True})
    bench.gateway.on_link_down(bench.links[shard])  # type: ignore[arg-type]
    bench.gateway.on_link_up(bench.links[shard])    # type: ignore[arg-type]
    client.raw(frames.publish(1, b"1"))
    assert not client.connection.feeds_flood


@scenario
async def test_a_connection_that_acknowledges_does_not_rest(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    shard, queue_id = flooded_queue(bench)
    bench.gateway._on_event(shard, {"event": "flood", "queue_id": queue_id, "on": True})
    client.raw(frames.publish(1, b"1"))
    client.raw(frames.ack(1, 0, multiple=True))
    assert client.connection.has_settled
    bench.gateway.pacing.rest(client.connection)
    assert not client.connection.paused and not client.connection.feeds_flood
