"""kill -9 under consumers of queues that keep an order among them, and under messages that were delivered before."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.warren import Warren, wait_until

BACK_WITHIN_S = 2.0
CONSUMERS = 14
"""Connections that consume, over both gateways."""


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker for all tests."""
    server = Warren(tmp_path_factory.mktemp("consumers"), gateways=2, shards=2)
    server.start()
    yield server
    server.kill_all()


def row_of(warren: Warren, queue: str) -> dict[str, Any]:
    return next(row for row in warren.listing("queues") if row["name"] == queue)


def active(warren: Warren, queue: str) -> str | None:
    tag: str | None = row_of(warren, queue).get("single_active_consumer_tag")
    return tag


def expect_only(consumers: dict[str, ChannelClient], publisher: ChannelClient, queue: str, tag: str) -> None:
    """A message goes to this consumer, and its shard knows that it is done with."""
    publisher.publish("", queue, tag.encode())
    message = consumers[tag].delivery()
    assert message.body == tag.encode()
    consumers[tag].ack(message.delivery_tag)
    consumers[tag].expect_nothing(queue)


def test_the_active_consumer_stays_active_and_the_others_keep_their_order(warren: Warren) -> None:
    queue = "single"
    publisher = connect(warren.endpoint).channel()
    publisher.declare(queue, durable=True, arguments={"x-single-active-consumer": True})
    consumers = {f"c{number:02}": connect(warren.endpoint).channel() for number in range(CONSUMERS)}
    for tag, channel in consumers.items():
        channel.consume(queue, tag)
    consumers.pop("c00").close()
    expect_only(consumers, publisher, queue, "c01")

    shard = row_of(warren, queue)["shard"]
    old = warren.kill("shard", shard)
    assert warren.wait_back("shard", shard, old) < BACK_WITHIN_S
    wait_until(lambda: active(warren, queue) is not None, "an active consumer", BACK_WITHIN_S)
    assert active(warren, queue) == "c01"
    expect_only(consumers, publisher, queue, "c01")

    rows = {row["consumer_tag"]: row for row in warren.listing("consumers") if row["queue"] == queue}
    assert {row["gateway"] for row in rows.values()} == {0, 1}, "both gateways had consumers"
    assert [tag for tag in rows if rows[tag]["active"]] == ["c01"]
    survivors = [tag for tag in sorted(rows) if rows[tag]["gateway"] != rows["c01"]["gateway"]]
    old = warren.kill("gateway", rows["c01"]["gateway"])
    wait_until(lambda: active(warren, queue) == survivors[0], "the next consumer", BACK_WITHIN_S)
    publisher = connect(warren.endpoint).channel()
    for tag in survivors:
        expect_only(consumers, publisher, queue, tag)
        consumers[tag].close()
    warren.wait_back("gateway", rows["c01"]["gateway"], old)
    publisher.delete(queue)
    for channel in (*consumers.values(), publisher):
        channel.client.drop()


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_delivery_counts_survive(warren: Warren, queue_type: str) -> None:
    queue = f"counted-{queue_type}"
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare(queue, durable=True, arguments={"x-queue-type": queue_type, "x-max-length": 100})
        channel.confirm()
        channel.persistent(queue, [b"often", b"once", b"never"])
        channel.wait_confirms(3)
        channel.qos(1)
        channel.consume(queue, "t")
        for _ in range(3):
            message = channel.delivery()
            assert message.body == b"often"
            channel.reject(message.delivery_tag)
        channel.delivery()                          # held while the shard dies
        channel.qos(2)
        assert channel.delivery().body == b"once"
        shard = row_of(warren, queue)["shard"]
        old = warren.kill("shard", shard)
        warren.wait_back("shard", shard, old)
        found = []
        for message in channel.deliveries(2):
            found.append((message.body, message.redelivered, (message.properties.headers or {})["x-delivery-count"]))
        channel.ack(0, multiple=True)
        last = channel.delivery()
        # a quorum queue keeps what failed: what was under way when the shard died did not
        assert found == [(b"often", True, 4 if queue_type == "classic" else 3), (b"once", True, 1)]
        assert (last.body, last.redelivered, last.properties.headers) == (b"never", False, None)
        channel.delete(queue)


def test_a_delivery_limit_holds_over_a_crash(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare("limited", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 3})
        channel.confirm()
        channel.persistent("limited", [b"poison"])
        channel.wait_confirms(1)
        for _ in range(3):
            message = channel.get("limited")
            assert message is not None
            channel.reject(message.delivery_tag)
        shard = row_of(warren, "limited")["shard"]
        old = warren.kill("shard", shard)
        warren.wait_back("shard", shard, old)
        message = channel.get("limited")
        assert message is not None and (message.properties.headers or {})["x-delivery-count"] == 3
        channel.reject(message.delivery_tag)
        assert channel.get("limited") is None
        channel.delete("limited")


def test_a_gateway_that_dies_has_delivered_what_its_clients_held(warren: Warren) -> None:
    with connect(warren.endpoint) as held_by:
        holder = held_by.channel()
        holder.declare("held", durable=True)
        holder.confirm()
        holder.persistent("held", [b"m"])
        holder.wait_confirms(1)
        holder.consume("held", "holder")
        holder.delivery()
        (gateway,) = [row["gateway"] for row in warren.listing("consumers") if row["consumer_tag"] == "holder"]
        old = warren.kill("gateway", gateway)
        warren.wait_back("gateway", gateway, old)
        with connect(warren.endpoint) as client:
            channel = client.channel()
            message = wait_until(lambda: channel.get("held"), "the message", BACK_WITHIN_S)
            assert (message.redelivered, message.properties.headers) == (True, {"x-delivery-count": 1})
            channel.delete("held")
