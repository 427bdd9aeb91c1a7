"""kill -9 of a shard while messages are moved: on one shard each is in one queue, between two in one at least."""
from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.harness.channel import ChannelClient
from tests.harness.client import connect
from tests.harness.warren import Warren

MakeWarren = Callable[..., Warren]
SOURCE = "source"
MESSAGES = 12_000
BODY_BYTES = 400
WINDOW = 2000
MOVED_MIN = 3000
"""So many are in the target when the shard is killed: some of them are on the disk, some perhaps not."""
PATIENCE_S = 30.0


def bodies() -> list[bytes]:
    return [(b"%d " % number).ljust(BODY_BYTES) for number in range(MESSAGES)]


def queues(channel: ChannelClient, warren: Warren) -> tuple[int, dict[bool, str]]:
    """The source's shard, and by whether they are on it too: queues."""
    for name in (SOURCE, *(f"target-{number}" for number in range(8))):
        channel.declare(name, durable=True)
    shards = {row["name"]: int(row["shard"]) for row in warren.listing("queues")}
    own = shards.pop(SOURCE)
    return own, {shard == own: name for name, shard in shards.items()}


def taken(channel: ChannelClient, queue: str) -> list[int]:
    """All that is in a queue."""
    count = channel.count(queue)
    channel.consume(queue, queue, no_ack=True)
    found = [int(body) for body in channel.bodies(count)]
    channel.cancel(queue)
    return found


class Moving(threading.Thread):
    """The command, which may fail as its broker does."""

    def __init__(self, warren: Warren, target: str) -> None:
        super().__init__(daemon=True)
        self.warren, self.target = warren, target
        self.start()

    def run(self) -> None:
        try:
            self.warren.command("queue", "move", SOURCE, "--to", self.target, "--all")
        except RuntimeError:
            pass


@pytest.mark.parametrize("same_shard, dies", [(True, "source"), (False, "source"), (False, "target")])
def test_nothing_is_lost(make_warren: MakeWarren, same_shard: bool, dies: str) -> None:
    warren = make_warren(gateways=1)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        own, targets = queues(channel, warren)
        target = targets[same_shard]
        channel.confirm()
        for start in range(0, MESSAGES, WINDOW):
            channel.persistent(SOURCE, bodies()[start : start + WINDOW])
            channel.wait_confirms(start + WINDOW, start + 1)
        shard = own if dies == "source" else 1 - own
        pid = warren.pid("shard", shard)
        moving = Moving(warren, target)
        patient_until_s = time.monotonic() + PATIENCE_S
        while channel.count(target) < MOVED_MIN:
            assert time.monotonic() < patient_until_s, "nothing is moved"
        os.kill(pid, signal.SIGKILL)
        moving.join(PATIENCE_S)
        assert not moving.is_alive()
        warren.wait_back("shard", shard, pid)
    with connect(warren.endpoint) as client:
        channel = client.channel()
        left, moved = taken(channel, SOURCE), taken(channel, target)
        assert left and moved, "it was killed too early or too late"
        assert moved == sorted(moved) and left == sorted(left)
        copies = Counter(left + moved)
        assert set(copies) == set(range(MESSAGES))
        if same_shard:
            assert len(left) + len(moved) == MESSAGES
        else:
            # of those that were under way when the shard died
            assert sum(copies.values()) - MESSAGES <= WINDOW
