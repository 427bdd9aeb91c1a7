"""Policies and processes that die: a shard that returns has what was set meanwhile, a catalog keeps what was set."""

from __future__ import annotations

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.warren import Warren


def left_of(channel: ChannelClient, queue: str, count: int) -> int:
    """Ready messages after so many were confirmed."""
    channel.confirm()
    channel.persistent(queue, [b"x"] * count)
    channel.wait_confirms(count)
    return channel.count(queue)


def test_policies_hold_after_any_of_them_was_killed(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        client.channel(1).declare("kept", durable=True)
        warren.command("set-policy", "limit", "", '{"max-length": 5}', "--apply-to", "queues")
        assert left_of(client.channel(2), "kept", 8) == 5
        shard = next(row["shard"] for row in warren.listing("queues"))
        pid = warren.kill("shard", shard)
        warren.command("set-operator-policy", "ops", "^kept$", '{"max-length": 3}')
        warren.wait_back("shard", shard, pid)
        assert left_of(client.channel(3), "kept", 8) == 3
        pid = warren.kill("catalog")
        warren.wait_back("catalog", 0, pid)
        warren.command("clear-operator-policy", "ops")
        assert left_of(client.channel(4), "kept", 8) == 5
        client.channel(5).declare("new", durable=True)
        assert left_of(client.channel(6), "new", 8) == 5
    warren.stop()
    warren.start()
    with connect(warren.endpoint) as client:
        assert [row["name"] for row in warren.listing("policies")] == ["limit"]
        assert left_of(client.channel(1), "new", 8) == 5
