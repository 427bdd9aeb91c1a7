"""Reply queues on a shard: opened with their consumer, ended with it, opened again after a restart."""
from pathlib import Path

import pytest

from amqp091.errors import InternalError, ResourceLocked
from log.store import Store
from shards.engine import Engine
from shards.reply_queues import FIRST_ID, ReplyQueues
from tests.unit.shards import wire
from tests.unit.shards.test_shard import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def opened(host: Host, consumer: int = 1, *, gateway: int = 0, queue_id: int | None = None) -> int:
    answer = host.ask(
        gateway=gateway, verb="reply_queue.open", queue_id=queue_id, consumer=consumer, channel=1, connection=1)
    found: int = answer["queue_id"]
    return found


def counted(host: Host, queue_id: int) -> object:
    answer = host.ask(verb="count", queue_id=queue_id)
    return answer["error"][0] if "error" in answer else (answer["message_count"], answer["consumer_count"])


def test_a_reply_of_any_gateway_goes_to_the_one_consumer(host: Host) -> None:
    first, second = opened(host, 1), opened(host, 2)
    assert FIRST_ID <= first < second
    assert counted(host, first) == (0, 1)
    host.feed(wire.publish(first, b"answer"), gateway=1)
    [delivery] = [record for record in host.take() if isinstance(record, wire.Deliver)]
    assert (delivery.consumer, delivery.queue_id, delivery.body) == (1, first, b"answer")


@pytest.mark.parametrize("leave", [
    {"verb": "cancel", "consumer": 1}, {"verb": "close_channel", "channel": 1},
    {"verb": "close_connection", "connection": 1}])
def test_it_ends_with_its_consumer(host: Host, leave: dict[str, object]) -> None:
    queue_id = opened(host)
    assert host.ask(**leave) == {}
    assert counted(host, queue_id) == 404
    assert host.unused == []                                        # the catalog is not asked
    host.feed(wire.publish(queue_id, b"late"), gateway=1)
    assert host.engine.dropped_count == 1


def test_it_ends_with_its_gateway(host: Host) -> None:
    queue_id = opened(host, gateway=1)
    host.disconnect(1)
    assert counted(host, queue_id) == 404
    host.connect(1)
    assert opened(host, gateway=1) != queue_id


def test_it_is_opened_again_under_its_id_by_one_consumer_only(host: Host) -> None:
    before = FIRST_ID + 5
    assert opened(host, 1, queue_id=before) == before
    answer = host.ask(verb="reply_queue.open", queue_id=before, consumer=2, channel=1, connection=1)
    assert answer["error"][0] == ResourceLocked.reply_code


@pytest.mark.parametrize("queue_id", [1, FIRST_ID - 1, FIRST_ID + (1 << 31), -1])
def test_no_other_id_is_taken(host: Host, queue_id: int) -> None:
    answer = host.ask(verb="reply_queue.open", queue_id=queue_id, consumer=1, channel=1, connection=1)
    assert answer["error"][0] == InternalError.reply_code
    assert counted(host, 1) == (0, 0)


def test_the_next_incarnation_gives_other_ids(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "d"), str(tmp_path / "t"), str(tmp_path / "s"), segment_bytes=64 << 10,
                  clock_ms=lambda: 5)
    given: set[int] = set()
    for incarnation in range(1, 17):
        replies = ReplyQueues(Engine(store, 1), store, incarnation)
        fresh = {replies.open(0, None, consumer, 1, 1) for consumer in range(1, 50)}
        assert len(fresh) == 49 and not fresh & given
        assert all(FIRST_ID <= queue_id <= 0xFFFF_FFFF for queue_id in fresh)
        given |= fresh


def test_an_id_that_is_in_use_is_not_given(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "d"), str(tmp_path / "t"), str(tmp_path / "s"), segment_bytes=64 << 10,
                  clock_ms=lambda: 5)
    first = ReplyQueues(Engine(store, 1), store, 1).open(0, None, 1, 1, 1)
    replies = ReplyQueues(Engine(store, 1), store, 1)
    replies.open(0, first, 1, 1, 1)
    assert replies.open(0, None, 2, 1, 1) == first + 1


def test_replies_that_wait_go_with_the_queue(host: Host) -> None:
    queue_id = opened(host)
    host.ask(verb="qos", channel=1, connection=1, limited=False, consumer_prefetch=None, paused=True)
    host.feed(wire.publish(queue_id, b"waits"))
    assert counted(host, queue_id) == (1, 1)
    assert host.ask(verb="close_channel", channel=1) == {}
    assert counted(host, queue_id) == 404
    assert host.store.live_entries == 0
