"""The verb that moves messages: where they are routed, what stops it, what comes back to whoever asked."""
from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amqp091.errors import NotFound, PreconditionFailed
from amqp091.properties import Properties, encode
from shards import message_moves
from shards.engine import UnknownQueue
from shards.messages import Messages
from tests.unit.shards.letters import LetterShard, connect, cross
from tests.unit.shards.test_moving import payloads, publish
from topology import changes
from topology.model import EXCHANGE, QUEUE, Binding, Exchange, Queue
from topology.replica import Replica

VHOST = "/"


class Desk:
    """An operator at shard 0, with queues 1, 2 and 3; 100 is on shard 1. Exchange x routes a.# to 2 and c.# to 100."""

    def __init__(self, root: Path) -> None:
        self.shard, self.other = LetterShard(root / "0", 0), LetterShard(root / "1", 1)
        self.replica = Replica()
        self.replica.apply_ops([changes.vhost_add(VHOST)])
        for queue_id in (1, 2, 3, 100):
            (self.shard if queue_id < 100 else self.other).queue(queue_id)
            self.declare(Queue(queue_id, f"q{queue_id}", VHOST, durable=True, shard=queue_id // 100))
        self.replica.apply_ops([
            changes.exchange_add(Exchange(VHOST, "x", "topic")),
            changes.binding_add(Binding(VHOST, "x", "q2", QUEUE, "a.#"), False),
            changes.binding_add(Binding(VHOST, "x", "q100", QUEUE, "c.#"), False),
            changes.binding_add(Binding(VHOST, "x", "q1", QUEUE, "back"), False),
        ])
        self.clocks = 0
        self.messages = Messages(self.shard.engine, self.replica, self._now, self._wake)

    def declare(self, queue: Queue) -> None:
        self.replica.apply_ops([changes.queue_add(queue)])

    def _now(self) -> None:
        self.clocks += 1

    def _wake(self) -> None:
        self.shard.engine.dispatch()

    async def move(self, **fields: Any) -> dict[str, Any]:
        return await self.messages.move({"queue_id": 1, **fields})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def moved(count: int, *, last: int, unroutable: int = 0, on: int | None = None, stopped: str | None = None) -> object:
    return {"message_count": count, "unroutable": unroutable, "next": on, "last": last, "stopped": stopped}


async def test_to_a_queue(desk: Desk) -> None:
    publish(desk.shard, b"1", b"two", b"3")
    assert await desk.move(to_queue_id=2, search="two") == moved(1, last=3)
    assert await desk.move(to_queue_id=2, positions=[[3, 9]]) == moved(1, last=3)
    assert payloads(desk.shard, 2) == [b"two", b"3"]
    assert desk.clocks


async def test_to_where_an_exchange_routes_them(desk: Desk) -> None:
    for key in (b"a.1", b"b.1", b"a.2", b"nowhere"):
        publish(desk.shard, key, routing_key=key)
    assert await desk.move(to_exchange="x") == moved(2, last=4, unroutable=2)
    assert payloads(desk.shard, 2) == [b"a.1", b"a.2"]
    assert await desk.move(to_exchange="x", to_routing_key="a") == moved(2, last=4)
    assert payloads(desk.shard, 2) == [b"a.1", b"a.2", b"b.1", b"nowhere"]
    publish(desk.shard, b"by name", queue_id=2, routing_key=b"q3")
    answer = await desk.messages.move({"queue_id": 2, "to_exchange": "", "search": "by name"})
    assert (answer["message_count"], payloads(desk.shard, 3)) == (1, [b"by name"])


async def test_headers_route(desk: Desk) -> None:
    desk.replica.apply_ops([
        changes.exchange_add(Exchange(VHOST, "h", "headers")),
        changes.binding_add(Binding(VHOST, "h", "q3", QUEUE, "", {"to": "three"}), False),
        changes.binding_add(Binding(VHOST, "h", "x", EXCHANGE, "", {"to": "x"}), False),
    ])
    for to in ("three", "x", "nobody"):
        publish(desk.shard, to.encode(), routing_key=b"a", properties=encode(Properties(headers={"to": to})))
    assert await desk.move(to_exchange="h") == moved(2, last=3, unroutable=1)
    assert (payloads(desk.shard, 3), payloads(desk.shard, 2)) == ([b"three"], [b"x"])


async def test_order_is_kept_over_targets_on_several_shards(desk: Desk) -> None:
    connect(desk.shard, desk.other)
    for key in (b"a", b"c", b"c", b"a", b"c"):
        publish(desk.shard, key + b"%d" % desk.shard.engine.last_position(1), routing_key=key)
    moving = asyncio.get_running_loop().create_task(desk.move(to_exchange="x"))
    while not moving.done():
        await asyncio.sleep(0)
        cross(desk.shard, desk.other)
    assert moving.result() == moved(5, last=5)
    assert (payloads(desk.shard, 2), payloads(desk.other, 100)) == ([b"a0", b"a3"], [b"c1", b"c2", b"c4"])


async def test_a_shard_that_is_not_ready_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(desk.shard, b"1", b"2")
    moving = asyncio.get_running_loop().create_task(desk.move(to_queue_id=100))
    await asyncio.sleep(0.03)
    assert not moving.done() and payloads(desk.shard, 1) == [b"1", b"2"]
    connect(desk.shard, desk.other)
    while not moving.done():
        await asyncio.sleep(0.001)
        cross(desk.shard, desk.other)
    assert (moving.result(), payloads(desk.other, 100)) == (moved(2, last=2), [b"1", b"2"])


async def test_not_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_moves, "READY_S_MAX", 0.0)
    publish(desk.shard, b"1", b"2")
    assert await desk.move(to_queue_id=100, **{"from": 2}) == moved(
        0, last=2, on=2, stopped="another shard is not ready")
    assert payloads(desk.shard, 1) == [b"1", b"2"]


async def test_a_full_queue_stops_it_where_it_was(desk: Desk) -> None:
    desk.shard.queue(4, max_length=1, overflow="reject-publish")
    desk.declare(Queue(4, "q4", VHOST, durable=True))
    publish(desk.shard, b"1", b"2", b"3")
    assert await desk.move(to_queue_id=4) == moved(1, last=3, on=2, stopped="a target is full")


async def test_what_would_come_back_stops_it(desk: Desk) -> None:
    publish(desk.shard, b"1", routing_key=b"a")
    publish(desk.shard, b"2", routing_key=b"back")
    answer = await desk.move(to_exchange="x")
    assert (answer["message_count"], answer["next"], answer["stopped"]) == (
        1, 2, "it would be routed back to its queue")


@pytest.mark.parametrize("fields, error", [
    ({}, PreconditionFailed), ({"to_queue_id": 1}, PreconditionFailed), ({"to_queue_id": 77}, UnknownQueue),
    ({"to_exchange": "missing"}, NotFound), ({"to_exchange": 5}, PreconditionFailed),
    ({"to_exchange": "x", "to_routing_key": "k" * 256}, PreconditionFailed),
    ({"to_queue_id": 2, "states": ["unacked"]}, PreconditionFailed), ({"queue_id": 77, "to_queue_id": 2}, UnknownQueue),
])
async def test_what_makes_no_sense_is_refused(desk: Desk, fields: dict[str, Any], error: type[Exception]) -> None:
    publish(desk.shard, b"1")
    with pytest.raises(error):
        await desk.move(**fields)
    assert payloads(desk.shard, 1) == [b"1"]


async def test_a_stream_gives_nothing_away(desk: Desk) -> None:
    desk.declare(Queue(5, "stream", VHOST, durable=True, arguments={"x-queue-type": "stream"}))
    desk.shard.queue(5, queue_type="stream")
    with pytest.raises(PreconditionFailed, match="stream"):
        await desk.move(queue_id=5, to_queue_id=2)
    publish(desk.shard, b"1", b"2")
    assert await desk.move(to_queue_id=5) == moved(2, last=2)
    assert payloads(desk.shard, 5) == [b"1", b"2"]
