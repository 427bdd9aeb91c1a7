"""Dead letters of one shard on a disk that forgets: what a death of the process, or of the machine, leaves.

Queue 1 dies into 2, or 2 and 3, or 4, which is transient, by the keys of its messages; so does 5, which is transient
itself. Every message has a body of its own. After each death the log is read again, and of each message whose
publisher could have been told so

    its queue has it, or each of its targets has it, never both, and none of them twice

unless somebody has taken it: then it may come back.
"""
from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from log import access
from tests.simulation.log.disk import ForgetfulDisk, PowerFailure
from tests.unit.shards import wire
from tests.unit.shards.letters import LetterShard
from topology.features import QueueFeatures

SOURCE, FIRST, SECOND, TRANSIENT, TRANSIENT_SOURCE = 1, 2, 3, 4, 5
SOURCES = (SOURCE, TRANSIENT_SOURCE)
TARGETS = (FIRST, SECOND, TRANSIENT)
QUEUES = (*SOURCES, *TARGETS)
KEYS = {b"one": (FIRST,), b"both": (FIRST, SECOND), b"transient": (TRANSIENT,)}
BODY_BYTES = 200
KILLED, FAILED = "killed", "failed"


class World:
    """One broker's life after another, on the same files."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.life = 0
        self.published: dict[bytes, bytes] = {}         # body: key
        self.transient: set[bytes] = set()              # of these, to the transient source
        self.safe: set[bytes] = set()                   # on the disk
        self.rejected: Counter[int] = Counter()
        self.waiting: list[tuple[Any, set[bytes]]] = []     # a ticket under way, and what it covers
        self.new: set[bytes] = set()                    # published since the last ticket
        self.taken: set[bytes] = set()
        self.serial = 0
        self.shard = self.start(root / "0", None)

    def start(self, directory: Path, disk: ForgetfulDisk | None) -> LetterShard:
        """`disk`: that of a process that was killed; what was not on it is not there yet."""
        (directory / "durable").mkdir(parents=True, exist_ok=True)
        self.disk = ForgetfulDisk(directory / "durable") if disk is None else disk
        shard = LetterShard(directory, disk=self.disk)
        shard.store.compacted_bytes_min = 4096
        shard.router.routes["dlx"] = {key.decode(): list(targets) for key, targets in KEYS.items()}
        return shard

    def add_queues(self) -> dict[int, list[bytes]]:
        """What recovery finds in each queue."""
        recovered = self.shard.store.recover()
        found: dict[int, list[bytes]] = {}
        for queue_id in QUEUES:
            features = QueueFeatures(dead_letter_exchange="dlx") if queue_id in SOURCES else QueueFeatures()
            durable = queue_id not in (TRANSIENT, TRANSIENT_SOURCE)
            self.shard.queue(queue_id, durable=durable, features=features)
            entries = recovered.get(queue_id, [])
            messages = [access.read(self.shard.store, entries[i : i + 1]) for i in range(len(entries))]
            assert None not in messages
            found[queue_id] = [message.body for message in messages if message is not None]
            if len(entries):
                self.shard.engine.load(queue_id, entries)
        return found

    # -- steps

    def publish(self) -> None:
        records = []
        queue_id = self.rng.choice([SOURCE, SOURCE, TRANSIENT_SOURCE])
        for _ in range(self.rng.randint(1, 10)):
            self.serial += 1
            body = b"%08d" % self.serial + b"." * self.rng.randint(0, BODY_BYTES)
            key = self.rng.choice([b"one", b"one", b"both", b"transient"])
            self.published[body] = key
            if queue_id == SOURCE:
                self.new.add(body)
            else:
                self.transient.add(body)
            records.append(wire.publish(queue_id, body, routing_key=key, persistent=True))
        self.shard.feed(*records)

    def reject(self) -> None:
        """The first of a queue die, in one batch."""
        queue_id = self.rng.choice([SOURCE, SOURCE, TRANSIENT_SOURCE])
        count = min(self.rng.randint(1, 15), self.shard.ready(queue_id))
        if count == 0:
            return
        for _ in range(count):
            assert self.shard.engine.get(0, 1, queue_id, queue_id, False)
        self.shard.engine.sent(0)
        self.rejected[queue_id] += count
        self.shard.feed(wire.settle(queue_id, self.rejected[queue_id], wire.REJECT, multiple=True))

    def take(self) -> None:
        queue_id = self.rng.choice(QUEUES)
        for _ in range(self.rng.randint(1, 15)):
            if not self.shard.engine.get(0, 1, queue_id, 90, True):
                break
            (record,) = wire.parse(bytes(self.shard.engine.outgoing(0)))
            self.shard.engine.sent(0)
            self.taken.add(record.body)

    def begin_commit(self) -> None:
        if not self.waiting:
            ticket = self.shard.store.sync_target()
            covered, self.new = self.new, set()
            if ticket is None:
                self.safe |= covered
            else:
                self.waiting.append((ticket, covered))

    def end_commit(self) -> None:
        if self.waiting:
            ticket, covered = self.waiting.pop()
            ticket.synchronise()
            self.shard.store.committed(ticket.position)
            self.shard.engine.durable_up_to(ticket.position)
            self.safe |= covered

    def tidy(self) -> None:
        for chore in self.shard.store.take_chores():
            chore.run()
            chore.finish()

    def compact(self) -> None:
        self.shard.store.compact(2000)

    def see(self) -> None:
        self.disk.see_all()

    def step(self) -> None:
        steps = [self.publish] * 3 + [self.reject] * 3 + [self.begin_commit] * 2 + [self.end_commit] * 2
        steps += [self.take, self.tidy, self.see]
        if self.compacts:
            steps.append(self.compact)
        self.rng.choice(steps)()

    # -- lives

    def live(self, steps: int, *, death: str, fail_after: int | None = None, compacts: bool = False) -> None:
        """Until the death, and what it leaves is checked."""
        self.compacts = compacts
        self.rejected = Counter()
        try:
            found = self.add_queues()
            if self.life:
                self.check(found)
                self.carry_on(found)
            self.disk.fail_after = fail_after
            for _ in range(steps):
                self.step()
        except PowerFailure:
            death = FAILED
        self.disk.fail_after = None
        self.die(death)

    def die(self, death: str) -> None:
        self.life += 1
        self.death = death
        directory, disk = self.shard.root, self.disk
        if death == FAILED:
            directory, disk = self.root / str(self.life), None
            self.disk.leave(directory / "durable", self.rng)
        # what had not been written is gone with the process
        del self.shard
        self.waiting = []
        self.shard = self.start(directory, disk)

    def check(self, found: dict[int, list[bytes]]) -> None:
        counts = {queue_id: Counter(bodies) for queue_id, bodies in found.items()}
        machine_died = self.death == FAILED
        for queue_id, counter in counts.items():
            twice = [body for body, count in counter.items() if count > 1]
            assert not twice, f"{twice} are in queue {queue_id} more than once"
        for body, key in self.published.items():
            if body in self.taken:
                continue
            is_transient = body in self.transient
            in_source = counts[TRANSIENT_SOURCE if is_transient else SOURCE][body]
            # what is transient is gone with the machine, and then its source may have it, or not
            targets = [queue_id for queue_id in KEYS[key] if not (machine_died and queue_id == TRANSIENT)]
            in_targets = [counts[queue_id][body] for queue_id in targets]
            promised = not machine_died if is_transient else body in self.safe and bool(targets)
            if promised:
                assert in_source or all(in_targets), f"{body!r} is lost: source {in_source}, targets {in_targets}"
            assert not (in_source and any(in_targets)), f"{body!r} is in its queue and at {in_targets}"
            assert not any(in_targets) or all(in_targets), f"{body!r} is at some targets: {in_targets}"

    def carry_on(self, found: dict[int, list[bytes]]) -> None:
        """What is not there was never promised, or taken: it may come back. One in two places goes its own ways."""
        there = {body for bodies in found.values() for body in bodies}
        at_targets = {body for queue_id in TARGETS for body in found[queue_id]}
        in_sources = {body for queue_id in SOURCES for body in found[queue_id]}
        self.taken |= (self.published.keys() - there) | (at_targets & in_sources)
        if self.death == FAILED:
            self.safe = set(there)
        # what a killed process had appended and not committed was promised to nobody, and no later commit covers it
        self.new = set()


def simulate(root: Path, seed: int, lives: int, steps: int) -> None:
    rng = random.Random(seed)
    world = World(root, rng)
    for _ in range(lives):
        fail_after = rng.randint(0, 60) if rng.random() < 0.4 else None
        death, compacts = rng.choice([KILLED, FAILED]), rng.random() < 0.3
        world.live(rng.randint(1, steps), death=death, fail_after=fail_after, compacts=compacts)
    world.live(0, death=KILLED)


def every_step(root: Path) -> int:
    """One life, ended at the n-th call of the disk, for every n. Returns how many there were."""
    number = 0
    while True:
        world = World(root / str(number), random.Random(1))
        world.compacts = False
        calls = _one_life(world, number)
        world.live(0, death=KILLED)
        if calls:
            return number
        number += 1


def _one_life(world: World, fail_after: int) -> bool:
    """Publishes, deaths and commits in turn; True where it came to its end."""
    world.rejected = Counter()
    world.add_queues()
    world.disk.fail_after = fail_after
    try:
        for _ in range(12):
            world.publish()
            world.see()
            world.reject()
            world.begin_commit()
            world.reject()
            world.see()
            world.end_commit()
            world.tidy()
    except PowerFailure:
        world.disk.fail_after = None
        world.die(FAILED)
        return False
    world.disk.fail_after = None
    world.die(FAILED)
    return True
