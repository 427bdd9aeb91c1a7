"""basic.ack, nack, reject and recover: delivery tags of a channel to delivery sequences of shards."""
import random
from typing import Any

import pytest

from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Connection, Gateway
from tests.unit.gateway_core.records import ACK, REJECT, REQUEUE, REQUEUE_FAILED, Settled


class Consuming:
    """A connection with a manual-ack consumer on each of two shards."""

    def __init__(self, channels: int = 1) -> None:
        self.gateway = Gateway()
        self.connection = Connection(self.gateway, channels)
        self.channel = self.connection.channels[1]
        self.handle = self.channel.handle
        self.consumers = [self.channel.add_consumer(b"c%d" % shard, shard, False) for shard in (0, 1)]

    def deliver(self, *shards: int) -> None:
        for shard in shards:
            self.gateway.on_batch(shard, records.deliver(self.consumers[shard], b"m"))

    def settles(self, frame: bytes) -> tuple[list[Any], list[Any]]:
        self.connection.receive(frame)
        return self.gateway.send(0), self.gateway.send(1)


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        (frames.ack(1, 1), ACK),
        (frames.nack(1, 1), REQUEUE),
        (frames.nack(1, 1, requeue=False), REJECT),
        (frames.reject(1, 1), REQUEUE_FAILED),
        (frames.reject(1, 1, requeue=False), REJECT),
    ],
)
def test_each_method_has_its_outcome(frame: bytes, outcome: int) -> None:
    test = Consuming()
    test.deliver(0)
    assert test.settles(frame) == ([Settled(test.handle, outcome, 1, False)], [])
    assert test.channel.unacked_count == 0


def test_tags_become_the_sequences_of_their_shards() -> None:
    test = Consuming()
    test.deliver(0, 1, 1, 0)
    assert test.settles(frames.ack(1, 3)) == ([], [Settled(test.handle, ACK, 2, False)])
    assert test.settles(frames.ack(1, 4)) == ([Settled(test.handle, ACK, 2, False)], [])
    assert test.channel.unacked_count == 2


def test_multiple_goes_to_each_shard_once() -> None:
    test = Consuming()
    test.deliver(0, 1, 1, 0, 0)
    assert test.settles(frames.ack(1, 4, multiple=True)) == (
        [Settled(test.handle, ACK, 2, True)], [Settled(test.handle, ACK, 2, True)])
    assert test.settles(frames.nack(1, 5, multiple=True)) == ([Settled(test.handle, REQUEUE, 3, True)], [])


def test_multiple_with_tag_0_is_all_even_of_none() -> None:
    test = Consuming()
    assert test.settles(frames.ack(1, 0, multiple=True)) == ([], [])
    test.deliver(0, 0, 0)
    assert test.settles(frames.ack(1, 0, multiple=True)) == ([Settled(test.handle, ACK, 3, True)], [])
    assert not test.connection.errors


@pytest.mark.parametrize(
    ("frame", "tag"),
    [
        (frames.ack(1, 0), 0),
        (frames.ack(1, 4), 4),
        (frames.ack(1, 2), 2),
        (frames.ack(1, 2, multiple=True), 2),
        (frames.ack(1, 99, multiple=True), 99),
        (frames.reject(1, 0), 0),
        (frames.nack(1, 2**64 - 1), 2**64 - 1),
    ],
)
def test_a_tag_that_is_not_unacknowledged_closes_the_channel(frame: bytes, tag: int) -> None:
    test = Consuming()
    test.deliver(0, 0, 0)
    test.settles(frames.ack(1, 2))
    assert test.settles(frame) == ([], [])
    assert test.connection.failed() == [(1, 406, f"unknown delivery tag {tag}")]
    assert test.connection.errors[0][1].method_id == int.from_bytes(frame[9:11], "big")


def test_tags_are_a_channels_own() -> None:
    test = Consuming(2)
    test.deliver(0)
    test.connection.receive(frames.ack(2, 1))
    assert test.connection.failed() == [(2, 406, "unknown delivery tag 1")]


def test_deliveries_without_ack_take_tags_and_no_sequences() -> None:
    test = Consuming()
    automatic = test.channel.add_consumer(b"auto", 0, True)
    for consumer in (automatic, test.consumers[0], automatic, test.consumers[0]):
        test.gateway.on_batch(0, records.deliver(consumer))
    assert [sent.fields[1] for sent in test.connection.sees()] == [1, 2, 3, 4]
    assert test.settles(frames.ack(1, 4)) == ([Settled(test.handle, ACK, 2, False)], [])
    test.connection.receive(frames.ack(1, 3))
    assert test.connection.failed() == [(1, 406, "unknown delivery tag 3")]


def test_tags_of_a_dead_shard_are_accepted_and_told_to_nobody() -> None:
    test = Consuming()
    test.deliver(0, 1, 0, 1)
    test.gateway.restart(0)
    assert test.channel.unacked_count == 4
    assert test.settles(frames.ack(1, 1)) == ([], [])
    test.deliver(0)
    assert test.settles(frames.ack(1, 5, multiple=True)) == (
        [Settled(test.handle, ACK, 1, True)], [Settled(test.handle, ACK, 2, True)])
    assert not test.connection.errors and test.channel.unacked_count == 0


def test_recover_puts_all_back_and_the_sequences_go_on() -> None:
    test = Consuming()
    test.deliver(0, 0, 1)
    assert test.channel.recover() == []
    assert (test.gateway.send(0), test.gateway.send(1)) == (
        [Settled(test.handle, REQUEUE, 2, True)], [Settled(test.handle, REQUEUE, 1, True)])
    assert test.channel.unacked_count == 0
    test.deliver(0)
    assert test.settles(frames.ack(1, 4)) == ([Settled(test.handle, ACK, 3, False)], [])
    test.channel.recover()
    assert test.gateway.send() == []


def test_the_python_side_is_told_once_per_read_if_it_wants_to_know() -> None:
    test = Consuming()
    test.deliver(0, 0, 0, 0)
    test.connection.receive(frames.ack(1, 1))
    assert test.channel.settled == 0
    test.channel.notify_settled = True
    test.connection.receive(frames.ack(1, 2) + frames.ack(1, 3))
    assert test.channel.settled == 1 and test.channel.consumer_unacked_count == 1


def test_an_old_delivery_does_not_make_the_ring_grow() -> None:
    test = Consuming()
    test.deliver(0)
    for _ in range(20_000):
        test.deliver(1)
        test.connection.receive(frames.ack(1, test.channel.delivered_from(0) + test.channel.delivered_from(1)))
        if len(bytes(test.gateway.outgoing(1))) > 100_000:
            test.gateway.send(1)
            test.connection.take_output()
    assert test.channel.unacked_count == 1
    assert test.settles(frames.ack(1, 1))[0] == [Settled(test.handle, ACK, 1, False)]
    assert not test.connection.errors


def test_random_settles_against_a_model() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        test = Consuming()
        model: dict[int, tuple[int, int]] = {}
        sequences, tag = [0, 0], 0
        for _ in range(200):
            if rng.random() < 0.55:
                shard = rng.randrange(2)
                test.deliver(shard)
                sequences[shard] += 1
                tag += 1
                model[tag] = (shard, sequences[shard])
            elif model:
                chosen = rng.choice(list(model)[: rng.choice((1, 3, 1000))])
                multiple = rng.random() < 0.3
                gone = [item for item in model if item <= chosen] if multiple else [chosen]
                told = test.settles(frames.ack(1, chosen, multiple=multiple))
                for shard in (0, 1):
                    expected = [model[item][1] for item in gone if model[item][0] == shard]
                    assert [record.delivery_sequence for record in told[shard]] == expected[-1:], seed
                for item in gone:
                    del model[item]
            assert test.channel.unacked_count == len(model)
        assert not test.connection.errors
