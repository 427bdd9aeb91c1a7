"""A shard that is killed and comes back: everything that its clients had there goes on, whatever it was."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator

import pytest

from tests.crash.test_kill_process import BACK_WITHIN_S
from tests.harness.channel import ChannelClient
from tests.harness.client import Client, connect
from tests.harness.load import Consumer, Publisher, check_queue, drain
from tests.harness.methods import Channel, Connection, Properties, Queue, Tx
from tests.harness.warren import Warren, wait_until

MIB = 1 << 20
NAMES = [f"q{n}" for n in range(8)]
turns = itertools.count()


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """Segments so small that every test has many, and some of the transient ones on the disk."""
    server = Warren(tmp_path_factory.mktemp("returning"), segment_bytes=MIB, transient_bytes_max=4 * MIB)
    server.start()
    yield server
    server.kill_all()


@pytest.fixture
def client(warren: Warren) -> Iterator[Client]:
    with connect(warren.endpoint) as one:
        yield one


@pytest.fixture
def victim() -> int:
    """The shard to kill: by turns, as one that dies too often is made to wait before it is started again."""
    return next(turns) % 2


@pytest.fixture
def declare(warren: Warren, client: Client, victim: int) -> Iterator[Callable[..., list[str]]]:
    """Declares queues and returns those on the shard to kill; all are deleted with the test."""
    channel = client.channel(900)
    made: list[str] = []

    def make(**flags: bool) -> list[str]:
        made.extend(NAMES)
        for name in NAMES:
            channel.declare(name, **flags)
        return [row["name"] for row in warren.listing("queues") if row["shard"] == victim and row["name"] in NAMES]

    yield make
    with connect(warren.endpoint) as sweeper:
        for number, name in enumerate(made, 1):
            sweeper.channel(number).call(Queue.Delete(queue=name), (Queue.DeleteOk,))
        sweeper.call(0, Connection.Close(200, "", 0, 0), Connection.CloseOk)


def kill_and_wait(warren: Warren, shard: int) -> None:
    old = warren.kill("shard", shard)
    warren.wait_back("shard", shard, old, 15)


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "transient"])
def test_confirmed_transient_messages_survive_under_load(
    warren: Warren, victim: int, declare: Callable[..., list[str]], durable: bool
) -> None:
    queues = declare(durable=durable)
    publishers = [Publisher(warren.endpoint, f"p{n}", queues, delivery_mode=1, size=2000, window=200) for n in range(2)]
    consumer = Consumer(warren.endpoint, queues[:1], ack_every=3)
    for worker in (*publishers, consumer):
        worker.start()
    for round_number in range(1, 3):
        wait_until(lambda n=round_number: all(p.confirmed_count > 2500 * n for p in publishers), "the load", 30)
        kill_and_wait(warren, victim)
    for publisher in publishers:
        publisher.stopping.set()
    for publisher in publishers:
        publisher.finish()
        assert publisher.error is None, publisher.error
    consumer.finish()
    assert consumer.error is None, consumer.error
    for queue in queues:
        check_queue(queue, drain(warren.endpoint, queue), publishers, consumer.acked)


def test_killed_while_it_compacts(warren: Warren, victim: int, declare: Callable[..., list[str]]) -> None:
    """Most of each segment is acknowledged, a few messages stay: they are copied, over and over, while it dies."""
    queues = declare(durable=True)
    publisher = Publisher(warren.endpoint, "p", queues, size=3000, window=300)
    consumer = Consumer(warren.endpoint, queues[1:], prefetch=500, ack_every=50)
    publisher.start()
    consumer.start()
    seed = random.randrange(1 << 32)
    randomly = random.Random(seed)
    for _ in range(3):
        count = publisher.confirmed_count
        wait_until(lambda n=count: publisher.confirmed_count > n + 1500, "the load", 30)
        time.sleep(randomly.random() * 0.3)  # no event to wait for: any moment will do
        kill_and_wait(warren, victim)
    publisher.finish()
    assert publisher.error is None, publisher.error
    wait_until(
        lambda: all(row["messages_ready"] == 0 for row in warren.listing("queues") if row["name"] in queues[1:]),
        "the consumer",
        20,
    )
    consumer.finish()
    assert consumer.error is None, consumer.error
    for queue in queues:
        check_queue(queue, drain(warren.endpoint, queue), [publisher], consumer.acked)
    received = [body for body, redelivered in consumer.received if not redelivered]
    assert len(received) == len(set(received)), f"seed {seed}"


def test_a_limit_of_the_whole_channel_still_holds(
    warren: Warren, victim: int, client: Client, declare: Callable[..., list[str]]
) -> None:
    queue, *_ = declare(durable=True)
    channel = client.channel()
    channel.qos(3, global_=True)
    channel.consume(queue, "limited")
    publisher = client.channel(2)
    publisher.confirm()
    publisher.persistent(queue, [str(n).encode() for n in range(10)])
    publisher.wait_confirms(10)
    held = channel.deliveries(3)
    assert [message.body for message in held] == [b"0", b"1", b"2"]
    kill_and_wait(warren, victim)
    channel.expect_nothing(queue)  # the client still has three in its hands
    channel.ack(held[-1].delivery_tag, multiple=True)  # for nothing, but they no longer count
    again = channel.deliveries(3)
    assert [(m.body, m.redelivered) for m in again] == [(b"0", True), (b"1", True), (b"2", True)]
    channel.expect_nothing(queue)
    for number in range(3, 10):
        channel.ack(again.pop(0).delivery_tag)
        again.append(channel.delivery())
        assert again[-1].body == str(number).encode()
    channel.ack(0, multiple=True)
    channel.expect_nothing(queue)


def test_exclusive_and_auto_delete_queues_go_on(warren: Warren, victim: int) -> None:
    with connect(warren.endpoint) as owner:
        channel = owner.channel()
        names = [channel.exclusive_queue() for _ in range(4)]
        for n in range(4):
            channel.declare(f"auto-{n}", auto_delete=True)
            names.append(f"auto-{n}")
        for name in names:
            channel.consume(name, f"c-{name}", no_ack=True)
        kill_and_wait(warren, victim)
        for name in names:
            channel.publish("", name, name.encode())
        assert sorted(channel.bodies(len(names))) == sorted(name.encode() for name in names)
        for name in names[4:]:
            channel.cancel(f"c-{name}")
        owner.close()
    wait_until(lambda: not {row["name"] for row in warren.listing("queues")} & set(names), "the end of the queues")


def test_a_transaction_is_refused_or_whole(
    warren: Warren, victim: int, client: Client, declare: Callable[..., list[str]]
) -> None:
    queue, *_ = declare(durable=True)
    outcome = {}
    for moment in ("before the publishes", "before the commit"):
        channel = connect(warren.endpoint).channel()
        channel.tx_select()
        if moment == "before the publishes":
            old = warren.kill("shard", victim)
        channel.persistent(queue, [b"1", b"2"])
        if moment == "before the commit":
            old = warren.kill("shard", victim)
        began = time.monotonic()
        outcome[moment] = committed(channel)
        assert time.monotonic() - began < BACK_WITHIN_S + 2
        warren.wait_back("shard", victim, old, 15)
        channel.client.drop()
        assert client.channel(len(outcome)).get_all(queue) == ([b"1", b"2"] if outcome[moment] else [])


def committed(channel: ChannelClient) -> bool:
    """Whether tx.commit-ok came; else the channel or the connection must be closed with a reason."""
    channel.send(Tx.Commit())
    answer = channel.client.next_on(channel.number).method
    assert isinstance(answer, (Tx.CommitOk, Channel.Close, Connection.Close)), answer
    return isinstance(answer, Tx.CommitOk)


def test_a_message_for_queues_on_both_shards(
    warren: Warren, victim: int, client: Client, declare: Callable[..., list[str]]
) -> None:
    """A fanout over both shards: a confirm means that every queue has it, also when one shard was away."""
    declare(durable=True)
    channel = client.channel()
    channel.declare_exchange("both", "fanout", durable=True)
    for name in NAMES:
        channel.bind(name, "both")
    channel.confirm()
    sent, old = 0, None
    for turn in range(40):
        channel.publish_many("both", "", [f"{sent + n}".encode() for n in range(50)], Properties(delivery_mode=2))
        sent += 50
        if turn == 20:
            old = warren.kill("shard", victim)
    nacked = channel.wait_confirms(sent, timeout_s=20)
    assert old is not None
    warren.wait_back("shard", victim, old, 15)
    confirmed = {number - 1 for number in range(1, sent + 1)} - {number - 1 for number in nacked}
    for name in NAMES:
        numbers = [int(body) for body in channel.get_all(name)]
        assert numbers == sorted(set(numbers))
        assert confirmed <= set(numbers)
    channel.delete_exchange("both")


def test_requests_of_all_kinds_wait(
    warren: Warren, victim: int, client: Client, declare: Callable[..., list[str]]
) -> None:
    first, second, third, *_ = declare(durable=True)
    channel = client.channel()
    channel.confirm()
    for name in (first, second, third):
        channel.persistent(name, [b"1", b"2"])
    channel.wait_confirms(6)
    old = warren.kill("shard", victim)
    began = time.monotonic()
    assert channel.purge(first) == 2
    assert channel.delete(second) == 2
    channel.declare(second, durable=True)
    assert channel.consume(third, "late") == "late"
    assert channel.bodies(2) == [b"1", b"2"]
    assert channel.cancel("late") == []
    channel.recover()
    again = [channel.get(third, no_ack=True) for _ in range(2)]
    assert [(m.body, m.redelivered) for m in again if m is not None] == [(b"1", True), (b"2", True)]
    assert time.monotonic() - began < 2 * BACK_WITHIN_S
    warren.wait_back("shard", victim, old, 15)


def test_a_delayed_message_keeps_its_time(
    warren: Warren, client: Client, victim: int, declare: Callable[..., list[str]]
) -> None:
    """Confirmed while it waits; neither lost nor early when the shard dies meanwhile."""
    queue = declare(durable=True)[0]
    channel = client.channel(1)
    channel.confirm()
    at_ms = time.time_ns() // 1_000_000 + 3000
    channel.publish("", queue, b"late", Properties(delivery_mode=2, headers={"x-deliver-at": at_ms}))
    channel.publish("", queue, b"at once", Properties(delivery_mode=2))
    channel.wait_confirms(2)
    kill_and_wait(warren, victim)
    channel.consume(queue, no_ack=True)
    assert channel.bodies(2) == [b"at once", b"late"]
    assert time.time_ns() // 1_000_000 >= at_ms
