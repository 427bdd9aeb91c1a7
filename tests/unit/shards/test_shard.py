"""A shard's turn, with links and commits played by the test: requests in their place, watermarks, back-pressure."""
import asyncio
import errno
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.control import ControlError
from log.store import Store
from shards.consumed import ConsumedQueues
from shards.control import Control
from shards.engine import Engine
from shards.queues import ShardQueues
from shards.relay import Relay
from shards.reply_queues import ReplyQueues
from shards.requests import Requests
from shards.shard import Shard
from tests.unit.shards import wire
from topology import changes
from topology.model import Policy, Queue
from topology.replica import Replica

VHOST = "/"
GATEWAYS = SHARDS = 2


class Link:
    """A link's end that keeps what was sent."""

    def __init__(self, peer: int, peer_role: str = "gateway", *, serving: bool = True) -> None:
        self.peer = peer
        self.peer_role = peer_role
        self.serving = serving
        self.congested = False
        self.batches: list[bytes] = []
        self.next_batch_number = 1
        self.shares_files = False
        self.sent_position = self.returned_position = 0

    def send(self, batch: Any) -> int:
        self.batches.append(bytes(batch))
        self.next_batch_number += 1
        return self.next_batch_number - 1


class Links:
    """All links, and how often a turn was asked for."""

    def __init__(self) -> None:
        self.ends: dict[int, Link] = {}
        self.scheduled = 0

    def schedule(self) -> None:
        self.scheduled += 1


class Commit:
    """Counts requests; the test says when the disk has answered."""

    def __init__(self) -> None:
        self.requested = 0

    def request(self) -> None:
        self.requested += 1


class Alarm:
    """Remembers when it is to go off; the test makes it."""

    def __init__(self) -> None:
        self.at_ms: int | None = None

    def set(self, at_ms: int | None) -> None:
        self.at_ms = at_ms


class Host:
    """A shard with everything around it played by the test."""

    def __init__(self, root: Path, engine_type: type[Engine] = Engine) -> None:
        self.store = Store(
            str(root / "durable"), str(root / "transient"), str(root / "spill"),
            segment_bytes=64 << 10, clock_ms=lambda: 5,
        )
        recovered = self.store.recover()
        self.replica = Replica()
        self.replica.apply_ops([changes.vhost_add(VHOST)])
        self.engine = engine_type(self.store, GATEWAYS, SHARDS)
        self.links = Links()
        self.commit = Commit()
        self.alarm = Alarm()
        self.broken: list[Any] = []
        self.wanted: list[int] = []
        self.want_link: Callable[[int], None] = self.wanted.append
        self.unused: list[int] = []
        self.deleted: asyncio.Future[bool] | None = None
        self.consumed = ConsumedQueues(root / "consumed")
        self.requests = Requests(
            self.engine, self.replica, self.delete_unused, self.links.schedule, self.consumed,
            ReplyQueues(self.engine, self.store, 1),
        )
        self.shard = Shard(
            self.engine, self.store, self.requests, Relay(self.engine, lambda shard: self.want_link(shard)),
            clock_ms=lambda: 5, report_broken=self.broken.append,
        )
        self.shard.links, self.shard.commit, self.shard.alarm = self.links, self.commit, self.alarm
        self.queues = ShardQueues(0, self.engine, self.store, self.requests, self.replica, recovered)
        self.control = Control(self.shard, self.replica)
        self.control.loaded.set()
        self.declare(Queue(1, "q", VHOST, durable=True))
        self.declare(Queue(2, "temporary", VHOST, auto_delete=True))
        for gateway in range(GATEWAYS):
            self.connect(gateway)

    async def delete_unused(self, queue_id: int, expired: bool) -> bool:
        self.unused.append(queue_id)
        return await self.deleted if self.deleted is not None else True

    def declare(self, queue: Queue) -> None:
        self.change(changes.queue_add(queue))

    def delete(self, queue_id: int) -> None:
        queue = self.replica.queue_by_id(queue_id)
        assert queue is not None
        self.change(changes.queue_delete(queue))

    def change(self, op: dict[str, Any]) -> None:
        self.replica.apply_ops([op])
        self.queues.on_change({"ops": [op], "version": 1, "snapshot": False})

    def connect(self, gateway: int) -> Link:
        self.links.ends[gateway] = Link(gateway)
        self.shard.on_up(self.links.ends[gateway])  # type: ignore[arg-type]
        return self.links.ends[gateway]

    def disconnect(self, gateway: int) -> None:
        self.shard.on_down(self.links.ends.pop(gateway))  # type: ignore[arg-type]

    def feed(self, *records: bytes, gateway: int = 0) -> list[Any]:
        """One batch and the end of the turn; what the gateway has got since the last call."""
        self.shard.on_batch(self.links.ends[gateway], memoryview(b"".join(records)))  # type: ignore[arg-type]
        self.shard.on_idle()
        return self.take(gateway)

    def take(self, gateway: int = 0) -> list[Any]:
        link = self.links.ends[gateway]
        batches, link.batches = link.batches, []
        return wire.parse(b"".join(batches))

    def ask(self, *, gateway: int = 0, **document: Any) -> Any:
        """The answer to a request; the watermark behind it is left out."""
        records = self.feed(wire.request(9, **document), gateway=gateway)
        (answer,) = [record for record in records if isinstance(record, wire.Json) and record.kind == "response"]
        assert answer.request_id == 9
        return answer.document

    def consume(self, queue_id: int = 1, consumer: int = 1, **fields: Any) -> Any:
        fields = {"no_ack": False, "exclusive": False, "prefetch": 0, "tag": "t", "arguments": {}} | fields
        return self.ask(verb="consume", queue_id=queue_id, consumer=consumer, channel=1, connection=1, **fields)


async def quiet() -> None:
    """Until tasks that wait for nothing have ended."""
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_consume_ok_precedes_the_first_delivery(host: Host) -> None:
    consume = wire.request(
        3, verb="consume", queue_id=1, consumer=1, channel=1, connection=1, no_ack=False, exclusive=False, prefetch=0
    )
    records = host.feed(wire.publish(1), consume, wire.publish(1))
    assert [type(record).__name__ for record in records] == ["Json", "Deliver", "Deliver"]


def test_nothing_is_delivered_after_the_answer_to_cancel(host: Host) -> None:
    host.consume()
    records = host.feed(wire.publish(1, b"a"), wire.request(4, verb="cancel", consumer=1), wire.publish(1, b"b"))
    assert [type(record).__name__ for record in records] == ["Deliver", "Json"]
    assert host.ask(verb="count", queue_id=1) == {"message_count": 1, "consumer_count": 0}


def test_a_request_sees_what_was_published_before_it(host: Host) -> None:
    records = host.feed(wire.publish(1), wire.publish(1), wire.request(1, verb="purge", queue_id=1), wire.publish(1))
    assert records[0].document == {"message_count": 2}
    assert host.ask(verb="count", queue_id=1)["message_count"] == 1


def test_get_and_get_empty(host: Host) -> None:
    get = wire.get(8, queue_id=1, channel=4)
    records = host.feed(get, wire.publish(1, b"x"), get)
    assert records == [wire.GetEmpty(8, False), wire.GetOk(8, 1, False, 0, b"x")]
    assert host.feed(wire.get(9, queue_id=1000)) == [wire.GetEmpty(9, True)]


def test_a_consumer_comes_before_a_get_behind_the_message(host: Host) -> None:
    host.consume(consumer=1, no_ack=True)
    records = host.feed(wire.publish(1, b"x"), wire.get(8, queue_id=1))
    assert [type(record).__name__ for record in records] == ["Deliver", "GetEmpty"]


def test_a_get_that_is_held_is_requeued_with_its_connection(host: Host) -> None:
    host.feed(wire.publish(1, b"x"), wire.get(8, queue_id=1, channel=4, connection=7, no_ack=False))
    assert host.ask(verb="count", queue_id=1)["message_count"] == 0
    host.ask(verb="close_connection", connection=7)
    assert host.ask(verb="count", queue_id=1)["message_count"] == 1


@pytest.mark.parametrize("length", [8, 16])
def test_a_get_without_its_fields_breaks_the_link(host: Host, length: int) -> None:
    get = wire.get(8, queue_id=1)
    link = host.links.ends[0]
    host.shard.on_batch(link, memoryview(struct.pack("<I", length) + get[4:length]))  # type: ignore[arg-type]
    assert host.broken == [link]


def test_large_messages_that_one_batch_asks_for_leave_one_by_one(host: Host) -> None:
    """Together they could be more than a link takes at once."""
    body = bytes(100_000)
    host.feed(*[wire.publish(1, body=body)] * 5)
    link = host.links.ends[0]
    host.shard.on_batch(link, memoryview(b"".join(  # type: ignore[arg-type]
        wire.get(n, queue_id=1) for n in range(1, 6))))
    assert max(map(len, link.batches)) < 110_000
    assert [record.request_id for record in host.take()] == [1, 2, 3, 4, 5]


def test_refusals_carry_code_and_text(host: Host) -> None:
    host.consume(consumer=1, exclusive=True)
    assert host.consume(consumer=2) == {"error": [403, "queue 'q' in vhost '/' in exclusive use"]}
    host.delete(1)
    host.take()
    assert host.consume(consumer=3) == {"error": [404, "no queue 'q' in vhost '/'"]}
    assert host.ask(verb="purge", queue_id=99)["error"][0] == 404
    assert host.ask(verb="dance")["error"][0] == 541
    assert host.ask(verb="consume", queue_id=1)["error"][0] in (404, 541)
    assert host.ask(verb="cancel", consumer=1 << 40)["error"][0] == 541


def test_consumers_of_a_deleted_queue_are_told(host: Host) -> None:
    host.consume()
    host.delete(1)
    host.shard.on_idle()
    assert [record.document for record in host.take()] == [{"event": "cancelled", "consumer": 1}]
    assert host.feed(wire.publish(1, sequence=1)) == [wire.Watermark(2, 2)]
    assert host.engine.dropped_count == 1


def test_queues_of_other_shards_are_left_alone(host: Host) -> None:
    host.declare(Queue(7, "elsewhere", VHOST, shard=1))
    assert not host.engine.has_queue(7)


async def test_cancel_is_answered_when_the_unused_queue_is_deleted(host: Host) -> None:
    host.deleted = asyncio.get_running_loop().create_future()
    host.consume(2, 5)
    host.feed(wire.request(6, verb="cancel", consumer=5))
    await quiet()
    assert host.unused == [2]
    assert host.take() == []
    assert host.consume(2, 6)["error"] == [404, "no queue 'temporary' in vhost '/'"]
    host.deleted.set_result(True)
    await quiet()
    host.shard.on_idle()
    assert [record.request_id for record in host.take()] == [6]


async def test_a_queue_that_the_catalog_keeps_can_be_used_again(host: Host) -> None:
    host.deleted = asyncio.get_running_loop().create_future()
    host.deleted.set_result(False)
    host.consume(2, 5)
    host.feed(wire.request(6, verb="close_connection", connection=1))
    await quiet()
    host.shard.on_idle()
    assert [record.document for record in host.take()] == [{}]
    assert host.consume(2, 6) == {}


async def test_a_late_answer_does_not_reach_the_next_gateway(host: Host) -> None:
    host.deleted = asyncio.get_running_loop().create_future()
    host.consume(2, 5)
    host.feed(wire.request(6, verb="cancel", consumer=5))
    await quiet()
    host.disconnect(0)
    host.connect(0)
    host.deleted.set_result(True)
    await quiet()
    host.shard.on_idle()
    assert host.take() == []


async def test_a_dead_gateway_leaves_unused_queues_to_be_deleted(host: Host) -> None:
    host.consume(2, 5)
    host.consume(1, 1)
    host.feed(wire.publish(1), wire.publish(1))
    host.disconnect(0)
    await quiet()
    assert host.unused == [2]
    assert host.ask(verb="count", queue_id=1, gateway=1) == {"message_count": 2, "consumer_count": 0}


async def test_a_queue_deserted_during_a_restart_is_deleted(host: Host, tmp_path: Path) -> None:
    host.declare(Queue(3, "never consumed", VHOST, auto_delete=True))
    host.declare(Queue(4, "kept", VHOST, auto_delete=True))
    host.consume(2, 5)
    host.consume(4, 6)
    host.consumed.close()
    host.store.close()
    after = Host(tmp_path)
    after.declare(Queue(3, "never consumed", VHOST, auto_delete=True))
    after.declare(Queue(4, "kept", VHOST, auto_delete=True))
    after.consume(4, 6)
    after.requests.attached_late()
    await quiet()
    assert after.unused == [2]
    after.delete(2)
    assert list(after.consumed) == [4]


def test_the_file_of_consumed_queues_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "consumed"
    consumed = ConsumedQueues(path)
    for queue_id in range(1, 5000):
        consumed.add(queue_id)
        consumed.add(queue_id)
        consumed.discard(queue_id)
    consumed.add(7)
    consumed.close()
    assert path.stat().st_size < 8 * 1024
    assert 7 in set(ConsumedQueues(path))


class FailingEngine(Engine):
    """Cannot apply a batch that a test has named."""

    fails_at: bytes | None = None

    def receive(self, gateway: int, batch: Any, offset: int = 0) -> int:
        end: int = super().receive(gateway, batch, offset)
        if bytes(batch) == self.fails_at:
            raise MemoryError("no room for the rest")
        return end


def test_no_watermark_covers_a_batch_that_was_applied_in_part(tmp_path: Path) -> None:
    """The process is ending, but the turn goes on, and what came behind that batch counts from there."""
    host = Host(tmp_path, FailingEngine)
    failing = wire.publish(1, b"perhaps", sequence=1)
    host.engine.fails_at = failing          # type: ignore[attr-defined]
    with pytest.raises(MemoryError):
        host.feed(failing)
    assert host.feed(wire.publish(1, sequence=2)) == []
    assert host.feed(wire.publish(1, sequence=1), gateway=1) == [wire.Watermark(1, 1)]


def test_watermarks(host: Host) -> None:
    assert host.feed(wire.publish(1, sequence=1)) == [wire.Watermark(1, 1)]
    assert host.commit.requested == 0
    assert host.feed(wire.publish(1, sequence=2, persistent=True)) == []
    assert host.commit.requested == 1
    assert host.feed(wire.publish(1, sequence=1)) == [wire.Watermark(3, 1)]
    assert host.feed(wire.publish(1, sequence=1), gateway=1) == [wire.Watermark(1, 1)]
    host.shard.on_durable(host.store.appended_position)
    assert host.take() == [wire.Watermark(3, 3)]
    assert host.feed(wire.publish(1)) == host.feed(wire.settle(1, 1)) == []     # nobody waits to hear of these
    assert host.feed(wire.publish(1, sequence=4)) == [wire.Watermark(6, 6)]
    host.disconnect(0)
    host.connect(0)
    assert host.feed(wire.publish(1, sequence=1)) == [wire.Watermark(1, 1)]


def test_a_full_link_stops_dispatch(host: Host) -> None:
    host.consume(no_ack=True)
    host.links.ends[0].congested = True
    host.feed(wire.publish(1))
    assert len(host.feed(wire.publish(1, sequence=1))) == 1
    assert host.engine.count(1)[0] == 1
    host.links.ends[0].congested = False
    host.shard.on_writable(host.links.ends[0])  # type: ignore[arg-type]
    host.shard.on_idle()
    assert [type(record) for record in host.take()] == [wire.Deliver]


def test_what_does_not_fit_in_a_turn_asks_for_the_next(host: Host) -> None:
    host.feed(*(wire.publish(1, bytes(100_000)) for _ in range(60)))
    host.feed(*(
        wire.request(consumer, verb="consume", queue_id=1, consumer=consumer, channel=consumer, connection=consumer,
                     no_ack=True, exclusive=False, prefetch=0)
        for consumer in range(1, 5)
    ))
    assert host.links.scheduled and not host.engine.idle
    while not host.engine.idle:
        host.shard.on_idle()
    assert host.engine.count(1)[0] == 60 - 4 * 11       # the windows of four connections


def test_a_broken_batch_breaks_its_link_alone(host: Host) -> None:
    host.consume()
    host.shard.on_batch(host.links.ends[0], memoryview(b"nonsense"))  # type: ignore[arg-type]
    assert host.broken == [host.links.ends[0]]
    assert host.feed(wire.publish(1)) == []
    assert len(host.feed(wire.publish(1, sequence=1), gateway=1)) == 1
    host.disconnect(0)
    host.connect(0)
    assert host.feed(wire.publish(1, sequence=1)) == [wire.Watermark(1, 1)]


def test_json_that_is_none_breaks_the_link(host: Host) -> None:
    raw = bytearray(wire.request(1, verb="barrier"))
    raw[16] = 0
    host.shard.on_batch(host.links.ends[0], memoryview(bytes(raw)))  # type: ignore[arg-type]
    assert len(host.broken) == 1


def test_channel_credit_by_events(host: Host) -> None:
    host.ask(verb="qos", channel=1, consumer_prefetch=None, limited=True, connection=1)
    host.consume()
    records = host.feed(wire.publish(1), wire.publish(1))
    assert records[0].document == {"event": "credit_wanted", "channel": 1, "count": 2}
    records = host.feed(wire.event(event="credit", channel=1, count=1))
    assert isinstance(records[0], wire.Deliver)
    records = host.feed(wire.event(event="credit", channel=1, count=3))
    assert isinstance(records[0], wire.Deliver)
    assert records[1].document == {"event": "credit_returned", "channel": 1, "count": 2}


async def test_delete_check(host: Host) -> None:
    check = {"verb": "queue.delete_check", "queue_id": 1}
    assert await host.control.handle(check) == {"message_count": 0}
    host.feed(wire.publish(1))
    with pytest.raises(ControlError) as refused:
        await host.control.handle(check | {"if_empty": True})
    assert (refused.value.code, refused.value.text) == (406, "queue 'q' in vhost '/' not empty")
    host.consume()
    with pytest.raises(ControlError) as refused:
        await host.control.handle(check | {"if_unused": True})
    assert (refused.value.code, refused.value.text) == (406, "queue 'q' in vhost '/' in use")
    assert await host.control.handle(check) == {"message_count": 0}
    with pytest.raises(ControlError) as refused:
        await host.control.handle({"verb": "queue.delete_check", "queue_id": 55})
    assert refused.value.code == 404


async def test_delete_check_over_the_link_counts_what_came_before_it(host: Host) -> None:
    def check(queue_id: int = 1, *, if_unused: bool = False, if_empty: bool = False) -> bytes:
        return wire.request(9, verb="delete_check", queue_id=queue_id, if_unused=if_unused, if_empty=if_empty)

    (answer,) = host.feed(wire.publish(1), check())
    assert answer.document == {"message_count": 1}
    (answer,) = host.feed(check(if_empty=True))
    assert answer.document == {"error": [406, "queue 'q' in vhost '/' not empty"]}
    host.consume()
    answers = [one.document for one in host.feed(wire.publish(1), check(if_empty=True), check(if_unused=True))
               if not isinstance(one, wire.Deliver)]
    assert answers == [{"message_count": 0}, {"error": [406, "queue 'q' in vhost '/' in use"]}], "it was delivered"
    (answer,) = host.feed(check(55))
    assert answer.document == {"message_count": 0}, "it is gone already"


async def test_a_queue_that_is_deleted_as_unused_gets_no_consumer_before(host: Host) -> None:
    check = {"verb": "queue.delete_check", "queue_id": 1, "if_unused": True}
    gone = {"error": [404, "no queue 'q' in vhost '/'"]}
    for _ in range(2):              # the catalog may ask again
        assert await host.control.handle(check) == {"message_count": 0}
        assert host.consume() == gone
    host.feed(wire.publish(1))
    assert await host.control.handle(check | {"if_empty": False}) == {"message_count": 1}
    host.delete(1)
    assert host.consume() == gone
    assert host.store.live_entries == 0


async def test_a_deletion_that_does_not_come_loses_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    overdue: list[Any] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(_: float, *call: Any) -> asyncio.TimerHandle:
        overdue.append(call)
        return later(1000, *call)

    monkeypatch.setattr(loop, "call_later", call_later)
    await host.control.handle({"verb": "queue.delete_check", "queue_id": 1, "if_unused": True, "if_empty": True})
    host.feed(wire.publish(1, b"kept"))
    assert "error" in host.consume()
    ((open_again, *arguments),) = overdue
    open_again(*arguments)
    assert host.consume() == {}
    assert host.engine.describe(1)["messages_unacknowledged"] == 1


@pytest.mark.parametrize("fields", [{}, {"if_empty": True}])
async def test_other_deletions_do_not_close(host: Host, fields: dict[str, bool]) -> None:
    await host.control.handle({"verb": "queue.delete_check", "queue_id": 1} | fields)
    assert host.consume() == {}


async def test_lists_and_purge_of_the_command_line(host: Host) -> None:
    host.feed(wire.publish([1, 2]), wire.publish(1))
    rows = (await host.control.handle({"verb": "list_queues"}))["queues"]
    assert {row["queue_id"]: row["messages_ready"] for row in rows} == {1: 2, 2: 1}
    assert await host.control.handle({"verb": "purge_queue", "queue_id": 1}) == {"message_count": 2}
    assert (await host.control.handle({"verb": "statistics"}))["messages_ready"] == 1


def test_recovered_messages_find_their_queue_and_others_go(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.consume()
    host.feed(wire.publish(1, b"taken", persistent=True))
    host.ask(verb="cancel", consumer=1)
    host.feed(wire.publish([1, 2], b"waiting", persistent=True))
    host.store.close()

    store = Store(
        str(tmp_path / "durable"), str(tmp_path / "transient"), str(tmp_path / "spill"),
        segment_bytes=64 << 10, clock_ms=lambda: 5,
    )
    recovered = store.recover()
    engine = Engine(store, 1)
    replica = Replica()
    requests = Requests(
        engine, replica, lambda _: pytest.fail(), lambda: None, ConsumedQueues(tmp_path / "consumed"),
        ReplyQueues(engine, store, 1),
    )  # type: ignore[arg-type]
    queues = ShardQueues(0, engine, store, requests, replica, recovered)
    queues.on_change({"ops": [changes.queue_add(Queue(1, "q", VHOST, durable=True))], "version": 1, "snapshot": True})
    assert queues.forget_orphans() == 1
    assert store.live_entries == 2
    engine.consume(0, 1, 1, 1, 1, no_ack=False, exclusive=False, prefetch=0)
    engine.receive(0, wire.publish(1, b"new", persistent=True))
    engine.dispatch()
    records = wire.parse(bytes(engine.outgoing(0)))
    assert [(record.body, record.redelivered) for record in records] == [
        (b"taken", True), (b"waiting", False), (b"new", False)]


def test_a_full_disk_refuses_confirms_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = Host(tmp_path)
    room = [True]
    allocate = host.store.disk.allocate

    def limited(*arguments: Any, **fields: Any) -> Any:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return allocate(*arguments, **fields)

    host.store.disk.allocate = limited
    host.feed(wire.publish(1, b"early", persistent=True))
    room[0] = False
    body = bytes(200_000)
    records = host.feed(
        wire.publish(1, body, persistent=True, sequence=7, channel=3), wire.publish(1, body, persistent=True))
    assert records[0] == wire.Refused(3, 7)
    assert isinstance(records[1], wire.Watermark) and len(records) == 2
    assert host.engine.refused_count == 2
    host.shard.tick(100.0)
    host.shard.tick(100.5)
    assert len([record for record in caplog.records if "were refused" in record.message]) == 1
    room[0] = True
    assert host.feed(wire.publish(1, body, persistent=True, sequence=8, channel=3)) == []  # not refused
    assert host.engine.count(1)[0] == 2


def test_a_policy_changes_the_queues_whose_features_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path)
    configured: list[int] = []
    monkeypatch.setattr(host.queues, "_engine", Recorder(host.engine, configured))
    host.declare(Queue(3, "bounded", VHOST, arguments={"x-max-length": 1}))
    host.feed(wire.publish(1, b"1"), wire.publish(1, b"2"), wire.publish(1, b"3"), wire.publish(3, b"1"))
    policy = Policy(VHOST, "p", "", {"max-length": 2})
    host.change(changes.policy_set(policy))
    assert configured == [1, 2]                     # the third queue's own limit is lower
    assert host.engine.count(1) == (2, 0)
    host.feed(wire.publish(1, b"4"))
    assert host.engine.count(1) == (2, 0)
    host.change(changes.policy_set(Policy(VHOST, "p", "^q$", {"max-length": 2})))
    assert configured == [1, 2, 2]
    host.declare(Queue(4, "q", "another"))
    host.change(changes.policy_clear(policy))
    assert configured == [1, 2, 2, 1]
    host.feed(wire.publish(1, b"5"))
    assert host.engine.count(1) == (3, 0)


def test_a_queue_is_declared_with_what_policies_say_and_a_snapshot_brings_what_was_missed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.change(changes.policy_set(Policy(VHOST, "p", "^n", {"max-length": 1})))
    host.declare(Queue(3, "new", VHOST))
    host.feed(wire.publish(3, b"1"), wire.publish(3, b"2"), wire.publish(1, b"1"), wire.publish(1, b"2"))
    assert host.engine.count(3) == (1, 0) and host.engine.count(1) == (2, 0)
    host.replica.apply_ops([changes.policy_set(Policy(VHOST, "other", "^q", {"max-length": 1}))])
    host.queues.on_change({"ops": [], "version": 2, "snapshot": True})
    assert host.engine.count(1) == (1, 0)


class Recorder:
    """An engine that tells which queues were configured."""

    def __init__(self, engine: Engine, configured: list[int]) -> None:
        self._engine, self._configured = engine, configured

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def configure(self, queue_id: int, features: Any) -> None:
        self._configured.append(queue_id)
        self._engine.configure(queue_id, features)


async def test_a_restarted_shard_waits_for_all_gateways_before_it_makes_a_consumer_active(
    host: Host, tmp_path: Path
) -> None:
    single = Queue(9, "single", VHOST, arguments={"x-single-active-consumer": True})
    host.declare(single)
    first, second = (host.ask(**consume(number, gateway), gateway=gateway) for number, gateway in ((1, 0), (2, 1)))
    assert (first["active"], second["active"]) == (True, False)
    assert first["arrival"] < second["arrival"]
    assert host.requests.active_consumers.tag_of(9) == "tag-1"
    host.consumed.close()
    host.store.close()

    after = Host(tmp_path)
    after.declare(single)
    after.requests.await_attachments([0, 1])
    assert after.ask(**consume(2, 1), **second, gateway=1)["active"] is False
    after.feed(wire.event(event="attached"), gateway=1)
    assert after.requests.active_consumers.tag_of(9) is None
    assert after.ask(**consume(1, 0), **first, gateway=0)["active"] is True
    after.feed(wire.event(event="attached"), gateway=0)
    assert after.requests.active_consumers.tag_of(9) == "tag-1"
    after.delete(9)
    assert after.requests.active_consumers.tag_of(9) is None


async def test_a_gateway_that_does_not_come_back_is_not_waited_for(host: Host) -> None:
    host.declare(Queue(9, "single", VHOST, arguments={"x-single-active-consumer": True}))
    host.requests.await_attachments([0, 1])
    assert host.ask(**consume(1, 0))["active"] is False
    host.requests.attached_late()
    assert host.requests.active_consumers.tag_of(9) == "tag-1"


async def test_tags_of_consumers_that_went_are_forgotten(host: Host) -> None:
    host.declare(Queue(9, "single", VHOST, arguments={"x-single-active-consumer": True}))
    for number in range(1, 500):
        host.ask(**consume(number, 0))
        host.ask(verb="cancel", consumer=number)
    host.ask(**consume(1000, 0))
    assert host.requests.active_consumers.tag_of(9) == "tag-1000"
    assert len(host.requests.active_consumers._tags[9]) < 100


def consume(number: int, channel: int) -> dict[str, Any]:
    return {
        "verb": "consume", "queue_id": 9, "consumer": number, "channel": channel + 1, "connection": channel + 1,
        "tag": f"tag-{number}", "no_ack": False, "exclusive": False, "prefetch": 0,
    }
