"""`warren queue`: messages found, deleted and moved by position, over the shards, while they stay in their queue."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.methods import Properties
from tests.harness.warren import Warren, run_command

QUEUE = "by-position"


@pytest.fixture
def warren(warren_session: Warren) -> Warren:
    """The broker of the session."""
    return warren_session


@pytest.fixture
def channel(warren: Warren) -> Iterator[ChannelClient]:
    """In confirm mode, with an empty queue."""
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare(QUEUE, durable=True)
        channel.confirm()
        yield channel
        channel.delete(QUEUE)


def browse(warren: Warren, *arguments: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(warren.command("queue", "browse", QUEUE, "--format", "json", *arguments))
    return rows


def found(warren: Warren, *arguments: str) -> list[int]:
    return [row["position"] for row in browse(warren, *arguments)]


def publish(channel: ChannelClient, bodies: list[bytes]) -> None:
    channel.publish_many("", QUEUE, bodies)
    channel.wait_confirms(len(bodies))


def test_messages_are_seen_and_stay(warren: Warren, channel: ChannelClient) -> None:
    channel.publish("", QUEUE, b"\xff", Properties(headers={"colour": "red", "size": 5}, message_id="m-1"))
    channel.publish("", QUEUE, "grün".encode(), Properties(delivery_mode=2))
    channel.wait_confirms(2)
    first, second = browse(warren)
    assert (first["payload"], first["payload_encoding"]) == ("/w==", "base64")
    assert first["properties"] == {"headers": {"colour": "red", "size": 5}, "message_id": "m-1"}
    assert (second["payload"], second["position"], second["redelivered"]) == ("grün", 2, False)
    assert "payload" not in browse(warren, "--no-body")[0]
    assert found(warren, "--search", "grün") == [2]
    assert found(warren, "--header", "size=5", "--header", "colour=red") == [1]
    assert found(warren, "--routing-key", "by-*") == []
    assert found(warren, "--routing-key", "#", "--from", "2") == [2]
    channel.get(QUEUE)
    assert found(warren) == [2]
    assert [row["state"] for row in browse(warren, "--state", "all")] == ["unacked", "ready"]
    assert "grün" in warren.command("queue", "browse", QUEUE)


def test_more_than_an_answer_holds(warren: Warren, channel: ChannelClient) -> None:
    publish(channel, [b"%d" % number for number in range(1, 1201)])
    assert found(warren, "--count", "1100", "--no-body") == list(range(1, 1101))
    assert found(warren, "--from", "1199") == [1199, 1200]
    assert len(found(warren)) == 100
    assert found(warren, "--search", "119") == [119, 1119, *range(1190, 1200)]
    assert "600 messages deleted" in warren.command("queue", "delete-message", QUEUE, "301-900")
    assert channel.count(QUEUE) == 600
    assert "600 messages deleted" in warren.command("queue", "delete-message", QUEUE, "--all")
    assert channel.count(QUEUE) == 0


def test_what_is_deleted_never_comes(warren: Warren, channel: ChannelClient) -> None:
    publish(channel, [b"keep", b"drop this", b"keep too", b"drop that", b"5", b"6"])
    assert "2 messages deleted" in warren.command("queue", "delete-message", QUEUE, "--search", "drop")
    assert "1 messages deleted" in warren.command("queue", "delete-message", QUEUE, "5,2-4", "--search", "5")
    assert "1 messages deleted" in warren.command("queue", "delete-message", QUEUE, "1,2", "2-2")
    assert channel.get_all(QUEUE) == [b"keep too", b"6"]


def shard_of(warren: Warren, queue: str) -> int:
    return int(next(row["shard"] for row in warren.listing("queues") if row["name"] == queue))


@pytest.fixture
def targets(warren: Warren, channel: ChannelClient) -> Iterator[dict[bool, str]]:
    """A queue on the same shard (True), and one on the other."""
    names = [f"by-position-{number}" for number in range(8)]
    for name in names:
        channel.declare(name, durable=True)
    own = shard_of(warren, QUEUE)
    yield {shard_of(warren, name) == own: name for name in names}
    for name in names:
        channel.delete(name)


@pytest.mark.parametrize("same_shard", [True, False])
def test_messages_are_moved_in_their_order(
    warren: Warren, channel: ChannelClient, targets: dict[bool, str], same_shard: bool
) -> None:
    target = targets[same_shard]
    publish(channel, [b"%d" % number for number in range(1, 701)])
    channel.persistent(QUEUE, [b"701"])
    channel.wait_confirms(701, 701)
    assert warren.command("queue", "move", QUEUE, "--to", target, "3,5-6") == "3 messages moved\n"
    assert channel.get_all(target) == [b"3", b"5", b"6"]
    assert warren.command("queue", "move", QUEUE, "--to", target, "--all") == "698 messages moved\n"
    assert channel.count(QUEUE) == 0
    channel.consume(target, "moved", no_ack=True)
    messages = channel.deliveries(698)
    channel.cancel("moved")
    assert [int(message.body) for message in messages] == [
        number for number in range(1, 702) if number not in (3, 5, 6)]
    last = messages[-1]
    assert (last.method.routing_key, last.method.redelivered, last.properties.delivery_mode) == (QUEUE, False, 2)


def test_messages_are_moved_to_where_an_exchange_routes_them(
    warren: Warren, channel: ChannelClient, targets: dict[bool, str]
) -> None:
    channel.declare_exchange("by-position", "topic", auto_delete=True)
    for same_shard, target in targets.items():
        channel.bind(target, "by-position", "both.#")
        channel.bind(target, "by-position", "own" if same_shard else "other")
    publish(channel, [b"1", b"2", b"3", b"4"])
    command = ("queue", "move", QUEUE, "--to-exchange", "by-position")
    assert warren.command(*command, "--all") == "0 messages moved, 4 that no queue is bound for stay\n"
    assert warren.command(*command, "--to-routing-key", "both.x", "1,2") == "2 messages moved\n"
    assert warren.command(*command, "--to-routing-key", "own", "3") == "1 messages moved\n"
    assert warren.command(*command, "--to-routing-key", "other", "--search", "4") == "1 messages moved\n"
    message = channel.get(targets[True], no_ack=True)
    assert message is not None and (message.method.exchange, message.method.routing_key) == ("by-position", "both.x")
    assert channel.get_all(targets[True]) == [b"2", b"3"]
    assert channel.get_all(targets[False]) == [b"1", b"2", b"4"]


@pytest.mark.parametrize("same_shard", [True, False])
def test_a_move_stops_where_its_target_is_full(
    warren: Warren, channel: ChannelClient, targets: dict[bool, str], same_shard: bool
) -> None:
    target = targets[same_shard]
    channel.delete(target)
    channel.declare(target, durable=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    publish(channel, [b"1", b"2", b"3"])
    with pytest.raises(RuntimeError, match=r"2 messages moved, then it stopped: .*full"):
        warren.command("queue", "move", QUEUE, "--to", target, "--all")
    assert (channel.get_all(target), channel.get_all(QUEUE)) == ([b"1", b"2"], [b"3"])


@pytest.mark.parametrize("arguments, text", [
    (("move", QUEUE, "--all"), "say where to"),
    (("move", QUEUE, "--to", "a", "--to-exchange", "b", "--all"), "say where to"),
    (("move", QUEUE, "--to", "a", "--to-routing-key", "b", "--all"), "say where to"),
    (("move", QUEUE, "--to", "t-missing", "--all"), "no queue 't-missing'"),
    (("move", QUEUE, "--to", QUEUE, "--all"), "to another queue"),
    (("move", QUEUE, "--to-exchange", "t-missing", "--all"), "no exchange 't-missing'"),
    (("move", QUEUE, "--to", QUEUE), "say which messages"),
    (("browse", "t-missing"), "no queue 't-missing'"),
    (("browse", QUEUE, "--header", "no-value"), "KEY=VALUE"),
    (("delete-message", QUEUE), "say which messages"),
    (("delete-message", QUEUE, "7-5"), "no position"),
    (("delete-message", QUEUE, "--all", "5"), "say which messages"),
    (("delete-message", QUEUE, "5", "--state", "unacked"), "unacked"),
])
def test_mistakes_are_told(warren: Warren, channel: ChannelClient, arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        warren.command("queue", *arguments)


def test_the_help_says_what_there_is() -> None:
    result = run_command("queue", "--help")
    assert result.returncode == 0 and all(name in result.stdout for name in ("browse", "delete-message", "move"))
