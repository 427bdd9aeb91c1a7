"""kill -9 while messages die into a queue of the same shard: each is in the one queue or in the other, once."""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.load import Consumer, Publisher, Worker, drain
from tests.harness.methods import Basic
from tests.harness.warren import Warren, wait_until

MakeWarren = Callable[..., Warren]
SOURCE, TARGET, OTHER, EXCHANGE = "source", "target", "other", "dlx"
LOAD = 600
"""So many confirms of each publisher before the first kill, and after each."""
EMPTY_S_MAX = 30.0


class Rejecting(Consumer):
    """Rejects what it is given, a few at a time."""

    def work(self) -> None:
        while not self.stopping.is_set():
            try:
                arrival = self.client.next_on(1, 0.1)
            except TimeoutError:
                continue
            if isinstance(arrival.method, Basic.Cancel):
                return
            assert arrival.message is not None
            if arrival.message.delivery_tag % 7 == 0:
                self.channel.nack(arrival.message.delivery_tag, multiple=True, requeue=False)


def declare(channel: ChannelClient, *targets: str, **arguments: object) -> None:
    """The source, and the queues that its messages die into."""
    channel.declare_exchange(EXCHANGE, "fanout", durable=True)
    for target in targets:
        channel.declare(target, durable=True)
        channel.bind(target, EXCHANGE)
    channel.declare(SOURCE, durable=True, arguments={"x-dead-letter-exchange": EXCHANGE, **arguments})


def publishers_of(warren: Warren) -> list[Publisher]:
    publishers = [Publisher(warren.endpoint, f"p{number}", [SOURCE]) for number in range(3)]
    for publisher in publishers:
        publisher.start()
    return publishers


def more_load(publishers: list[Publisher]) -> None:
    before = [publisher.confirmed_count for publisher in publishers]
    wait_until(
        lambda: all(one.confirmed_count >= n + LOAD for one, n in zip(publishers, before, strict=True)), "the load", 30)


def messages_of(warren: Warren, queue: str) -> int:
    return int(next(row["messages"] for row in warren.listing("queues") if row["name"] == queue))


def finish(workers: list[Worker]) -> None:
    for worker in workers:
        worker.finish()


def check(warren: Warren, publishers: list[Publisher], *targets: str) -> None:
    """Every confirmed message has come to each target, and none of them twice."""
    wait_until(lambda: messages_of(warren, SOURCE) == 0, "the end of the source", EMPTY_S_MAX)
    expected = {one.body(SOURCE, number) for one in publishers for number in one.told[SOURCE].confirmed}
    sent = {one.body(SOURCE, number) for one in publishers for number in range(one.told[SOURCE].sent)}
    for target in targets:
        letters = drain(warren.endpoint, target)
        copies = Counter(letter.body for letter in letters)
        assert set(copies) <= sent
        lost, twice = expected - set(copies), [body for body, count in copies.items() if count > 1]
        assert not lost, f"{target}: {len(lost)} of {len(expected)} are lost: {sorted(lost)[:3]}"
        assert not twice, f"{target}: {len(twice)} are there more than once: {sorted(twice)[:3]}"
        assert all(letter.properties.headers["x-death"][0]["count"] == 1 for letter in letters)


@pytest.mark.parametrize("how", ["expired", "rejected", "maxlen"])
def test_of_the_shard(make_warren: MakeWarren, how: str) -> None:
    warren = make_warren(gateways=1, shards=1)
    arguments = {"expired": {"x-message-ttl": 1}, "rejected": {}, "maxlen": {"x-max-length": 0}}[how]
    with connect(warren.endpoint) as client:
        declare(client.channel(), TARGET, OTHER, **arguments)
        client.close()
    consumers: list[Worker] = [Rejecting(warren.endpoint, [SOURCE], prefetch=70)] if how == "rejected" else []
    for consumer in consumers:
        consumer.start()
    publishers = publishers_of(warren)
    for _ in range(2):
        more_load(publishers)
        old = warren.kill("shard", 0)
        warren.wait_back("shard", 0, old)
    more_load(publishers)
    for publisher in publishers:
        publisher.stopping.set()
    finish([*publishers])
    assert [publisher.error for publisher in publishers] == [None] * 3
    if how == "rejected":
        wait_until(lambda: messages_of(warren, SOURCE) < 7, "the rejects", EMPTY_S_MAX)
        finish(consumers)
        with connect(warren.endpoint) as client:
            channel = client.channel()
            while (message := channel.get(SOURCE)) is not None:
                channel.reject(message.delivery_tag, requeue=False)
            channel.expect_nothing(SOURCE)
            client.close()
    check(warren, publishers, TARGET, OTHER)


def test_of_the_whole_broker(make_warren: MakeWarren) -> None:
    warren = make_warren(gateways=1, shards=1)
    with connect(warren.endpoint) as client:
        declare(client.channel(), TARGET, **{"x-message-ttl": 1})
        client.close()
    publishers = publishers_of(warren)
    more_load(publishers)
    warren.kill_all()
    finish([*publishers])
    warren.start()
    check(warren, publishers, TARGET)


def test_a_clean_stop_under_load(make_warren: MakeWarren) -> None:
    warren = make_warren(gateways=1, shards=1)
    with connect(warren.endpoint) as client:
        declare(client.channel(), TARGET, **{"x-message-ttl": 1})
        client.close()
    publishers = publishers_of(warren)
    more_load(publishers)
    warren.stop()
    finish([*publishers])
    warren.start()
    check(warren, publishers, TARGET)


def test_what_a_full_target_holds_up_survives(make_warren: MakeWarren) -> None:
    """It is in its queue again, and dies again; the target gets it when there is room."""
    warren = make_warren(gateways=1, shards=1)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare(TARGET, durable=True, arguments={"x-max-length": 10, "x-overflow": "reject-publish"})
        channel.declare(SOURCE, durable=True, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": TARGET, "x-message-ttl": 1})
        channel.confirm()
        channel.persistent(SOURCE, [b"%d" % number for number in range(100)])
        channel.wait_confirms(100)
        wait_until(lambda: messages_of(warren, TARGET) == 10, "a full target")
        old = warren.kill("shard", 0)
        warren.wait_back("shard", 0, old)
        taken: list[bytes] = []
        deadline_s = time.monotonic() + EMPTY_S_MAX
        while len(taken) < 100:
            assert time.monotonic() < deadline_s, f"only {len(taken)} came"
            taken += channel.get_all(TARGET)
        assert sorted(taken, key=int) == [b"%d" % number for number in range(100)]
        client.close()
