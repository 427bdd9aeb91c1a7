"""A duplicate's confirm waits for its original's disk; ids find their queue again after a restart."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amqp091.properties import Properties, encode
from tests.unit.log.conftest import commit
from tests.unit.shards import wire
from tests.unit.shards.test_shard import VHOST, Host
from topology import changes
from topology.model import Queue

QUEUE = Queue(10, "once", VHOST, durable=True, arguments={"x-message-deduplication": True})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.declare(QUEUE)
    return host


def message(message_id: str, **fields: Any) -> bytes:
    fields = {"persistent": True, "sequence": 1} | fields
    return wire.publish(10, properties=encode(Properties(message_id=message_id)), **fields)


def synced(host: Host) -> None:
    commit(host.store)
    host.shard.on_durable(host.store.durable_position)


def test_a_duplicate_over_another_link_waits_for_the_original(host: Host) -> None:
    assert host.feed(message("a")) == []
    assert host.feed(message("a"), gateway=1) == []
    synced(host)
    assert host.take() == [wire.Watermark(1, 1)]
    assert host.take(gateway=1) == [wire.Watermark(1, 1)]
    assert host.engine.count(10) == (1, 0)


def test_a_duplicate_of_what_is_on_the_disk_waits_for_nothing(host: Host) -> None:
    host.feed(message("a"))
    synced(host)
    assert host.feed(message("a"), gateway=1) == [wire.Watermark(1, 1)]
    assert host.feed(wire.publish(10, sequence=2), gateway=1) == [wire.Watermark(2, 2)]


def test_what_comes_after_a_duplicate_waits_no_longer_than_it_has_to(host: Host) -> None:
    host.feed(message("a"))
    assert host.feed(message("a"), gateway=1) == []
    assert host.feed(wire.publish(1, sequence=2), gateway=1) == [wire.Watermark(2, 0)]
    synced(host)
    assert host.take(gateway=1) == [wire.Watermark(2, 2)]
    assert host.feed(wire.publish(1, sequence=3), gateway=1) == [wire.Watermark(3, 3)]


def test_ids_find_their_queue_again(host: Host, tmp_path: Path) -> None:
    host.feed(message("consumed"), message("there"))
    assert host.engine.get(0, 1, 10, 1, True)
    host.shard.on_idle()
    host.store.close()
    host.consumed.close()
    again = Host(tmp_path)
    again.declare(QUEUE)
    assert again.queues.forget_orphans() == 0
    again.feed(message("consumed"), message("there"), message("new"))
    assert again.engine.count(10) == (2, 0)


def test_ids_of_a_queue_that_was_deleted_meanwhile_go(host: Host, tmp_path: Path) -> None:
    host.feed(message("a"), message("b"))
    host.store.close()
    host.consumed.close()
    again = Host(tmp_path)
    assert again.queues.forget_orphans() == 4
    assert again.store.live_entries == 0


def test_a_queue_that_does_not_own_a_second_id_does_without(host: Host) -> None:
    """It was declared when the argument had no meaning yet."""
    old = Queue(20, "old", VHOST, durable=True, arguments={"x-message-deduplication": True, "x-message-ttl": 5})
    neighbour = Queue(21, "neighbour", VHOST, durable=True)
    ops = [changes.queue_add(old), changes.queue_add(neighbour)]
    host.replica.apply_ops(ops)
    host.queues.on_change({"ops": ops, "version": 1, "snapshot": True})
    assert host.engine.describe(20)["memory_bytes"] < host.engine.describe(10)["memory_bytes"]
    same = encode(Properties(message_id="same"))
    host.feed(wire.publish(20, properties=same), wire.publish(20, properties=same))
    assert host.engine.count(20) == (2, 0)
