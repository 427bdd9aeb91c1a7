"""A disk that fills up, on a small file system of its own (needs the right to mount one)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Closed, connect
from tests.harness.load import Publisher, check_queue, drain
from tests.harness.methods import Basic, Connection, Queue
from tests.harness.warren import Warren, run_command, wait_until

MIB = 1 << 20
DISK_BYTES = 48 * MIB
QUEUES = [f"durable-{n}" for n in range(4)]


def may_mount() -> bool:
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(not may_mount(), reason="mounting a small file system needs root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory with a small file system of its own on data/."""
    data = tmp_path / "full" / "data"
    data.mkdir(parents=True)
    resize(data, DISK_BYTES, "size={}")
    yield data.parent
    subprocess.run(["umount", "--lazy", str(data)], check=True)


def resize(data: Path, size: int, options: str = "remount,size={}") -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options.format(size), "tmpfs", str(data)], check=True)


def declare(server: Warren) -> None:
    with connect(server.endpoint) as client:
        channel = client.channel()
        for queue in QUEUES:
            channel.declare(queue, durable=True)
        client.close()


def test_publishers_are_blocked_before_the_disk_is_full_and_freed_after(small_disk: Path) -> None:
    size, limit = 256 * MIB, 192 * MIB
    resize(small_disk / "data", size)
    server = Warren(small_disk, disk_free_limit_bytes=limit, segment_bytes=MIB)
    server.start()
    try:
        declare(server)
        publisher = Publisher(server.endpoint, "p", QUEUES, size=1000, window=50)
        publisher.start()
        wait_until(lambda: server.status()["alarms"]["disk"], "the alarm", 20)
        wait_until(
            lambda: any(row["state"] == "blocked" for row in server.listing("connections")), "the blocked publisher"
        )
        confirmed = publisher.confirmed_count
        free = server.status()["disk_free_bytes"]
        assert 0 < free < limit
        publisher.stopping.set()
        messages = {queue: drain(server.endpoint, queue) for queue in QUEUES}
        wait_until(lambda: not server.status()["alarms"]["disk"], "the end of the alarm", 20)
        publisher.join(20)
        assert publisher.error is None, publisher.error
        for queue in QUEUES:
            check_queue(queue, messages[queue] + drain(server.endpoint, queue), [publisher])
        assert publisher.confirmed_count >= confirmed
        publisher.finish()
    finally:
        server.kill_all()


def test_nothing_confirmed_is_lost_when_the_disk_is_full(small_disk: Path) -> None:
    server = Warren(small_disk, disk_free_limit_bytes=0, segment_bytes=MIB)
    server.start()
    try:
        declare(server)
        publisher = Publisher(server.endpoint, "p", QUEUES, size=20_000, window=50)
        publisher.start()
        wait_until(lambda: publisher.confirmed_count > 500, "the load", 20)
        wait_until(lambda: not publisher.is_alive() or nacks(publisher) or stuck(server), "the full disk", 30)
        with connect(server.endpoint) as client:  # the broker still talks
            client.channel()
        server.kill_all()
        publisher.finish()
        resize(server.data, 8 * DISK_BYTES)
        server.start()
        for queue in QUEUES:
            check_queue(queue, drain(server.endpoint, queue), [publisher])
    finally:
        server.kill_all()


def nacks(publisher: Publisher) -> bool:
    return any(told.nacked for told in publisher.told.values())


def stuck(server: Warren) -> bool:
    return "No space left" in server.log_tail() or any(one["restarts"] for one in server.status()["processes"])


def test_a_disk_that_gets_room_again_is_used_again(small_disk: Path) -> None:
    """Without a restart by hand: the shards come back by themselves, or never went."""
    server = Warren(small_disk, disk_free_limit_bytes=0, segment_bytes=MIB)
    server.start()
    try:
        declare(server)
        publisher = Publisher(server.endpoint, "p", QUEUES, size=20_000, window=50)
        publisher.start()
        wait_until(lambda: publisher.confirmed_count > 500, "the load", 20)
        wait_until(lambda: not publisher.is_alive() or nacks(publisher) or stuck(server), "the full disk", 30)
        resize(server.data, 8 * DISK_BYTES)
        publisher.stopping.set()
        wait_until(lambda: works(server), "a broker that works", 20)
        publisher.finish()
        for queue in QUEUES:
            check_queue(queue, [m for m in drain(server.endpoint, queue) if m.body != b"probe"], [publisher])
    finally:
        server.kill_all()


def works(server: Warren) -> bool:
    """Whether a persistent message to each queue is confirmed."""
    try:
        with connect(server.endpoint) as client:
            channel = client.channel()
            channel.confirm()
            for queue in QUEUES:
                channel.persistent(queue, [b"probe"])
                if not isinstance(client.next_on(1, 2.0).method, Basic.Ack):
                    return False
            return True
    except (Closed, OSError, TimeoutError, AssertionError):
        return False


def test_a_full_disk_refuses_what_it_must_and_lives_on(small_disk: Path) -> None:
    """Not a byte is free: messages are nacked, names refused, consumers go on, and what they free is used again."""
    server = Warren(small_disk, gateways=1, disk_free_limit_bytes=0, segment_bytes=MIB)
    server.start()
    try:
        declare(server)
        with connect(server.endpoint) as client, connect(server.endpoint) as declarer:
            channel = client.channel()
            channel.confirm()
            confirmed: dict[str, list[bytes]] = {queue: [] for queue in QUEUES}
            sent, nacked = 0, 0
            while nacked < 10:
                for queue in QUEUES:
                    sent += 1
                    body = str(sent).encode().ljust(40_000, b".")
                    channel.persistent(queue, [body])
                    if channel.wait_confirms(sent, sent):
                        nacked += 1
                    else:
                        confirmed[queue].append(body)
            fill(server.data / "filler")
            declaring = declarer.channel()
            declaring.send(Queue.Declare(queue="late", durable=True, arguments={"large": "x" * 5000}))
            declarer.expect_connection_error(506, "the disk with the catalog is full")
            channel.publish("", QUEUES[0], b"transient")
            assert not channel.wait_confirms(sent + 1, sent + 1)
            for queue in QUEUES:
                bodies = [message.body for message in drain(server.endpoint, queue)]
                assert [body for body in bodies if body in set(confirmed[queue])] == confirmed[queue]
            assert not any(one["restarts"] for one in server.status()["processes"])
            (server.data / "filler").unlink()
            channel.persistent(QUEUES[0], [b"again"])
            assert not channel.wait_confirms(sent + 2, sent + 2)
            wait_until(lambda: declared(server, "late"), "a declaration")  # segments go when a chore has removed them
        told = "messages were refused, the log has no room for them"    # once a second
        wait_until(lambda: told in server.log_path.read_text(), "a line in the log")
    finally:
        server.kill_all()


def declared(server: Warren, queue: str) -> bool:
    """Whether a durable queue can be declared now."""
    with connect(server.endpoint) as client:
        answer = client.channel().call(Queue.Declare(queue=queue, durable=True), (Queue.DeclareOk, Connection.Close))
        return isinstance(answer, Queue.DeclareOk)


def fill(file: Path) -> None:
    """Takes all that is left of the disk."""
    with open(file, "wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_start_on_a_full_disk_says_so(small_disk: Path) -> None:
    data = small_disk / "data"
    fill(data / "lost+found")
    result = run_command("serve", "--data", str(data), "--port", "0", "--gateways", "1", "--shards", "1", timeout_s=30)
    assert result.returncode not in (0, -9)
    last = result.stderr.strip().splitlines()[-1]
    assert "No space left" in last or "full" in last or "space" in last, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
