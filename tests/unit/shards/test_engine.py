"""Queues and consumers: what goes to whom, in which order, and what comes back."""
import pytest

from shards.engine import ExclusiveConflict, UnknownQueue
from tests.unit.shards.conftest import Bench
from tests.unit.shards.wire import ACK, REJECT, REQUEUE, Deliver, GetOk, Json, credit, publish, settle

WINDOW_BYTES = 1 << 20


def test_a_message_waits_for_a_consumer_and_keeps_its_parts(bench: Bench) -> None:
    bench.feed(publish(1, b"hello", exchange=b"ex", routing_key=b"rk", properties=b"\x80\0\4text"))
    assert bench.take() == []
    assert bench.ready() == 1
    bench.consume(7)
    (record,) = bench.take()
    assert (record.consumer, record.queue_id, record.redelivered, record.delivery_count) == (7, 1, False, 0)
    assert record[4:8] == (b"ex", b"rk", b"\x80\0\4text", b"hello")
    assert bench.ready() == 0
    assert bench.store.live_entries == 1


@pytest.mark.parametrize("waiting", [False, True])
def test_without_acks_nothing_stays(bench: Bench, waiting: bool) -> None:
    if waiting:
        bench.feed(publish(1), publish(1))
    bench.consume(no_ack=True)
    bench.feed(publish(1), publish(1))
    assert len(bench.take()) == (4 if waiting else 2)
    assert bench.store.live_entries == 0


def test_order_of_a_queue_with_a_long_backlog(bench: Bench) -> None:
    bodies = [b"%d" % number for number in range(5000)]
    bench.feed(*(publish(1, body) for body in bodies))
    assert bench.engine.describe(1)["memory_bytes"] < 32 * len(bodies)
    bench.consume(no_ack=True)
    assert bench.bodies() == bodies
    assert bench.engine.describe(1)["memory_bytes"] < 1024


def test_consumers_take_turns(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(2)
    bench.consume(3)
    bench.feed(*(publish(1, b"%d" % number) for number in range(7)))
    assert [record.consumer for record in bench.take()] == [1, 2, 3, 1, 2, 3, 1]


def test_a_backlog_is_shared_in_turns(bench: Bench) -> None:
    bench.feed(*(publish(1) for _ in range(6)))
    bench.engine.consume(0, 1, 1, 1, 1, no_ack=False, exclusive=False, prefetch=0)
    bench.engine.consume(0, 1, 2, 1, 1, no_ack=True, exclusive=False, prefetch=0)
    bench.engine.dispatch()
    assert [record.consumer for record in bench.take()] == [1, 2, 1, 2, 1, 2]


def test_prefetch_holds_a_consumer_back_until_it_settles(bench: Bench) -> None:
    bench.consume(1, prefetch=2)
    bench.consume(2, channel=2, prefetch=1)
    bench.feed(*(publish(1, b"%d" % number) for number in range(5)))
    assert [record.consumer for record in bench.take()] == [1, 2, 1]
    bench.feed(settle(2, 1))
    assert [(record.consumer, record.body) for record in bench.take()] == [(2, b"3")]
    bench.feed(settle(1, 2, multiple=True))
    assert [(record.consumer, record.body) for record in bench.take()] == [(1, b"4")]
    assert bench.store.live_entries == 2


def test_prefetch_does_not_concern_consumers_without_acks(bench: Bench) -> None:
    bench.consume(1, no_ack=True, prefetch=1)
    bench.feed(publish(1), publish(1), publish(1))
    assert len(bench.take()) == 3


def test_a_new_prefetch_concerns_live_consumers(bench: Bench) -> None:
    bench.consume(1, prefetch=1)
    bench.feed(*(publish(1, b"%d" % number) for number in range(5)))
    assert bench.bodies() == [b"0"]
    bench.engine.qos(0, 1, limited=False, prefetch=3)
    bench.engine.dispatch()
    assert bench.bodies() == [b"1", b"2"]
    bench.engine.qos(0, 1, limited=False, prefetch=0)
    bench.engine.dispatch()
    assert bench.bodies() == [b"3", b"4"]


def test_requeued_messages_return_to_their_old_position(bench: Bench) -> None:
    bench.consume(1)
    bench.feed(*(publish(1, b"%d" % number) for number in range(4)))
    bench.take()
    bench.engine.cancel(0, 1)
    bench.feed(publish(1, b"4"), settle(1, 3, REQUEUE), settle(1, 1, REQUEUE))
    bench.consume(2, channel=2)
    assert [(r.body, r.redelivered, r.delivery_count) for r in bench.take()] == [
        (b"0", True, 1), (b"2", True, 1), (b"4", False, 0)]


def test_multiple_requeue_keeps_the_order(bench: Bench) -> None:
    bench.consume(1, prefetch=100)
    bench.feed(*(publish(1, b"%d" % number) for number in range(10)))
    bench.take()
    bench.engine.cancel(0, 1)
    bench.feed(settle(1, 4), settle(1, 8, REQUEUE, multiple=True))
    bench.consume(2, channel=2, no_ack=True)
    assert bench.bodies() == [b"0", b"1", b"2", b"4", b"5", b"6", b"7"]
    assert bench.store.live_entries == 2


def test_rejected_messages_are_gone(bench: Bench) -> None:
    bench.consume(1)
    bench.feed(publish(1), publish(1))
    bench.feed(settle(1, 2, REJECT, multiple=True))
    assert bench.store.live_entries == 0
    assert bench.engine.describe(1)["messages"] == 0


def test_unknown_sequences_are_ignored(bench: Bench) -> None:
    bench.consume(1)
    bench.feed(publish(1), publish(1))
    bench.feed(settle(1, 2), settle(1, 2, REQUEUE), settle(1, 3), settle(1, 0), settle(1, 9, multiple=True),
               settle(77, 1), settle(1, 2, REQUEUE, multiple=False))
    assert bench.engine.describe(1)["messages_unacknowledged"] == 1


def test_one_old_delivery_does_not_cost_memory_or_its_place(bench: Bench) -> None:
    bench.consume(1)
    bench.feed(publish(1, b"old"))
    for sequence in range(2, 3000):
        bench.feed(publish(1), settle(1, sequence))
    assert bench.engine.describe(1)["messages_unacknowledged"] == 1
    bench.take()
    bench.engine.cancel(0, 1)
    bench.feed(settle(1, 1, REQUEUE))
    bench.consume(2)
    assert bench.bodies() == [b"old"]


def test_a_message_for_several_queues_is_stored_once_and_acked_per_queue(bench: Bench) -> None:
    bench.consume(1, 1)
    bench.consume(2, 2, channel=2)
    bench.feed(publish([1, 2], b"both", persistent=True))
    assert sorted(record.queue_id for record in bench.take()) == [1, 2]
    assert bench.store.live_entries == 2
    bench.feed(settle(1, 1))
    assert bench.store.live_entries == 1
    bench.feed(settle(2, 1))
    assert bench.store.live_entries == 0


def test_unknown_queues_are_left_out(bench: Bench) -> None:
    bench.feed(publish([99, 1, 98]), publish(99))
    assert bench.ready() == 1
    assert bench.engine.dropped_count == 1


def test_only_persistent_messages_on_durable_queues_concern_the_disk(bench: Bench) -> None:
    bench.feed(publish(1), publish(2, persistent=True))
    assert bench.store.appended_position == 0
    bench.feed(publish([2, 1], persistent=True))
    assert bench.store.appended_position > 0


def test_get(bench: Bench) -> None:
    bench.feed(*(publish(1, b"%d" % number) for number in range(3)))
    assert bench.engine.get(0, 41, 1, 5, False)
    assert bench.engine.get(0, 42, 1, 5, True)
    assert bench.take() == [GetOk(41, 1, False, 2, b"0"), GetOk(42, 1, False, 1, b"1")]
    assert bench.store.live_entries == 2
    bench.feed(settle(5, 1, REQUEUE))
    assert bench.engine.get(0, 43, 1, 5, False)
    assert bench.take() == [GetOk(43, 1, True, 1, b"0")]
    assert bench.engine.get(0, 44, 1, 5, False)
    bench.take()
    assert not bench.engine.get(0, 45, 1, 5, False)
    bench.feed(settle(5, 3, multiple=True))
    assert bench.store.live_entries == 0


def test_gets_and_deliveries_of_a_channel_share_one_sequence(bench: Bench) -> None:
    bench.feed(publish(1, b"a"))
    bench.engine.get(0, 1, 1, 1, False)
    bench.consume(1, 2)
    bench.feed(publish(2, b"b"))
    bench.feed(settle(1, 2))
    assert bench.engine.describe(2)["messages_unacknowledged"] == 0
    assert bench.engine.describe(1)["messages_unacknowledged"] == 1


def test_purge_leaves_what_is_unacknowledged(bench: Bench) -> None:
    bench.consume(1, prefetch=2)
    bench.feed(*(publish(1) for _ in range(5)))
    bench.feed(settle(1, 2, REQUEUE))
    assert bench.engine.purge(1) == 3
    assert bench.engine.describe(1)["messages"] == 2
    assert bench.store.live_entries == 2


def test_a_closed_channel_gives_its_messages_back(bench: Bench) -> None:
    bench.consume(1, channel=1)
    bench.feed(*(publish(1, b"%d" % number) for number in range(3)))
    bench.take()
    bench.consume(2, channel=2, no_ack=True)
    assert bench.engine.close_channel(0, 1) == []
    bench.engine.dispatch()
    assert [(r.consumer, r.body, r.redelivered) for r in bench.take()] == [
        (2, b"0", True), (2, b"1", True), (2, b"2", True)]
    assert bench.engine.count(1) == (0, 1)
    bench.feed(settle(1, 1))


def test_a_closed_connection_takes_all_its_channels_along(bench: Bench) -> None:
    bench.consume(1, channel=1)
    bench.consume(2, channel=2)
    bench.consume(3, channel=3, connection=2, gateway=1)
    bench.feed(*(publish(1) for _ in range(3)))
    bench.engine.close_connection(0, 1)
    assert bench.engine.count(1) == (2, 1)


def test_a_get_belongs_to_the_connection_that_is_named(bench: Bench) -> None:
    bench.feed(publish(1))
    bench.engine.get(0, 1, 1, 5, False, connection=9)
    bench.engine.close_connection(0, 9)
    assert bench.ready() == 1


def test_a_gateway_that_dies_loses_nothing(bench: Bench) -> None:
    bench.engine.add_queue(3, False, True)
    bench.consume(1)
    bench.consume(9, 3, channel=3)
    bench.feed(*(publish(1, b"%d" % number) for number in range(3)))
    bench.engine.get(0, 1, 2, 4, False)
    assert bench.engine.gateway_down(0) == [3]
    assert bench.take() == []
    assert bench.engine.count(1) == (3, 0)
    bench.consume(1, gateway=1)
    assert [record.body for record in bench.take(1)] == [b"0", b"1", b"2"]


def test_recover_returns_what_the_channel_holds(bench: Bench) -> None:
    bench.consume(1, prefetch=1)
    bench.feed(publish(1, b"a"), publish(1, b"b"))
    bench.take()
    bench.engine.recover(0, 1)
    bench.engine.dispatch()
    (record,) = bench.take()
    assert (record.body, record.redelivered) == (b"a", True)
    bench.feed(settle(1, 2))
    assert bench.bodies() == [b"b"]


def test_exclusive_consumers(bench: Bench) -> None:
    bench.consume(1, exclusive=True)
    with pytest.raises(ExclusiveConflict):
        bench.consume(2)
    bench.engine.cancel(0, 1)
    bench.consume(2)
    with pytest.raises(ExclusiveConflict):
        bench.consume(3, exclusive=True)


def test_asking_twice_with_one_handle_is_one_consumer(bench: Bench) -> None:
    bench.consume(1)
    bench.consume(1)
    assert bench.engine.count(1) == (0, 1)


def test_an_auto_delete_queue_is_unused_after_its_last_consumer(bench: Bench) -> None:
    bench.engine.add_queue(3, False, True)
    bench.consume(1, 3)
    bench.consume(2, 3)
    assert bench.engine.cancel(0, 1) == []
    assert bench.engine.cancel(0, 1) == []
    assert bench.engine.cancel(0, 2) == [3]


def test_a_removed_queue_names_its_consumers_and_frees_everything(bench: Bench) -> None:
    bench.consume(1, channel=1)
    bench.consume(2, channel=2, gateway=1)
    bench.feed(*(publish(1) for _ in range(4)))
    bench.engine.cancel(0, 1)
    bench.feed(publish(1), publish(1))
    bench.feed(publish(2, b"other"))
    bench.engine.get(0, 1, 2, 1, False)
    assert bench.engine.remove_queue(1) == [(1, 2)]
    assert bench.store.live_entries == 1
    bench.take(0)
    bench.feed(settle(1, 1), settle(1, 2, REQUEUE))
    bench.feed(settle(2, 2, multiple=True), gateway=1)
    with pytest.raises(UnknownQueue):
        bench.engine.count(1)
    bench.feed(settle(1, 3, REQUEUE))
    assert bench.engine.count(2) == (1, 0)


def test_a_connection_that_does_not_read_gets_no_more_than_its_window(bench: Bench) -> None:
    body = bytes(100_000)
    bench.feed(*(publish(1, body) for _ in range(30)))
    bench.consume(1, no_ack=True)
    sent = 0
    while records := bench.take():
        sent += sum(record.record_bytes for record in records)
        bench.engine.dispatch()
    assert WINDOW_BYTES <= sent < WINDOW_BYTES + 2 * len(body)
    bench.feed(publish(1, body))
    assert bench.take() == []
    bench.feed(credit(1, sent - WINDOW_BYTES + 1))
    assert len(bench.take()) == 1
    bench.feed(credit(1, sent + 10**9))
    assert bench.take() == []


def test_a_full_link_gets_nothing_until_it_is_writable(bench: Bench) -> None:
    bench.engine.set_congested(0, True)
    bench.consume(1)
    bench.consume(2, 2, gateway=1, no_ack=True)
    bench.feed(publish([1, 2]))
    assert bench.take() == []
    assert len(bench.take(1)) == 1
    bench.engine.set_congested(0, False)
    assert not bench.engine.idle
    bench.engine.dispatch()
    assert len(bench.take()) == 1


def test_one_turn_does_not_fill_memory(bench: Bench) -> None:
    body = bytes(64 << 10)
    bench.feed(*(publish(1, body) for _ in range(40)))
    for consumer in range(1, 5):
        bench.consume(consumer, channel=consumer, connection=consumer)
    assert len(bench.engine.outgoing(0)) < 1 << 20
    delivered = 0
    while records := bench.take():
        delivered += len(records)
        bench.engine.dispatch()
    assert delivered == 40


def test_channel_wide_credit(bench: Bench) -> None:
    bench.engine.qos(0, 1, limited=True)
    bench.consume(1)
    bench.consume(2, 2)
    bench.feed(*(publish(1, b"%d" % number) for number in range(3)), publish(2, b"x"))
    assert bench.take() == [Json("event", 0, {"event": "credit_wanted", "channel": 1, "count": 4})]
    bench.engine.grant(0, 1, 3)
    bench.engine.dispatch()
    records = bench.take()
    assert len(records) == 3 and all(isinstance(record, Deliver) for record in records)
    bench.engine.grant(0, 1, 5)
    bench.engine.dispatch()
    record, returned = bench.take()
    assert isinstance(record, Deliver)
    assert returned.document == {"event": "credit_returned", "channel": 1, "count": 4}
    bench.feed(publish(1))
    assert [record.document["event"] for record in bench.take()] == ["credit_wanted"]
    bench.engine.qos(0, 1, limited=False)
    bench.engine.dispatch()
    assert len(bench.take()) == 1


def test_credit_does_not_concern_consumers_without_acks_but_a_pause_does(bench: Bench) -> None:
    bench.engine.qos(0, 1, limited=True)
    bench.consume(1, no_ack=True)
    bench.feed(publish(1))
    assert len(bench.take()) == 1
    bench.engine.qos(0, 1, limited=True, paused=True)
    bench.feed(publish(1))
    assert bench.take() == []
    bench.engine.qos(0, 1, limited=False)
    bench.engine.dispatch()
    assert len(bench.take()) == 1


def test_wanted_credit_counts_what_prefetch_allows(bench: Bench) -> None:
    bench.engine.qos(0, 1, limited=True)
    bench.consume(1, prefetch=2)
    bench.feed(*(publish(1) for _ in range(5)))
    assert bench.take()[0].document["count"] == 2


def test_a_channel_may_close_while_it_waits_for_credit(bench: Bench) -> None:
    for channel in (1, 2, 3):
        bench.engine.qos(0, channel, limited=True)
        bench.consume(channel, channel=channel)
    batch = publish(1)
    bench.engine.receive(0, batch)
    for channel in (1, 2, 3):
        bench.engine.grant(0, channel, 1)
    bench.engine.close_channel(0, 2)
    bench.engine.close_channel(0, 1)
    bench.engine.dispatch()
    assert [type(record) for record in bench.take()] == [Deliver]


def test_a_slot_with_a_new_generation_is_another_channel(bench: Bench) -> None:
    bench.consume(1, channel=1)
    bench.feed(publish(1))
    newer = 1 | 1 << 20
    bench.engine.consume(0, 2, 1 | 1 << 20, newer, 1, no_ack=False, exclusive=False, prefetch=0)
    assert bench.ready() == 1
    bench.feed(settle(1, 1), publish(2))
    bench.feed(settle(newer, 1, ACK))
    assert bench.engine.describe(2)["messages"] == 0
    assert bench.ready() == 1


def test_delivery_counts_saturate(bench: Bench) -> None:
    bench.consume(1)
    bench.feed(publish(1))
    for sequence in range(1, 300):
        bench.feed(settle(1, sequence, REQUEUE))
        (*_, record) = bench.take()
        assert record.delivery_count == min(sequence, 254)
