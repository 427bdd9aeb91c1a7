"""Proof by strace: no confirm of a persistent message leaves a gateway before an fdatasync that covers the message.

Covers means: a shard began the fdatasync after the gateway had read the last byte of the publish, and it ended before
the gateway wrote the confirm. What was on the way later cannot have been meant by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import strace
from tests.crash.strace import Call
from tests.harness import wire
from tests.harness.channel import PERSISTENT, ChannelClient
from tests.harness.client import Client, connect
from tests.harness.methods import Basic, Properties
from tests.harness.warren import Warren

pytestmark = pytest.mark.skipif(not strace.available(), reason="strace is not installed or may not trace")

READS = {"read", "readv", "recvfrom", "recvmsg"}
WRITES = {"write", "writev", "sendto", "sendmsg"}
SYNCS = {"fdatasync", "fsync", "msync"}
ACK = re.compile(r"\\x01\\x00\\x01\\x00\\x00\\x00\\x0d\\x00\\x3c\\x00\\x50((?:\\x[0-9a-f]{2}){8})\\x0([01])\\xce")


@pytest.fixture(scope="module")
def warren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warren]:
    """One broker for the proofs."""
    server = Warren(tmp_path_factory.mktemp("traced"), gateways=1, shards=2)
    server.start()
    yield server
    server.kill_all()


@pytest.fixture
def channel(warren: Warren) -> Iterator[ChannelClient]:
    """A channel in confirm mode."""
    with connect(warren.endpoint) as client:
        opened = client.channel()
        opened.confirm()
        yield opened


@pytest.fixture
def queues(warren: Warren, channel: ChannelClient) -> list[str]:
    """A durable queue on each shard, in the order of the shards."""
    names = [f"q-{n}" for n in range(8)]
    for name in names:
        channel.declare(name, durable=True)
    shard_of = {row["name"]: row["shard"] for row in warren.listing("queues")}
    return [next(name for name in names if shard_of[name] == shard) for shard in (0, 1)]


@pytest.fixture
def trace(warren: Warren, channel: ChannelClient, tmp_path: Path) -> Iterator[strace.Trace]:
    """strace on the gateway and both shards, from after the connection was opened."""
    attached = strace.Trace(
        [warren.pid("gateway", 0), warren.pid("shard", 0), warren.pid("shard", 1)], tmp_path / "trace"
    )
    yield attached
    attached.stop()


def received_s(calls: list[Call], connection: str, ends: list[int]) -> list[float]:
    """When the gateway had read so many bytes of the connection, for each of `ends`."""
    times, total, at = [], 0, 0
    for call in calls:
        if call.name in READS and call.target == connection and call.result > 0:
            total += call.result
            while at < len(ends) and total >= ends[at]:
                times.append(call.ended_s)
                at += 1
    assert at == len(ends), f"{total} of {ends[-1]} bytes were seen by strace"
    return times


def acks_written(calls: list[Call], connection: str) -> list[tuple[float, int, bool]]:
    """(time at which the write began, tag, multiple) of each basic.ack on channel 1."""
    return [
        (call.began_s, int(found[1].replace("\\x", ""), 16), found[2] == "1")
        for call in calls
        if call.name in WRITES and call.target == connection
        for found in ACK.finditer(call.text)
    ]


def connection_of(client: Client, calls: list[Call]) -> str:
    """How strace names the gateway's side of this connection."""
    port = client.socket.getsockname()[1]
    names = {
        call.target
        for call in calls
        if call.target.startswith("TCP:")
        and re.search(rf"(->|:){port}\b", call.target)
        and f":{client.endpoint.port}" in call.target
    }
    assert len(names) == 1, names
    return names.pop()


def check(warren: Warren, calls: list[Call], connection: str, ends: list[int], shard_of: list[int]) -> int:
    """Every confirm against the syncs; how many publishes were proved. `shard_of`: of each publish."""
    threads = {shard: threads_of(warren.pid("shard", shard)) for shard in (0, 1)}
    syncs = [call for call in calls if call.name in SYNCS and call.result == 0]
    received = received_s(calls, connection, ends)
    proved = 0
    answered: set[int] = set()
    for written_s, tag, multiple in acks_written(calls, connection):
        for number in [n for n in range(1, tag + 1) if n not in answered] if multiple else [tag]:
            answered.add(number)
            covered = [
                one
                for one in syncs
                if one.pid in threads[shard_of[number - 1]]
                and one.began_s >= received[number - 1]
                and one.ended_s <= written_s
            ]
            assert covered, (
                f"the confirm of publish {number} left {written_s - received[number - 1]:.6f} s after it came, unsynced"
            )
            proved += 1
    return proved


def threads_of(pid: int) -> set[int]:
    return {int(one.name) for one in Path(f"/proc/{pid}/task").iterdir()}


def test_one_by_one(warren: Warren, channel: ChannelClient, queues: list[str], trace: strace.Trace) -> None:
    sent, ends, shards = 0, [], []
    for number in range(1, 41):
        frames = wire.publish(1, "", queues[number % 2], b"x" * number, Properties(delivery_mode=PERSISTENT))
        channel.client.send_bytes(frames)
        sent += len(frames)
        ends.append(sent)
        shards.append(number % 2)
        assert channel.expect(Basic.Ack).delivery_tag == number
    channel.confirm()                   # when it is answered, strace has seen the end of the last ack
    calls = trace.stop()
    assert check(warren, calls, connection_of(channel.client, calls), ends, shards) == 40


def test_with_a_window(warren: Warren, channel: ChannelClient, queues: list[str], trace: strace.Trace) -> None:
    sent, ends, shards, count, confirmed = 0, [], [], 1000, 0
    for start in range(1, count + 1, 25):
        pieces = []
        for number in range(start, start + 25):
            frames = wire.publish(1, "", queues[number % 2], b"x" * 100, Properties(delivery_mode=PERSISTENT))
            pieces.append(frames)
            sent += len(frames)
            ends.append(sent)
            shards.append(number % 2)
        channel.client.send_bytes(b"".join(pieces))
        while confirmed < start - 200:
            confirmed = max(confirmed, channel.expect(Basic.Ack).delivery_tag)
    while confirmed < count:
        confirmed = max(confirmed, channel.expect(Basic.Ack).delivery_tag)
    channel.confirm()                   # when it is answered, strace has seen the end of the last ack
    calls = trace.stop()
    assert check(warren, calls, connection_of(channel.client, calls), ends, shards) == count


def test_a_commit_waits_for_the_sync_too(
    warren: Warren, channel: ChannelClient, queues: list[str], trace: strace.Trace
) -> None:
    channel = channel.client.channel(2)
    channel.tx_select()
    for _ in range(5):
        for queue in queues:
            channel.publish("", queue, b"x", Properties(delivery_mode=PERSISTENT))
        channel.tx_commit()
    channel.tx_select()                 # when it is answered, strace has seen the end of the last answer
    calls = trace.stop()
    connection = connection_of(channel.client, calls)
    commit_ok = [
        call.began_s
        for call in calls
        if call.name in WRITES and call.target == connection and r"\x00\x5a\x00\x15" in call.text
    ]
    syncs = [call for call in calls if call.name in SYNCS and call.result == 0]
    reads = [call.ended_s for call in calls if call.name in READS and call.target == connection and call.result > 0]
    assert len(commit_ok) == 5
    for written_s in commit_ok:
        came_s = max(at for at in reads if at < written_s)
        for shard in (0, 1):
            assert any(
                one.pid in threads_of(warren.pid("shard", shard)) and one.began_s >= came_s and one.ended_s <= written_s
                for one in syncs
            ), f"shard {shard} did not sync between the commit and its answer"


def test_transient_messages_wait_for_no_sync(
    warren: Warren, channel: ChannelClient, queues: list[str], trace: strace.Trace
) -> None:
    for number in range(1, 21):
        channel.publish("", queues[number % 2], b"x", Properties(delivery_mode=1))
        assert channel.expect(Basic.Ack).delivery_tag == number
    calls = trace.stop()
    began_s = min(call.began_s for call in calls if call.name in READS and call.target.startswith("TCP:"))
    assert [call for call in calls if call.name in SYNCS and call.began_s > began_s] == []
