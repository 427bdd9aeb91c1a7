"""kill -9 of one shard, one gateway, the catalog under load: back by itself, nothing lost, others undisturbed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Client, Closed, connect
from tests.harness.load import Consumer, Publisher, Worker, check_queue, drain
from tests.harness.methods import Basic, Channel, Exchange, Queue
from tests.harness.warren import Warren, wait_until

QUEUES = [f"durable-{n}" for n in range(8)]
BACK_WITHIN_S = 2.0
UNDISTURBED_S = 1.0
"""The longest that a confirm of somebody not concerned may take while a process is killed and started again. Whoever's
time is taken publishes transient messages: a confirm that waits for the disk takes as long as the disk does."""
TRANSIENT = 1


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker for all tests of this file: each leaves it whole."""
    server = Warren(tmp_path_factory.mktemp("killed"), gateways=2, shards=2)
    server.start()
    yield server
    server.kill_all()


@pytest.fixture
def queues(warren: Warren) -> Iterator[dict[int, list[str]]]:
    """Durable queues by shard; deleted with the test."""
    with connect(warren.endpoint) as client:
        channel = client.channel()
        for queue in QUEUES:
            channel.declare(queue, durable=True)
        by_shard: dict[int, list[str]] = {0: [], 1: []}
        for row in warren.listing("queues"):
            if row["name"] in QUEUES:
                by_shard[row["shard"]].append(row["name"])
        client.close()
    yield by_shard
    with connect(warren.endpoint) as client:
        channel = client.channel()
        for queue in QUEUES:
            channel.delete(queue)
        client.close()


def gateway_of(warren: Warren, client: Client) -> int:
    """The gateway that a connection is at."""
    host, port = client.socket.getsockname()
    return int(
        next(row["gateway"] for row in warren.listing("connections") if row["name"].startswith(f"{host}:{port} "))
    )


def clients_at(warren: Warren, gateway: int, count: int) -> list[Client]:
    """So many connections at one gateway; the kernel chooses, so ask until it chose right."""
    found: list[Client] = []
    for _ in range(60):
        client = connect(warren.endpoint)
        if gateway_of(warren, client) == gateway:
            found.append(client)
            if len(found) == count:
                return found
        else:
            client.drop()
    raise AssertionError(f"the kernel never chose gateway {gateway}")


def accepts(warren: Warren) -> bool:
    """Whether a new client gets in; what the kernel had queued for the dying gateway is refused."""
    try:
        connect(warren.endpoint).close()
    except OSError:
        return False
    return True


def finish(*workers: Worker) -> None:
    for worker in workers:
        worker.finish()


def test_a_shard(warren: Warren, queues: dict[int, list[str]]) -> None:
    mine = [Publisher(warren.endpoint, f"mine{n}", queues[0]) for n in range(2)]
    other = Publisher(warren.endpoint, "other", queues[1], window=20, delivery_mode=TRANSIENT)
    consumer = Consumer(warren.endpoint, [*queues[0][:1], *queues[1][:1]])
    for worker in (*mine, other, consumer):
        worker.start()
    wait_until(lambda: all(p.confirmed_count > 500 for p in (*mine, other)), "the load", 30)
    received = len(consumer.received)
    other.waits_s.clear()
    old = warren.kill("shard", 0)
    assert warren.wait_back("shard", 0, old) < BACK_WITHIN_S
    before = [p.confirmed_count for p in (*mine, other)]
    wait_until(
        lambda: all(p.confirmed_count > n + 500 for p, n in zip((*mine, other), before, strict=True)), "the load", 30
    )
    waits_of_other = list(other.waits_s)
    wait_until(lambda: len(consumer.received) > received + 200, "deliveries to the consumer")
    for publisher in (*mine, other):
        publisher.stopping.set()
    finish(*mine, other)
    wait_until(
        lambda: all(
            row["messages"] == 0 for row in warren.listing("queues") if row["name"] in (queues[0][0], queues[1][0])
        ),
        "empty queues",
        20,
    )
    finish(consumer)
    for worker in (*mine, other, consumer):
        assert worker.error is None, worker.error
    assert max(waits_of_other) < UNDISTURBED_S
    assert not other.told[queues[1][0]].nacked
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), [*mine, other], consumer.acked)
    got = [body for body, _ in consumer.received]
    for publisher in (*mine, other):
        for queue in (queues[0][0], queues[1][0]):
            if queue in publisher.told:
                confirmed = {publisher.body(queue, n) for n in publisher.told[queue].confirmed}
                assert confirmed <= set(got), f"{len(confirmed - set(got))} confirmed messages never came"
    twice = [body for body, redelivered in consumer.received if not redelivered]
    assert len(twice) == len(set(twice)), "a message came twice without a mark"


def test_a_shard_and_its_transient_messages_and_acknowledgements(warren: Warren, queues: dict[int, list[str]]) -> None:
    queue = queues[0][0]
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.confirm()
        channel.publish_many("", queue, [str(n).encode() for n in range(10)])
        channel.wait_confirms(10)
        channel.qos(4)
        channel.consume(queue)
        messages = channel.deliveries(4)
        channel.ack(messages[0].delivery_tag)
        assert channel.delivery().body == b"4"
        old = warren.kill("shard", 0)
        warren.wait_back("shard", 0, old)
        again = channel.deliveries(4)
        assert [(m.body, m.redelivered) for m in again] == [(b"1", True), (b"2", True), (b"3", True), (b"4", True)]
        channel.ack(messages[1].delivery_tag)  # of before: accepted, and means nothing now
        channel.ack(again[-1].delivery_tag, multiple=True)
        assert [m.body for m in channel.deliveries(4)] == [b"5", b"6", b"7", b"8"]
        channel.expect_nothing(queue)


def test_requests_to_a_shard_that_is_away_wait_for_it(warren: Warren, queues: dict[int, list[str]]) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.confirm()
        channel.persistent(queues[0][0], [b"1", b"2"])
        channel.wait_confirms(2)
        old = warren.kill("shard", 0)
        began = time.monotonic()
        message = channel.get(queues[0][0], no_ack=True)
        assert message is not None and message.body == b"1"
        assert channel.count(queues[0][0]) == 1
        assert time.monotonic() - began < BACK_WITHIN_S + 1
        warren.wait_back("shard", 0, old)


def test_a_gateway(warren: Warren, queues: dict[int, list[str]]) -> None:
    (doomed_client,) = clients_at(warren, 0, 1)
    (safe_client,) = clients_at(warren, 1, 1)
    doomed_client.drop()
    safe_client.drop()
    publishers = [
        Publisher(warren.endpoint, f"p{n}", QUEUES, window=50, delivery_mode=TRANSIENT) for n in range(8)
    ]
    at = {p: gateway_of(warren, p.client) for p in publishers}
    while set(at.values()) != {0, 1}:                   # the kernel deals them out
        publishers.append(
            Publisher(warren.endpoint, f"p{len(publishers)}", QUEUES, window=50, delivery_mode=TRANSIENT)
        )
        at[publishers[-1]] = gateway_of(warren, publishers[-1].client)
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: all(p.confirmed_count > 200 for p in publishers), "the load", 30)
    safe = [p for p in publishers if at[p] == 1]
    doomed = [p for p in publishers if at[p] == 0]
    for publisher in safe:
        publisher.waits_s.clear()
    old = warren.kill("gateway", 0)
    wait_until(lambda: accepts(warren), "a new client at the other gateway", 1.0)
    assert warren.wait_back("gateway", 0, old) < BACK_WITHIN_S
    before = {p: p.confirmed_count for p in safe}
    wait_until(lambda: all(p.confirmed_count > before[p] + 200 for p in safe), "the load", 30)
    for publisher in safe:
        publisher.stopping.set()
    finish(*publishers)
    for publisher in doomed:
        assert isinstance(publisher.error, (Closed, OSError)), publisher.error
    for publisher in safe:
        assert publisher.error is None, publisher.error
        assert max(publisher.waits_s) < UNDISTURBED_S
        assert not any(told.nacked for told in publisher.told.values())
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), publishers)
    (one,) = clients_at(warren, 0, 1)
    one.channel().exclusive_queue()
    one.drop()


def test_what_the_clients_of_a_killed_gateway_held_comes_back(warren: Warren, queues: dict[int, list[str]]) -> None:
    (doomed,) = clients_at(warren, 0, 1)
    (safe,) = clients_at(warren, 1, 1)
    holder, heir = doomed.channel(), safe.channel()
    heir.confirm()
    for shard in (0, 1):
        heir.persistent(queues[shard][0], [str(n).encode() for n in range(5)])
    heir.wait_confirms(10)
    holder.declare("exclusive-of-the-killed", exclusive=True)
    for shard in (0, 1):
        holder.consume_quietly(queues[shard][0], str(shard))
    holder.deliveries(10)
    old = warren.kill("gateway", 0)
    for shard in (0, 1):
        heir.consume(queues[shard][0], str(shard))
        messages = heir.deliveries(5)
        assert [(m.body, m.redelivered) for m in messages] == [(str(n).encode(), True) for n in range(5)]
        heir.cancel(str(shard))
    heir.ack(0, multiple=True)
    warren.wait_back("gateway", 0, old)

    def gone() -> bool:
        probe = safe.channel(2)
        probe.send(Queue.Declare(queue="exclusive-of-the-killed", passive=True))
        close = probe.expect(Channel.Close)
        probe.send(Channel.CloseOk())
        return bool(close.reply_code == 404)

    wait_until(gone, "the deletion of the exclusive queue", BACK_WITHIN_S)
    safe.drop()


def test_the_catalog(warren: Warren, queues: dict[int, list[str]]) -> None:
    publishers = [
        Publisher(warren.endpoint, f"p{n}", QUEUES, window=50, delivery_mode=TRANSIENT) for n in range(2)
    ]
    for publisher in publishers:
        publisher.start()
    declarer = Declarer(warren)
    declarer.start()
    wait_until(lambda: all(p.confirmed_count > 300 for p in publishers) and len(declarer.declared) > 20, "the load", 30)
    for publisher in publishers:
        publisher.waits_s.clear()
    old = warren.kill("catalog")
    assert warren.wait_back("catalog", 0, old) < BACK_WITHIN_S
    count = len(declarer.declared)
    wait_until(lambda: len(declarer.declared) > count + 20, "declarations after the return")
    finish(declarer, *publishers)
    for worker in (declarer, *publishers):
        assert worker.error is None, worker.error
    for publisher in publishers:
        assert max(publisher.waits_s) < UNDISTURBED_S
        assert not any(told.nacked for told in publisher.told.values())
    names = {row["name"] for row in warren.listing("queues")}
    assert set(declarer.declared) <= names
    with connect(warren.endpoint) as client:
        channel = client.channel()
        for name in declarer.declared:
            channel.publish("", name, b"routable", mandatory=True)
            assert channel.delete(name) == 1
        client.close()
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), publishers)


class Declarer(Worker):
    """Declares durable and transient queues in turn, with a binding each."""

    def __init__(self, warren: Warren) -> None:
        super().__init__(warren.endpoint)
        self.declared: list[str] = []

    def work(self) -> None:
        while not self.stopping.is_set():
            name = f"declared-{len(self.declared)}"
            self.channel.declare(name, durable=len(self.declared) % 2 == 0)
            self.channel.bind(name, "amq.direct", name)
            self.declared.append(name)


def test_names_of_all_kinds_survive_the_catalog(warren: Warren) -> None:
    with connect(warren.endpoint) as client, connect(warren.endpoint) as other:
        channel = client.channel()
        channel.declare("exclusive", exclusive=True)
        channel.declare("transient")
        channel.declare_exchange("transient-e", "fanout")
        channel.bind("transient", "transient-e")
        channel.publish("", "transient", b"kept")
        channel.count("transient")
        old = warren.kill("catalog")
        channel.declare("after", auto_delete=True)  # waits until the catalog is back
        warren.wait_back("catalog", 0, old)
        channel.publish("transient-e", "", b"routed")
        assert channel.get_all("transient") == [b"kept", b"routed"]
        channel.declare("exclusive", exclusive=True)
        outsider = other.channel()
        outsider.send(Queue.Declare(queue="exclusive", passive=True))
        outsider.expect_error(405)
        client.close()
        outsider = other.channel()
        outsider.send(Queue.Declare(queue="exclusive", passive=True))
        outsider.expect_error(404)
        outsider = other.channel()
        outsider.delete("transient")
        outsider.delete("after")
        outsider.call(Exchange.Delete(exchange="transient-e"), Exchange.DeleteOk)


def test_a_connection_that_ends_while_the_catalog_is_away(warren: Warren) -> None:
    with connect(warren.endpoint) as watcher:
        client = connect(warren.endpoint)
        client.channel().declare("exclusive-gone", exclusive=True)
        old = warren.kill("catalog")
        client.reset()
        warren.wait_back("catalog", 0, old)

        def gone() -> bool:
            probe = watcher.channel()
            probe.send(Queue.Declare(queue="exclusive-gone", passive=True))
            close = probe.expect(Channel.Close)
            probe.send(Channel.CloseOk())
            return bool(close.reply_code == 404)

        wait_until(gone, "the deletion of the exclusive queue", BACK_WITHIN_S)


@pytest.mark.parametrize("role, index", [("shard", 0), ("gateway", 1), ("catalog", 0)])
def test_killed_several_times_in_a_row(warren: Warren, role: str, index: int, queues: dict[int, list[str]]) -> None:
    for _ in range(3):
        old = warren.kill(role, index)
        warren.wait_back(role, index, old, 15)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.confirm()
        for number, queue in enumerate(QUEUES, 1):
            channel.persistent(queue, [b"works"])
            channel.wait_confirms(number, number)
            message = channel.get(queue, no_ack=True)
            assert message is not None and message.body == b"works"


def test_two_processes_at_once(warren: Warren, queues: dict[int, list[str]]) -> None:
    publisher = Publisher(warren.endpoint, "p", QUEUES, count=500)
    publisher.start()
    publisher.join(20)
    publisher.finish()
    pids = {role: warren.pid(role, 0) for role in ("shard", "catalog")}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    for role, pid in pids.items():
        warren.wait_back(role, 0, pid, 15)
    with connect(warren.endpoint) as client:
        client.channel().declare("afterwards", exclusive=True)
    for queue in QUEUES:
        check_queue(queue, drain(warren.endpoint, queue), [publisher])


def test_no_process_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    server = Warren(tmp_path / "alone", gateways=1, shards=1)
    server.start()
    pids = [one["pid"] for one in server.status()["processes"]]
    server.kill("supervisor")
    server._wait_gone(pids)
    server.kill_all()
    server.start()  # the same data directory, at once
    connect(server.endpoint).close()
    server.stop()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_processes_come_back_when_the_nursery_that_forks_them_is_gone(tmp_path: Path) -> None:
    with Warren(tmp_path / "orphans", gateways=1, shards=1) as server:
        dead = server.kill("nursery")
        with connect(server.endpoint) as client:
            client.channel().declare("undisturbed", exclusive=True)
        wait_until(lambda: server.process("nursery")["pid"] != dead, "another nursery, which nobody has asked for yet")
        assert f"the nursery (pid {dead}) was killed by SIGKILL; another one is started" in server.log_tail()
        old = server.kill("shard")
        server.wait_back("shard", 0, old)
        with connect(server.endpoint) as client:
            client.channel().declare("afterwards", exclusive=True)
        nursery = server.process("nursery")
        assert (nursery["state"], nursery["restarts"]) == ("ready", 1)
        server.kill("nursery")
        old = server.kill("shard")          # and is asked for one before the end of the first is heard of, perhaps
        server.wait_back("shard", 0, old)
        assert server.process("nursery")["restarts"] == 2
        pids = [one["pid"] for one in server.status()["processes"] if one["role"] != "supervisor"]
        assert {parent(pid) for pid in pids} == {server.supervisor_pid}
        server.kill("supervisor")
        server._wait_gone(pids)


def test_a_cancelled_consumer_stays_cancelled_after_the_shard_returns(
    warren: Warren, queues: dict[int, list[str]]
) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.consume(queues[0][0], "stays")
        channel.consume(queues[0][1], "goes")
        channel.cancel("goes")
        old = warren.kill("shard", 0)
        warren.wait_back("shard", 0, old)
        wait_until(lambda: channel.consumers(queues[0][0]) == 1, "the consumer")
        assert channel.consumers(queues[0][1]) == 0
        channel.publish("", queues[0][0], b"x")
        assert isinstance(channel.client.next_on(1).method, Basic.Deliver)
