"""x-max-length, x-max-length-bytes, x-overflow."""
from __future__ import annotations

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import Client


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(n).encode() for n in range(start, start + count)]


@pytest.mark.oracle
def test_the_oldest_go_first(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length": 3})
    channel.publish_many("", queue, numbered(10))
    channel.wait_count(queue, 3)
    assert channel.get_all(queue) == numbered(3, 7)


@pytest.mark.oracle
def test_length_0_keeps_nothing(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length": 0})
    channel.publish_many("", queue, numbered(10))
    channel.wait_count(queue, 0)
    channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"for a consumer")
    assert channel.delivery().body == b"for a consumer"


@pytest.mark.oracle
def test_unacknowledged_messages_do_not_count(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length": 2})
    channel.publish_many("", queue, numbered(2))
    held = [channel.get(queue), channel.get(queue)]
    assert all(held)
    channel.publish_many("", queue, numbered(3, 2))
    assert channel.get_all(queue) == numbered(2, 3)


@pytest.mark.oracle
@pytest.mark.parametrize("sizes, limit, left", [
    ([4, 4, 4], 8, 2), ([4, 4, 9], 8, 0), ([8], 8, 1), ([1] * 20, 8, 8), ([9], 8, 0)])
def test_bytes_are_those_of_bodies(channel: ChannelClient, sizes: list[int], limit: int, left: int) -> None:
    queue = channel.exclusive_queue(**{"x-max-length-bytes": limit})
    channel.publish_many("", queue, [b"x" * size for size in sizes])
    channel.wait_count(queue, left)


@pytest.mark.oracle
def test_whichever_limit_is_met_first(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length-bytes": 10, "x-max-length": 3})
    channel.publish_many("", queue, [b"xxxx"] * 4)
    channel.wait_count(queue, 2)
    channel.publish_many("", queue, [b"x"] * 4)
    channel.wait_count(queue, 3)


@pytest.mark.oracle
@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_full_queue_refuses(channel: ChannelClient, overflow: str) -> None:
    queue = channel.exclusive_queue(**{"x-max-length": 2, "x-overflow": overflow})
    channel.confirm()
    channel.publish_many("", queue, numbered(5))
    assert channel.wait_confirms(5) == {3, 4, 5}
    assert channel.get_all(queue) == numbered(2)
    channel.publish("", queue, b"fits again")
    assert channel.wait_confirms(6, 6) == set()


@pytest.mark.oracle
def test_a_full_queue_refuses_in_silence_without_confirms(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.publish_many("", queue, numbered(5))
    channel.expect_nothing(queue)
    assert channel.get_all(queue) == numbered(1)


@pytest.mark.oracle
def test_one_queue_of_many_that_refuses_is_a_nack(channel: ChannelClient) -> None:
    full = channel.exclusive_queue(**{"x-max-length": 0, "x-overflow": "reject-publish"})
    other = channel.exclusive_queue()
    for queue in (full, other):
        channel.bind(queue, "amq.fanout")
    channel.confirm()
    channel.publish("amq.fanout", "", b"x")
    assert channel.wait_confirms(1) == {1}
    assert channel.get_all(other) == [b"x"]


@pytest.mark.oracle
def test_bytes_that_would_not_fit_are_refused(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length-bytes": 10, "x-overflow": "reject-publish"})
    channel.confirm()
    channel.publish_many("", queue, [b"x" * 6, b"x" * 6, b"x" * 4, b"x"])
    assert channel.wait_confirms(4) == {2, 4}


@pytest.mark.oracle
def test_dropped_messages_are_confirmed(channel: ChannelClient) -> None:
    queue = channel.exclusive_queue(**{"x-max-length": 1})
    channel.confirm()
    channel.publish_many("", queue, numbered(100))
    assert channel.wait_confirms(100) == set()


@pytest.mark.oracle
def test_a_message_that_comes_back_counts_again(client: Client) -> None:
    first, second = client.channel(1), client.channel(2)
    queue = first.exclusive_queue(**{"x-max-length": 1})
    first.publish("", queue, b"a")
    assert first.get(queue) is not None
    second.publish("", queue, b"b")
    second.wait_count(queue, 1)
    first.close()
    second.wait_count(queue, 1)
    assert second.get_all(queue) == [b"b"]
