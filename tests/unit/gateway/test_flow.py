"""Alarms, full links and heartbeats: who is stopped, who is told, who goes on."""
import gc
import weakref

from amqp091.constants import FRAME_HEARTBEAT
from amqp091.method_table import (
    BasicNack,
    ChannelOpen,
    ConfirmSelect,
    ConnectionBlocked,
    ConnectionUnblocked,
    QueueDeclare,
)
from gateway.flow import Flow
from gateway.heartbeat import Heartbeat
from gateway.wheel import Wheel
from tests.unit.gateway.bench import Bench, scenario, turn
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import Published


def published(bench: Bench) -> int:
    return sum(isinstance(record, Published) for link in bench.links.values() for record in link.records)


@scenario
async def test_an_alarm_stops_the_next_publish_and_says_so_once(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    client.raw(frames.publish(1, b"before"))
    bench.gateway.on_alarm({"memory": True, "disk": True})
    await turn()
    assert client.methods() == [] and client.connection.shown_state == "blocking"
    client.raw(frames.publish(1, b"during"))
    client.raw(frames.publish(1, b"and more"))
    await turn()
    assert client.methods() == [(0, ConnectionBlocked("low on memory & disk"))]
    assert published(bench) == 1 and client.connection.shown_state == "blocked"
    bench.gateway.on_alarm({"memory": False, "disk": True})
    await turn()
    assert client.methods() == []
    bench.gateway.on_alarm({"memory": False, "disk": False})
    await turn()
    assert client.methods() == [(0, ConnectionUnblocked())]
    assert published(bench) == 3 and client.connection.shown_state == "running"


@scenario
async def test_who_does_not_publish_is_not_blocked(bench: Bench) -> None:
    client = await bench.opened()
    bench.gateway.on_alarm({"memory": True, "disk": False})
    assert len(await client.call(1, QueueDeclare(queue="q"))) == 1


@scenario
async def test_a_client_without_the_capability_is_stopped_in_silence(bench: Bench) -> None:
    client = await bench.opened(properties={})
    await client.call(1, QueueDeclare(queue="q"))
    bench.gateway.on_alarm({"memory": True, "disk": False})
    client.raw(frames.publish(1, b"x"))
    await turn()
    assert client.methods() == [] and published(bench) == 0


@scenario
async def test_a_full_link_stops_its_publishers_alone(bench: Bench) -> None:
    client, other = await bench.opened(), await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    queue = bench.replica.queue("/", "q")
    assert queue is not None
    link = bench.links[queue.shard]
    link.congested = True
    client.raw(frames.publish(1, b"1"))
    await turn()
    client.raw(frames.publish(1, b"2"))
    client.raw(frames.publish(1, b"3"))
    await turn()
    assert published(bench) == 2 and client.connection.shown_state == "flow"
    assert client.methods() == []
    assert len(await other.call(2, ChannelOpen())) == 1
    link.congested = False
    bench.gateway.on_link_writable(link)    # type: ignore[arg-type]
    await turn()
    assert published(bench) == 3


@scenario
async def test_a_shard_that_dies_frees_those_who_waited_for_its_link(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    queue = bench.replica.queue("/", "q")
    assert queue is not None
    link = bench.links[queue.shard]
    link.congested = True
    client.raw(frames.publish(1, b"1"))
    await turn()
    client.raw(frames.publish(1, b"2"))
    await turn()
    assert client.connection.paused
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    await turn()
    assert not client.connection.paused


@scenario
async def test_publishers_to_a_shard_that_is_down_wait_for_it(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, ConfirmSelect())
    queue = bench.replica.queue("/", "q")
    assert queue is not None
    link = bench.links.pop(queue.shard)
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    client.raw(frames.publish(1, b"1", routing_key=b"q") + frames.publish(1, b"2", routing_key=b"q"))
    await turn()
    assert client.connection.shown_state == "flow" and client.methods() == []
    bench.links[queue.shard] = link
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    assert [record.body for record in link.records if isinstance(record, Published)] == [b"1", b"2"]
    assert client.connection.shown_state == "running" and client.methods() == []


@scenario
async def test_publishers_to_a_shard_that_stays_down_are_told_in_the_end(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    await client.call(1, ConfirmSelect())
    queue = bench.replica.queue("/", "q")
    assert queue is not None
    link = bench.links.pop(queue.shard)
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    client.raw(frames.publish(1, b"1", routing_key=b"q") + frames.publish(1, b"2", routing_key=b"q"))
    bench.gateway.expire_shards(bench.gateway.now_s() + 59)
    await turn()
    assert client.methods() == []
    bench.gateway.expire_shards(bench.gateway.now_s() + 61)
    bench.gateway.wake()
    await turn()
    assert client.methods() == [(1, BasicNack(1, False, False)), (1, BasicNack(2, False, False))]
    assert client.connection.shown_state == "running"


def test_the_reason_names_what_is_short() -> None:
    flow = Flow()
    assert not flow.set_alarms(True, False) and flow.reason == "low on memory"
    assert not flow.set_alarms(False, True) and flow.reason == "low on disk"
    assert flow.set_alarms(False, False) and not flow.alarmed


def test_a_heartbeat_goes_out_when_nothing_else_did() -> None:
    heartbeat = Heartbeat(10, sent_bytes=100, received_bytes=0)
    assert heartbeat.send_interval_s == 5
    assert heartbeat.should_send(100)
    heartbeat.sent_heartbeat(108)
    assert heartbeat.should_send(108)
    assert not heartbeat.should_send(500)


def test_two_silent_checks_are_death() -> None:
    heartbeat = Heartbeat(10, 0, received_bytes=8)
    assert not heartbeat.is_dead(16)
    assert not heartbeat.is_dead(16)
    assert heartbeat.is_dead(16)


def test_a_connection_that_is_not_read_is_not_blamed() -> None:
    heartbeat = Heartbeat(10, 0, received_bytes=8)
    assert not heartbeat.is_dead(8)
    heartbeat.pardon(8)
    assert not heartbeat.is_dead(8)
    assert heartbeat.is_dead(8)


@scenario
async def test_heartbeats_on_a_connection(bench: Bench) -> None:
    client = await bench.opened()
    client.connection.liveness.start_heartbeat(10)
    bench.pass_time(5.5)
    assert client.methods() == [(0, FRAME_HEARTBEAT)]
    bench.pass_time(10.5)
    assert not client.wire.aborted
    bench.pass_time(15.9)
    bench.pass_time(21.2)
    assert client.wire.aborted


@scenario
async def test_a_connection_that_is_over_is_soon_forgotten_by_the_wheel(bench: Bench) -> None:
    client = await bench.opened()
    client.connection.liveness.start_heartbeat(65535)
    client.connection.on_wire_lost()
    await turn()
    gone = weakref.ref(client.connection)
    client.wire.connection = client.connection = None   # type: ignore[assignment]
    bench.pass_time(16)
    gc.collect()
    assert gone() is None


def test_the_wheel_is_late_by_a_tick_at_most_and_never_early() -> None:
    wheel = Wheel(100.0)
    called: list[float] = []
    wheel.at(101.0, called.append)
    wheel.advance(100.9)
    assert called == []
    wheel.advance(101.25)
    assert called == [101.25]
    wheel.advance(200.0)
    assert called == [101.25]


def test_what_the_wheel_calls_may_ask_to_be_called_again() -> None:
    wheel = Wheel(0.0)
    called: list[float] = []

    def again(now_s: float) -> None:
        called.append(now_s)
        wheel.at(now_s, again)

    wheel.at(0.0, again)
    wheel.advance(0.25)
    wheel.advance(0.5)
    assert called == [0.25, 0.5]
