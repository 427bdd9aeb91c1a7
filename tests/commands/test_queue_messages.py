"""`warren queue`: messages found and deleted by position, over the shards, while they stay in their queue."""
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


@pytest.mark.parametrize("arguments, text", [
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
    assert result.returncode == 0 and "browse" in result.stdout and "delete-message" in result.stdout
