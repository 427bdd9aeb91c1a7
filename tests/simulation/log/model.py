"""What a shard does with its store, by a seed, with the rules that must hold after every end of the process.

Three ends: closed (everything is there, exactly), killed (the same, but for durable messages
since the last commit began) and a power failure (see ForgetfulDisk): then

- every record that was reported durable and not acknowledged is there, once, in order, with its contents;
- an acknowledged one may come back, marked redelivered;
- one that was not reported durable may be there;
- nothing else is there;
- a byte that was flipped besides costs one record at most.
"""
from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from log import access
from log.access import StoredMessage
from log.chores import Chore
from log.commit import CommitTicket
from log.formats import ENTRY_REDELIVERED, HEADER_BYTES
from log.recovery import discard
from log.store import Store

from .disk import ForgetfulDisk, PowerFailure

SEGMENT_BYTES = 16 << 10
QUEUES = (1, 2, 3, 70_000)

Name = tuple[int, int]          # queue id, entry number


@dataclass
class Message:
    """One appended record."""

    serial: int
    names: list[Name]
    durable: bool
    position: int = 0           # Store.appended_position behind it

    def stored(self) -> StoredMessage:
        rng = random.Random(self.serial)
        size = int(2 ** rng.uniform(0, 9)) if rng.random() < 0.97 else rng.randrange(SEGMENT_BYTES, 3 * SEGMENT_BYTES)
        return StoredMessage(b"exchange", b"key.%d" % self.serial, rng.randbytes(6), rng.randbytes(size),
                             priority=self.serial % 10, persistent=self.durable, received_at_ms=self.serial)


@dataclass
class Live:
    """An entry that the shard holds."""

    entry: np.void
    message: Message
    delivery_count: int = 0


@dataclass
class Shard:
    """The store of one shard through many lives of its process."""

    root: Path
    seed: int
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.life = 0
        self.serial = 0
        self.appended: dict[Name, list[Message]] = {}       # all that ever were
        self.required: dict[Name, Message] = {}             # reported durable
        self.acknowledged: set[Name] = set()
        self.live: dict[Name, Live] = {}
        self.durable = self.root / "durable.0"
        self.durable.mkdir(parents=True)
        self.start(ForgetfulDisk(self.durable))

    # -- lives

    def start(self, disk: ForgetfulDisk) -> dict[int, Any]:
        self.disk = disk
        self.store = Store(str(self.durable), str(self.root / "transient"), str(self.root / "spill"),
                           segment_bytes=SEGMENT_BYTES, transient_bytes_max=8 * SEGMENT_BYTES, clock_ms=lambda: 1,
                           disk=disk)
        self.store.compacted_bytes_min = 0
        self.chores: list[Chore] = []
        self.ran: list[Chore] = []
        self.ticket: CommitTicket | None = None
        self.synchronised = False
        self.taken_position = 0
        self.unreported: list[Message] = []
        found = self.store.recover()
        self.next_number = {queue_id: self.store.highest_number(queue_id) + 1 for queue_id in QUEUES}
        return found

    def run(self, steps: int) -> None:
        actions = [
            (self.append, 40), (self.acknowledge, 35), (self.deliver, 8), (self.commit, 20), (self.chore, 10),
            (self.compact, 4), (self.see, 3), (self.burst, 1), (self.drain, 1), (self.tidy_up, 2),
        ]
        names, weights = zip(*actions, strict=True)
        for _ in range(steps):
            self.rng.choices(names, weights)[0]()

    def end(self) -> None:
        self.rng.choices((self.close, self.kill, self.power_failure), (1, 3, 6))[0]()

    # -- what a shard does

    def append(self) -> None:
        self.serial += 1
        durable = self.rng.random() < 0.8
        names = []
        for queue_id in self.rng.sample(QUEUES, self.rng.choice((1, 1, 1, 2, 4))):
            names.append((queue_id, self.next_number[queue_id]))
            self.next_number[queue_id] += 1
        message = Message(self.serial, names, durable)
        for name in names:
            self.appended.setdefault(name, []).append(message)
            self.acknowledged.discard(name)
        entries = access.append(self.store, durable, message.stored(), [n[0] for n in names], [n[1] for n in names])
        message.position = self.store.appended_position
        for name, entry in zip(names, entries, strict=True):
            self.live[name] = Live(entry, message)
        if durable:
            self.unreported.append(message)

    def acknowledge(self) -> None:
        if self.live:
            names = sorted(self.live)
            # Mostly the oldest: segments empty one after the other, and some stay sparse.
            name = names[min(int(self.rng.expovariate(0.1)), len(names) - 1)]
            if name[1] % 23:
                self.acknowledge_one(name)

    def acknowledge_one(self, name: Name) -> None:
        self.acknowledged.add(name)
        access.acked(self.store, self.live.pop(name).entry)

    def deliver(self) -> None:
        if self.live:
            live = self.live[self.rng.choice(sorted(self.live))]
            self.check(live)
            live.delivery_count = min(live.delivery_count + 1, 253)
            access.delivered(self.store, live.entry, live.delivery_count)

    def check(self, live: Live) -> None:
        assert access.read(self.store, live.entry) == live.message.stored()

    def commit(self) -> None:
        """One of the three steps of a group commit; others happen between them."""
        if self.ticket is None:
            self.ticket = self.store.sync_target()
            self.taken_position = self.store.appended_position
            self.synchronised = False
        elif not self.synchronised:
            self.ticket.synchronise()
            self.synchronised = True
        else:
            position, self.ticket = self.ticket.position, None
            self.store.committed(position)
            for message in self.unreported:
                if message.position <= position:
                    for name in message.names:
                        self.required[name] = message
            self.unreported = [m for m in self.unreported if m.position > position]

    def chore(self) -> None:
        self.chores += self.store.take_chores()
        if self.ran and self.rng.random() < 0.5:
            self.ran.pop(0).finish()
        elif self.chores:
            chore = self.chores.pop(0)
            chore.run()
            self.ran.append(chore)

    def compact(self) -> None:
        self.store.compact(self.rng.choice((1, 1000, 1 << 20)))

    def tidy_up(self) -> None:
        """All there is to do on the side, while no commit is made."""
        while self.store.compact(1 << 20):
            pass
        while self.chores or self.ran or self.store.has_chores:
            self.chore()

    def see(self) -> None:
        self.disk.see_all()

    def burst(self) -> None:
        for _ in range(60):
            self.append()

    def drain(self) -> None:
        for name in sorted(self.live):
            if name[1] % 23 and self.rng.random() < 0.97:
                self.acknowledge_one(name)

    # -- ends

    def close(self) -> None:
        self.log.append("close")
        # The threads have ended: what they had taken on is done.
        if self.ticket is not None and not self.synchronised:
            self.ticket.synchronise()
        for chore in self.chores:
            chore.run()
            self.ran.append(chore)
        for chore in self.ran:
            chore.finish()
        self.store.close()
        self.unreported.clear()
        self.exactly(self.start(self.same_disk()), set())

    def kill(self) -> None:
        self.log.append("kill")
        uncommitted = {name for m in self.unreported if m.position > self.taken_position for name in m.names}
        self.exactly(self.start(self.same_disk()), uncommitted)

    def same_disk(self) -> ForgetfulDisk:
        self.disk.fail_after = None
        return self.disk

    def exactly(self, found: dict[int, Any], uncommitted: set[Name]) -> None:
        """Nothing is lost but what no commit had begun for, nothing comes back."""
        expected, self.live = self.live, {}
        recovered = self.named(found)
        assert recovered.keys() <= expected.keys()
        assert expected.keys() - recovered.keys() <= uncommitted
        for name, entry in recovered.items():
            assert entry["delivery_count"] == expected[name].delivery_count
            self.live[name] = Live(entry, expected[name].message, expected[name].delivery_count)
            self.check(self.live[name])
        assert self.store.live_entries == len(recovered)

    def power_failure(self) -> None:
        self.log.append("power failure")
        self.life += 1
        left = self.root / f"durable.{self.life}"
        self.disk.leave(left, self.rng)
        self.durable = left
        flipped = self.rng.random() < 0.3 and self.flip()
        discard(str(self.root / "transient"))
        discard(str(self.root / "spill"))
        recovered = self.named(self.start(ForgetfulDisk(left)))
        self.live.clear()
        lost: list[Message] = []
        for name, entry in recovered.items():
            stored = access.read(self.store, entry)
            candidates = [self.required[name]] if name in self.required else self.appended.get(name, [])
            matching = [m for m in candidates if m.stored() == stored]
            if stored is None:
                # Damaged, and noticed: the shard drops it.
                access.acked(self.store, entry)
                lost += [] if name in self.acknowledged else candidates[-1:]
                self.acknowledged.add(name)
                continue
            assert matching, f"{name} has contents that were never appended to it"
            assert entry["flags"] & ENTRY_REDELIVERED, f"{name} may have been delivered"
            self.live[name] = Live(entry, matching[0], int(entry["delivery_count"]))
        lost += [m for name, m in self.required.items() if name not in recovered and name not in self.acknowledged]
        if flipped:
            assert len({m.serial for m in lost}) <= 1, "a flipped byte costs one record at most"
        else:
            assert not lost, f"reported durable, and lost: {[m.names for m in lost]}"
        # What is there now is what the disk holds.
        self.required = {name: live.message for name, live in self.live.items()}
        self.acknowledged -= self.live.keys()
        assert self.store.live_entries == len(self.live)

    def flip(self) -> bool:
        """One bit of one file; not of an ack map, of which any byte is a valid one."""
        paths = [p for p in sorted(self.durable.iterdir()) if p.suffix != ".acks" and p.stat().st_size]
        if not paths:
            return False
        path = self.rng.choice(paths)
        contents = bytearray(path.read_bytes())
        # Half of the flips hit the beginning, where headers, seals and first records are.
        end = min(len(contents), 2 * HEADER_BYTES) if self.rng.random() < 0.5 else len(contents)
        contents[self.rng.randrange(end)] ^= 1 << self.rng.randrange(8)
        path.write_bytes(contents)
        return True

    def named(self, found: dict[int, Any]) -> dict[Name, np.void]:
        for entries in found.values():
            numbers = entries["number"].tolist()
            assert numbers == sorted(set(numbers)), "each message once, in order"
        return {(queue_id, int(entry["number"])): entry for queue_id, entries in found.items() for entry in entries}


def simulate(root: Path, seed: int, lives: int, steps: int) -> Shard:
    """Some lives of a shard; every second power failure comes out of the middle of a call."""
    shard = Shard(root, seed)
    for _ in range(lives):
        if shard.rng.random() < 0.5:
            shard.disk.fail_after = shard.rng.randrange(200)
        try:
            shard.run(shard.rng.randrange(steps))
            shard.disk.fail_after = None
            shard.end()
        except PowerFailure:
            shard.disk.fail_after = None
            shard.power_failure()
    shard.disk.fail_after = None
    shard.close()
    return shard
