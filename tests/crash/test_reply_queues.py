"""kill -9 under direct reply-to: names given before a shard's death stay good, those of a dead gateway lead nowhere."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.methods import Channel, Properties, Queue
from tests.harness.warren import Warren, wait_until

REPLIES = "amq.rabbitmq.reply-to"
BACK_WITHIN_S = 2.0
CLIENTS = 6
"""Channels with a consumer of replies, over both shards."""


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker for both tests."""
    server = Warren(tmp_path_factory.mktemp("replies"), gateways=2, shards=2)
    server.start()
    yield server
    server.kill_all()


def consuming(channel: ChannelClient) -> str:
    channel.consume(REPLIES, "replies", no_ack=True)
    return own_name(channel)


def own_name(channel: ChannelClient) -> str:
    channel.publish("", "t-nobody-has-this-queue", b"", Properties(reply_to=REPLIES), mandatory=True)
    return str(channel.returned().properties.reply_to)


def reaches(server: ChannelClient, name: str, client: ChannelClient) -> bool:
    """Whether a reply arrives; one that meets a shard before its consumers are back does not."""
    server.publish("", name, b"answer")
    try:
        return client.delivery(0.2).body == b"answer"
    except TimeoutError:
        return False


@pytest.mark.parametrize("shard", [0, 1])
def test_a_shard(warren: Warren, shard: int) -> None:
    with connect(warren.endpoint) as asking, connect(warren.endpoint) as answering:
        clients = [asking.channel(number) for number in range(1, CLIENTS + 1)]
        to = [consuming(channel) for channel in clients]
        server = answering.channel()
        old = warren.kill("shard", shard)
        assert warren.wait_back("shard", shard, old) < BACK_WITHIN_S
        for channel, name in zip(clients, to, strict=True):
            wait_until(lambda name=name, channel=channel: reaches(server, name, channel), "a reply", BACK_WITHIN_S)
            assert own_name(channel) == name
        fresh = asking.channel(CLIENTS + 1)
        assert consuming(fresh) not in to


def test_a_gateway(warren: Warren) -> None:
    channels = [connect(warren.endpoint).channel() for _ in range(16)]
    to = [consuming(channel) for channel in channels]
    old = warren.kill("gateway", 0)
    assert warren.wait_back("gateway", 0, old) < BACK_WITHIN_S
    asker = connect(warren.endpoint)
    found = {200: 0, 404: 0}
    for name in to:
        probe = asker.channel()
        answer = probe.call(Queue.Declare(queue=name, passive=True), (Queue.DeclareOk, Channel.Close))
        if isinstance(answer, Channel.Close):
            assert answer.reply_code == 404
            found[404] += 1
            probe.send(Channel.CloseOk())
        else:
            found[200] += 1
            probe.close()
    assert all(found.values()), "both gateways had clients"
    for channel in channels:
        channel.client.drop()
    asker.drop()
