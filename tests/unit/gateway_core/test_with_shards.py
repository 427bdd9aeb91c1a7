"""The gateway's core against the queue engine of two shards, in one process and in an order drawn from a seed.

Batches lie about for a while before they are looked at, as on real links. In the end every
message was done with exactly once, whatever was requeued, cancelled or closed on the way, every
publish was confirmed once, and both sides agree that nothing is left.
"""
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.core import Route
from log.store import Store
from shards.engine import Engine
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.driver import Channel, Connection, Gateway

SHARDS = 2
QUEUES = {1: 0, 2: 0, 3: 1, 4: 1}       # queue id: shard
STEPS = 250


class Shard:
    """What shards/worker.py does, without clock and links."""

    def __init__(self, root: Path, index: int) -> None:
        self.store = Store(
            str(root / "durable"), str(root / "transient"), str(root / "spill"), segment_bytes=1 << 20,
            clock_ms=lambda: 1_700_000_000_000)
        self.engine = Engine(self.store, 1)
        for queue_id, shard in QUEUES.items():
            if shard == index:
                self.engine.add_queue(queue_id, queue_id % 2 == 0, False)
        self.inbox: list[bytes] = []
        self.processed = 0

    def turn(self) -> bytes:
        """One batch in, one out."""
        batch = self.inbox.pop(0)
        at = 0
        while (at := self.engine.receive(0, batch, at)) < len(batch):
            behind = self.engine.answer_get(0, batch, at)
            if behind:
                at = behind
                continue
            self.engine.dispatch()
            _, request_id, document, at = Engine.read_json(batch, at)
            self.answer(request_id, orjson.loads(document))
        self.engine.dispatch()
        self.processed += 1
        self.engine.watermark(0, self.processed, self.processed)
        return self.take()

    def take(self) -> bytes:
        batch = bytes(memoryview(self.engine.outgoing(0)))
        self.engine.sent(0)
        self.engine.dispatch()
        return batch

    def answer(self, request_id: int, message: dict[str, Any]) -> None:
        verb = message.pop("verb")
        if verb == "consume":
            self.engine.consume(0, message.pop("queue_id"), exclusive=False, **message)
        else:
            getattr(self.engine, verb)(0, **message)
        self.engine.respond(0, request_id, b"{}")


class World:
    """Clients, a gateway, two shards, and what each client holds."""

    def __init__(self, root: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.gateway = Gateway(SHARDS)
        self.shards = [Shard(root / f"{seed}-{index}", index) for index in range(SHARDS)]
        self.outbox: list[list[bytes]] = [[] for _ in range(SHARDS)]
        self.published = 0
        self.done: dict[bytes, int] = {}
        self.confirmed = 0
        self.last_request = 0
        self.on_answer: dict[int, Any] = {}
        self.held: dict[Channel, dict[int, bytes]] = {}
        self.consumers: dict[Channel, dict[int, tuple[int, bool]]] = {}
        self.gateway.on_document = self.answered
        self.publisher = Connection(self.gateway)
        self.publisher.channels[1].confirm_select()
        for queue_id, shard in QUEUES.items():
            self.publisher.routes[b"%d" % queue_id] = Route([(shard, queue_id, queue_id % 2 == 0)])
        self.clients = [Connection(self.gateway, 0) for _ in range(2)]
        for client in self.clients:
            for number in (1, 2):
                self.open(client, number)

    def open(self, client: Connection, number: int) -> None:
        channel = Channel(client, number)
        self.held[channel] = {}
        self.consumers[channel] = {}

    def ask(self, shard: int, message: dict[str, Any], on_answer: Any = None) -> int:
        self.last_request += 1
        self.on_answer[self.last_request] = on_answer
        assert self.gateway.request(shard, self.last_request, orjson.dumps(message))
        return self.last_request

    def answered(self) -> None:
        on_answer = self.on_answer.pop(self.gateway.documents[-1][2], None)
        if on_answer is not None:
            on_answer()

    def channel(self) -> Channel:
        return self.rng.choice(list(self.held))

    # what clients do

    def publish(self) -> None:
        for _ in range(self.rng.randrange(1, 30)):
            self.published += 1
            body = b"%d" % self.published + b"." * self.rng.choice((0, 10, 5000))
            properties = frames.properties(delivery_mode=self.rng.choice((1, 2)))
            routing_key = b"%d" % self.rng.choice(list(QUEUES))
            self.publisher.receive(frames.publish(1, body, properties, routing_key=routing_key))

    def consume(self) -> None:
        channel = self.channel()
        # what was sent without acks to a channel that is closed meanwhile is lost: those with number 2 never are
        queue_id, no_ack = self.rng.choice(list(QUEUES)), channel.number == 2 and self.rng.random() < 0.4
        shard = QUEUES[queue_id]
        handle = channel.add_consumer(b"auto" if no_ack else b"manual", shard, no_ack)
        self.consumers[channel][handle] = (shard, no_ack)
        self.ask(shard, {
            "verb": "consume", "queue_id": queue_id, "consumer": handle, "channel": channel.handle,
            "connection": channel.connection.handle, "no_ack": no_ack, "prefetch": self.rng.choice((0, 1, 10))})

    def cancel(self) -> None:
        channel = self.channel()
        if self.consumers[channel]:
            handle = self.rng.choice(list(self.consumers[channel]))
            shard, _ = self.consumers[channel].pop(handle)
            self.ask(shard, {"verb": "cancel", "consumer": handle}, lambda: channel.remove_consumer(handle))

    def get(self) -> None:
        channel = self.channel()
        queue_id = self.rng.choice(list(QUEUES))
        self.last_request += 1
        channel.ask_get(QUEUES[queue_id], self.last_request, queue_id, False)

    def settle(self) -> None:
        channel = self.channel()
        held = self.held[channel]
        if not held:
            return
        tag = self.rng.choice(list(held)[: self.rng.choice((1, 5, 1000))])
        multiple = self.rng.random() < 0.5
        outcome = self.rng.choice(("ack", "ack", "reject", "requeue"))
        settled = [item for item in held if item <= tag] if multiple else [tag]
        frame = {
            "ack": frames.ack(channel.number, tag, multiple=multiple),
            "reject": frames.nack(channel.number, tag, multiple=multiple, requeue=False),
            "requeue": frames.nack(channel.number, tag, multiple=multiple),
        }[outcome]
        channel.connection.receive(frame)
        for item in settled:
            body = held.pop(item)
            if outcome != "requeue":
                self.finish(body)

    def finish(self, body: bytes) -> None:
        self.done[body] = self.done.get(body, 0) + 1

    def recover(self) -> None:
        channel = self.channel()
        channel.recover()
        self.held[channel].clear()

    def close(self) -> None:
        """And open its number again at once."""
        channel = self.rng.choice([channel for channel in self.held if channel.number == 1])
        del self.held[channel], self.consumers[channel]
        waiting = set(channel.shards())
        channel.close()
        channel.connection.remove_channel(channel.number)

        def gone(shard: int) -> None:
            waiting.discard(shard)
            if not waiting:
                channel.release()

        for shard in list(waiting):
            self.ask(shard, {"verb": "close_channel", "channel": channel.handle}, lambda shard=shard: gone(shard))
        if not waiting:
            channel.release()
        self.open(channel.connection, channel.number)

    # how bytes move

    def flush(self, shard: int) -> None:
        batch = bytes(memoryview(self.gateway.outgoing(shard)))
        if batch:
            self.gateway.send(shard)
            self.shards[shard].inbox.append(batch)

    def work(self, shard: int) -> None:
        if self.shards[shard].inbox:
            self.outbox[shard].append(self.shards[shard].turn())
        elif batch := self.shards[shard].take():
            self.outbox[shard].append(batch)

    def hear(self, shard: int) -> None:
        if self.outbox[shard]:
            self.gateway.on_batch(shard, self.outbox[shard].pop(0))
            self.look()

    def look(self) -> None:
        """Clients read what has come for them."""
        for sent in self.publisher.sees():
            assert sent.name == "ack" and sent.fields[0] > self.confirmed
            self.confirmed = sent.fields[0]
        for client in self.clients:
            for sent in client.sees():
                channel = client.channels[sent.channel]
                if sent.name == "get-empty":
                    continue
                if sent.name == "deliver" and sent.fields[0] == b"auto":
                    self.finish(sent.body)
                else:
                    tag = sent.fields[1 if sent.name == "deliver" else 0]
                    assert tag not in self.held[channel]
                    self.held[channel][tag] = sent.body
        self.gateway.credits()

    def settle_down(self) -> None:
        for _ in range(20_000):
            for shard in range(SHARDS):
                self.flush(shard)
                self.work(shard)
                self.hear(shard)
            if not any(self.shards[shard].inbox or self.outbox[shard] or self.gateway.outgoing(shard).size
                       for shard in range(SHARDS)):
                return
        raise AssertionError("it never becomes quiet")


@pytest.mark.parametrize("seed", range(8))
def test_every_message_is_done_with_exactly_once(seed: int, tmp_path: Path) -> None:
    world = World(tmp_path, seed)
    actions = [
        (world.publish, 6), (world.consume, 2), (world.cancel, 1), (world.get, 2), (world.settle, 12),
        (world.recover, 1), (world.close, 1)]
    weights = [weight for _, weight in actions]
    for _ in range(STEPS):
        world.rng.choices([action for action, _ in actions], weights)[0]()
        for shard in range(SHARDS):
            for move in (world.flush, world.work, world.hear):
                if world.rng.random() < 0.4:
                    move(shard)
    world.settle_down()
    # the last consumer takes what is left
    last = world.channel()
    for queue_id, shard in QUEUES.items():
        handle = last.add_consumer(b"manual", shard, False)
        world.ask(shard, {
            "verb": "consume", "queue_id": queue_id, "consumer": handle, "channel": last.handle,
            "connection": last.connection.handle, "no_ack": False, "prefetch": 0})
    for _ in range(200):
        world.settle_down()
        if not any(world.held.values()):
            break
        for channel, held in world.held.items():
            if held:
                for body in held.values():
                    world.finish(body)
                held.clear()
                channel.connection.receive(frames.ack(channel.number, 0, multiple=True))
    assert world.confirmed == world.published
    assert len(world.done) == world.published and set(world.done.values()) == {1}
    assert not any(client.errors for client in [*world.clients, world.publisher])
    for there in world.shards:
        for queue_id in there.engine.queue_ids():
            counts = there.engine.describe(queue_id)
            assert (counts["messages_ready"], counts["messages_unacknowledged"]) == (0, 0)
