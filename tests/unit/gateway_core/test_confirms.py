"""Publisher confirms: the fewest acks for the answered prefix, nacks one by one, returns before the ack."""
import random

import pytest

from gateway.core import PAUSE_HELD, Route
from tests.unit.gateway_core import frames, records
from tests.unit.gateway_core.driver import Channel, Connection, Gateway

PERSISTENT = frames.properties(delivery_mode=2)


def confirming(gateway: Gateway, channels: int = 1) -> Connection:
    connection = Connection(gateway, channels)
    for channel in connection.channels.values():
        channel.confirm_select()
        channel.confirm_select()
    return connection


def acks(connection: Connection) -> list[tuple[str, int, bool]]:
    return [(sent.name, *sent.fields) for sent in connection.sees()]


def test_publishes_are_numbered_from_1_and_acked_together() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1) * 5)
    sent = gateway.send()
    assert [(record.publish_sequence, record.flags) for record in sent] == [(n, records.CONFIRM) for n in range(1, 6)]
    assert acks(connection) == [] and connection.channels[1].unconfirmed_count == 5
    gateway.on_batch(0, records.watermark(1))
    assert acks(connection) == [("ack", 5, True)] and connection.channels[1].unconfirmed_count == 0
    gateway.on_batch(0, records.watermark(1))
    assert acks(connection) == []


def test_one_publish_is_acked_without_multiple() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1))
    gateway.send()
    gateway.on_batch(0, records.watermark(1))
    assert acks(connection) == [("ack", 1, False)]


def test_publishes_before_confirm_select_are_not_numbered() -> None:
    gateway = Gateway()
    connection = Connection(gateway)
    connection.receive(frames.publish(1))
    connection.channels[1].confirm_select()
    connection.receive(frames.publish(1))
    assert [record.publish_sequence for record in gateway.send()] == [0, 1]


def test_persistent_on_durable_waits_for_the_disk_and_the_rest_does_not() -> None:
    gateway = Gateway()
    connection = confirming(gateway, 3)
    connection.receive(
        frames.publish(1, b"", PERSISTENT)
        + frames.publish(2, b"")
        + frames.publish(3, b"", PERSISTENT, routing_key=b"transient")
    )
    gateway.send()
    gateway.on_batch(0, records.watermark(1, 0))
    assert {sent.channel for sent in connection.sees()} == {2, 3}
    assert connection.channels[1].unconfirmed_count == 1
    gateway.on_batch(0, records.watermark(1, 1))
    assert [(sent.channel, *sent.fields) for sent in connection.sees()] == [(1, 1, False)]


def test_a_watermark_confirms_only_the_batches_it_names() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    for _ in range(4):
        connection.receive(frames.publish(1) * 10)
        gateway.send()
    gateway.on_batch(0, records.watermark(2))
    assert acks(connection) == [("ack", 20, True)]
    gateway.on_batch(0, records.watermark(4))
    assert acks(connection) == [("ack", 40, True)]


def test_several_batches_of_answers_make_one_ack() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    for _ in range(3):
        connection.receive(frames.publish(1))
        gateway.send()
    gateway.on_batch(0, b"".join(records.watermark(n) for n in (1, 2, 3)))
    assert acks(connection) == [("ack", 3, True)]


def test_a_publish_to_several_shards_waits_for_all() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1, routing_key=b"both") * 2)
    gateway.send(0)
    gateway.send(1)
    gateway.on_batch(1, records.watermark(1))
    assert acks(connection) == []
    gateway.on_batch(0, records.watermark(1))
    assert acks(connection) == [("ack", 2, True)]


def test_a_gap_holds_back_what_is_behind_it() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1) + frames.publish(1, routing_key=b"r") * 3)
    gateway.send(0)
    gateway.send(1)
    gateway.on_batch(1, records.watermark(1))
    assert acks(connection) == []
    gateway.on_batch(0, records.watermark(1))
    assert acks(connection) == [("ack", 4, True)]


def test_an_unroutable_publish_is_acked_after_its_return() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1, b"m", routing_key=b"nowhere", mandatory=True) * 2)
    assert [sent.name for sent in connection.sees()] == ["return", "return", "ack"]
    connection.receive(frames.publish(1, b"m", routing_key=b"nowhere"))
    assert acks(connection) == [("ack", 3, False)]


def test_a_refused_publish_is_nacked_alone() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1) * 4)
    gateway.send()
    handle = connection.channels[1].handle
    gateway.on_batch(0, records.refused(handle, 2) + records.refused(handle, 2) + records.watermark(1))
    assert acks(connection) == [("nack", 2, False), ("ack", 4, True)]
    assert connection.channels[1].unconfirmed_count == 0


def test_a_refusal_at_the_end_is_not_covered_by_the_ack() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1) * 2)
    gateway.send()
    gateway.on_batch(0, records.refused(connection.channels[1].handle, 2) + records.watermark(1))
    assert acks(connection) == [("nack", 2, False), ("ack", 1, False)]


def test_refused_by_one_of_two_shards_is_nacked_once() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1, routing_key=b"both"))
    gateway.send(0)
    gateway.send(1)
    handle = connection.channels[1].handle
    gateway.on_batch(0, records.refused(handle, 1) + records.watermark(1))
    assert acks(connection) == [("nack", 1, False)]
    gateway.on_batch(1, records.refused(handle, 1) + records.watermark(1))
    assert acks(connection) == []
    connection.receive(frames.publish(1))
    gateway.send(0)
    gateway.on_batch(0, records.watermark(2))
    assert acks(connection) == [("ack", 2, False)]


def test_what_was_in_flight_to_a_dead_shard_is_nacked_one_by_one() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1) + frames.publish(1, b"", PERSISTENT) + frames.publish(1, routing_key=b"r"))
    gateway.send(0)
    gateway.send(1)
    connection.receive(frames.publish(1))
    gateway.shard_down(0)
    assert sorted(acks(connection)) == [("nack", 1, False), ("nack", 2, False), ("nack", 4, False)]
    assert bytes(gateway.outgoing(0)) == b""
    gateway.on_batch(1, records.watermark(1))
    assert acks(connection) == [("ack", 3, False)]


def test_a_publish_to_a_shard_that_is_down_waits_for_it_and_holds_its_connection() -> None:
    gateway = Gateway()
    connection, other = confirming(gateway), confirming(gateway)
    gateway.send(0)
    gateway.shard_down(0)
    gateway.shard_down(0)
    for publisher in connection, other:
        publisher.receive(frames.publish(1, b"1", PERSISTENT) + frames.publish(1, b"2"))
        assert publisher.held == [0] and publisher.paused and acks(publisher) == []
    gateway.shard_up(0, 7)
    gateway.next_numbers[0] = 7
    connection.resume(PAUSE_HELD)
    assert [record.body for record in gateway.send(0)] == [b"1", b"1", b"2"]
    gateway.on_batch(0, records.watermark(7, 6))
    assert acks(connection) == []
    gateway.on_batch(0, records.watermark(7, 7))
    assert acks(connection) == [("ack", 2, True)] and acks(other) == [("ack", 1, False)]


def test_no_more_waits_for_a_shard_than_a_link_takes() -> None:
    gateway = Gateway()
    gateway.shard_down(0)
    body = bytes(20 << 20)
    answers = []
    for _ in range(6):
        connection = confirming(gateway)
        connection.frame_max = len(body) + 8
        connection.receive(frames.publish(1, body))
        answers.append((acks(connection), connection.held))
    assert answers == [([], [0])] * 4 + [([("nack", 1, False)], [])] * 2
    gateway.shard_up(0)
    assert len(gateway.send(0)) == 4


def test_a_shard_that_is_given_up_refuses_what_waited_for_it_and_what_comes() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    gateway.shard_down(0)
    connection.receive(frames.publish(1, b"1") + frames.publish(1, b"2"))
    gateway.shard_lost(0)
    assert acks(connection) == [("nack", 1, False)] and bytes(gateway.outgoing(0)) == b""
    connection.resume(PAUSE_HELD)
    assert acks(connection) == [("nack", 2, False)] and not connection.paused
    gateway.shard_up(0)
    connection.receive(frames.publish(1, b"3"))
    assert [record.publish_sequence for record in gateway.send(0)] == [3]
    with pytest.raises(ValueError, match="is up"):
        gateway.shard_lost(0)


def test_a_watermark_for_a_closed_channel_goes_nowhere() -> None:
    gateway = Gateway()
    connection = confirming(gateway, 2)
    connection.receive(frames.publish(1) + frames.publish(2))
    gateway.send()
    channel = connection.channels[1]
    channel.close()
    gateway.on_batch(0, records.refused(channel.handle, 1))
    channel.release()
    connection.remove_channel(1)
    Channel(connection, 1).confirm_select()
    gateway.on_batch(0, records.refused(channel.handle, 1) + records.watermark(1))
    assert [(sent.channel, sent.name) for sent in connection.sees()] == [(2, "ack")]


def test_a_channel_that_is_being_closed_confirms_nothing_more() -> None:
    gateway = Gateway()
    connection = confirming(gateway)
    connection.receive(frames.publish(1) + frames.publish(1, routing_key=b"missing"))
    gateway.send()
    gateway.on_batch(0, records.watermark(1))
    assert acks(connection) == []


class Answers:
    """What each publish waits for, and how it was answered; fails on an answer that is early or comes twice."""

    def __init__(self, shards: int) -> None:
        self.awaited: dict[tuple[int, int], set[tuple[int, int, bool]]] = {}
        self.answered: dict[tuple[int, int], str] = {}
        self.processed = [0] * shards
        self.durable = [0] * shards

    def is_due(self, shard: int, batch: int, durable: bool) -> bool:
        return (self.durable if durable else self.processed)[shard] >= batch

    def look(self, connection: Connection) -> None:
        for sent in connection.sees():
            number, multiple = sent.fields
            covered = [
                key for key in self.awaited
                if key not in self.answered
                and key[0] == sent.channel and (key[1] <= number if multiple else key[1] == number)
            ]
            assert covered and (not multiple or len(covered) > 1), sent
            for key in covered:
                assert all(self.is_due(*part) for part in self.awaited[key]), key
                self.answered[key] = sent.name


def test_random_answers_confirm_each_publish_once() -> None:
    """Against a plain model: each publish is acked exactly once, and not before its shards have answered."""
    shards = 4
    for seed in range(40):
        rng = random.Random(seed)
        gateway = Gateway(shards)
        connection = confirming(gateway, 3)
        for mask in range(1 << shards):
            targets = [(shard, shard + 1, bool(mask & 1)) for shard in range(shards) if mask >> shard & 1]
            connection.routes[b"%d" % mask] = Route(targets)
        answers = Answers(shards)
        numbers = [0, 0, 0, 0]
        for _ in range(300):
            action = rng.random()
            shard = rng.randrange(shards)
            if action < 0.6:
                number, mask, persistent = rng.randrange(1, 4), rng.randrange(1 << shards), rng.random() < 0.5
                numbers[number] += 1
                answers.awaited[number, numbers[number]] = {
                    (target, gateway.next_numbers[target], persistent and bool(mask & 1))
                    for target in range(shards) if mask >> target & 1
                }
                properties = PERSISTENT if persistent else b"\0\0"
                connection.receive(frames.publish(number, b"", properties, routing_key=b"%d" % mask))
            elif action < 0.8:
                gateway.send(shard)
            else:
                answers.processed[shard] = rng.randint(answers.processed[shard], gateway.next_numbers[shard] - 1)
                answers.durable[shard] = rng.randint(answers.durable[shard], answers.processed[shard])
                gateway.on_batch(shard, records.watermark(answers.processed[shard], answers.durable[shard]))
            answers.look(connection)
        for shard in range(shards):
            gateway.send(shard)
            last = answers.processed[shard] = answers.durable[shard] = gateway.next_numbers[shard] - 1
            gateway.on_batch(shard, records.watermark(last, last))
        answers.look(connection)
        assert answers.answered == dict.fromkeys(answers.awaited, "ack"), seed
        assert all(channel.unconfirmed_count == 0 for channel in connection.channels.values())
