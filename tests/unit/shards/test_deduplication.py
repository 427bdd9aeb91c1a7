"""Deduplication on one engine: what is a duplicate, for how long, and what of it survives a restart or a crash."""
from __future__ import annotations

import random
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amqp091.properties import Properties, encode
from log.formats import ENTRY_DTYPE, RECORD_IDENTIFIER
from shards.engine import Engine
from tests.unit.log.conftest import commit, run_chores
from tests.unit.shards.conftest import GATEWAYS, Bench
from tests.unit.shards.test_moving import FullDisk
from tests.unit.shards.test_queue_features import START_MS, FeatureBench
from tests.unit.shards.wire import Refused, publish, settle
from topology.deduplication import Deduplication, window_queue_id
from topology.features import QueueFeatures

WINDOW = window_queue_id(1)
NONE = np.empty(0, ENTRY_DTYPE)


class Window(FeatureBench):
    """Queue 1 deduplicates. Opens again what is on the disk, as often as the test likes."""

    def __init__(self, root: Path, *, header: str | None = None, ids_max: int = 100, window_ms: int | None = None,
                 now_ms: int = START_MS, options: dict[str, Any] | None = None, **features: Any) -> None:
        Bench.__init__(self, root, **(options or {}))
        self.root = root
        self.arguments: dict[str, Any] = {
            "header": header, "ids_max": ids_max, "window_ms": window_ms, "options": options, **features}
        self.engine = Engine(self.store, GATEWAYS, 1)
        self.engine.now_ms = now_ms
        recovered = self.store.recover()
        highest = self.store.highest_number(WINDOW)
        self.engine.add_queue(
            1, True, False, max(self.store.highest_number(1), highest),
            QueueFeatures(deduplication=Deduplication(header, ids_max, window_ms), **features))
        entries = recovered.get(1, NONE)
        self.engine.load_identifiers(1, recovered.get(WINDOW, NONE), entries, highest)
        if len(entries):
            self.engine.load(1, entries)

    def restarted(self) -> Window:
        """After an ordinary stop."""
        self.store.close()
        return Window(self.root, now_ms=self.engine.now_ms, **self.arguments)

    def killed(self, name: str, *, synced: bool = True) -> Window:
        """As after kill -9, in a copy of what is on the disk now."""
        if synced:
            commit(self.store)
        root = self.root.with_name(f"{self.root.name}-{name}")
        shutil.copytree(self.root, root)
        return Window(root, now_ms=self.engine.now_ms, **self.arguments)

    def send(self, *ids: object, **fields: Any) -> int:
        """Publishes, persistent, with these message-ids; how many the queue took."""
        before = self.engine.describe(1)["publish_count"]
        self.feed(*(message(one, **fields) for one in ids))
        return int(self.engine.describe(1)["publish_count"] - before)

    def drain(self) -> int:
        count = 0
        while self.get() is not None:
            count += 1
        return count

    @property
    def known(self) -> int:
        return int(self.engine.describe(1)["identifiers"])


def message(message_id: object, queue_ids: int | list[int] = 1, **fields: Any) -> bytes:
    fields = {"persistent": True, "body": b"%r" % message_id} | fields
    return publish(queue_ids, properties=encode(Properties(message_id=str(message_id))), **fields)


@pytest.fixture
def window(tmp_path: Path) -> Window:
    return Window(tmp_path / "log")


# -- what is a duplicate

def test_a_message_is_taken_once(window: Window) -> None:
    assert window.send("a", "b", "a", "c", "b", "a") == 3
    assert [window.get() for _ in range(4)] == [b"'a'", b"'b'", b"'c'", None]
    assert window.engine.describe(1)["duplicate_count"] == 3


def test_an_id_is_known_when_its_message_is_gone(window: Window) -> None:
    window.send("a")
    window.get()
    window.send("b")
    window.engine.purge(1)
    window.send("c")
    window.engine.delete_messages(1, [3])
    window.consume(no_ack=True)
    assert window.send("d") == 1                # straight to the consumer
    assert window.send("a", "b", "c", "d") == 0
    assert window.store.live_entries == 4


def test_a_message_without_an_id_is_never_a_duplicate(window: Window) -> None:
    window.feed(*[publish(1, b"same", properties=encode(Properties(headers={"a": 1})))] * 3)
    window.send("", "")
    assert (window.ready(), window.known) == (5, 0)


def test_a_duplicate_is_confirmed_and_refused_by_nobody(tmp_path: Path) -> None:
    window = Window(tmp_path, max_length=1, overflow="reject-publish-dlx")
    window.feed(message("a", sequence=1), message("a", sequence=2), message("b", sequence=3))
    assert window.take() == [Refused(1, 3)]
    assert window.deaths() == {"maxlen": 1}
    window.get()
    assert window.send("b") == 1                # it was not taken before


def test_each_queue_of_a_message_decides_for_itself(window: Window) -> None:
    window.engine.add_queue(5, True, False, 0, QueueFeatures(deduplication=Deduplication()))
    window.engine.add_queue(3, True, False)
    window.feed(message("a", 5), message("a", [1, 3, 5]), message("a", [5, 3, 1]))
    assert [window.ready(queue_id) for queue_id in (1, 3, 5)] == [1, 2, 1]
    again = window.restarted()
    assert again.send("a") == 0


def test_a_delayed_message_has_been_taken(window: Window) -> None:
    assert window.send("a", not_before_ms=START_MS + 100) == 1
    assert window.send("a") == 0
    window.at(100)
    assert window.ready() == 1


@pytest.mark.parametrize("properties, same", [
    (Properties(message_id="x", headers={"other": "x"}), None),
    (Properties(headers={"order": "x"}), b"x"),
    (Properties(message_id="y", headers={"order": "x"}), b"x"),
    (Properties(message_id="x", headers={"order": None}), None),
])
def test_with_a_header_named_nothing_else_is_the_id(tmp_path: Path, properties: Properties, same: bytes | None) -> None:
    window = Window(tmp_path, header="order")
    first = Properties(headers={"order": "x"})
    window.feed(publish(1, properties=encode(first)), publish(1, properties=encode(properties)))
    assert window.ready() == (2 if same is None else 1)


def test_the_header_goes_before_the_message_id(window: Window) -> None:
    window.feed(
        publish(1, properties=encode(Properties(message_id="1", headers={"x-deduplication-header": "x"}))),
        publish(1, properties=encode(Properties(message_id="1"))),
        publish(1, properties=encode(Properties(message_id="2", headers={"x-deduplication-header": "x"}))),
        publish(1, properties=encode(Properties(message_id="x"))))
    assert window.ready() == 2


# -- what the broker moves

@pytest.mark.parametrize("fields, sender", [({"died": True}, 0), ({}, GATEWAYS)], ids=["dead letter", "other shard"])
def test_what_was_in_a_queue_before_may_come_back(window: Window, fields: dict[str, Any], sender: int) -> None:
    window.send("a")
    window.feed(message("a", **fields), message("b", **fields), message("b", **fields), gateway=sender)
    assert (window.ready(), window.known) == (4, 2)
    assert window.send("a", "b") == 0


# -- for how long

def test_the_oldest_id_goes_for_the_newest(tmp_path: Path) -> None:
    window = Window(tmp_path, ids_max=3)
    assert window.send("a", "b", "c", "a", "d") == 4
    assert window.known == 3
    assert window.send("b", "c", "d") == 0
    assert window.send("a") == 1
    assert window.send("b") == 1


def test_an_id_goes_with_its_time(tmp_path: Path) -> None:
    window = Window(tmp_path, window_ms=100)
    window.send("a")
    window.engine.now_ms = START_MS + 60
    window.send("b")
    assert window.next_ms() == 100
    window.engine.now_ms = START_MS + 99
    assert window.send("a") == 0
    window.engine.now_ms = START_MS + 100       # without a timer
    assert window.send("a", "b") == 1
    assert window.drain() == 3
    window.at(100)
    assert (window.next_ms(), window.known) == (160, 2)
    window.at(160)
    window.at(200)
    assert (window.next_ms(), window.known, window.store.live_entries) == (None, 0, 0)


def test_a_queue_takes_its_ids_along(window: Window) -> None:
    window.send(*range(50))
    window.engine.remove_queue(1)
    assert window.store.live_entries == 0


# -- restarts and crashes

@pytest.mark.parametrize("persistent", [True, False])
def test_ids_survive_with_what_their_messages_survive(window: Window, persistent: bool) -> None:
    window.send("gone", "there", persistent=persistent)
    window.get()
    again = window.killed("1")                  # of the shard: what is in memory stays
    assert (again.ready(), again.known) == (1, 2)
    assert again.send("gone", "there", "new", persistent=persistent) == 1
    third = again.restarted()
    assert third.send("gone", "there", "new") == 0


def test_a_quorum_queue_keeps_all_its_ids(tmp_path: Path) -> None:
    window = Window(tmp_path, queue_type="quorum")
    window.send("gone", "there", persistent=False)
    window.get()
    assert window.restarted().send("gone", "there", "new", persistent=False) == 1


def test_what_a_full_disk_refused_was_not_taken(tmp_path: Path) -> None:
    disk = FullDisk()
    window = Window(tmp_path, options={"segment_bytes": 64 << 10, "disk": disk})
    taken = [window.send(0)]
    window.store.take_chores()
    disk.full = True
    taken += [window.send(number, body=bytes(9000)) for number in range(1, 20)]
    assert 1 < sum(taken) < 20 and window.known == sum(taken)
    disk.full = False
    assert window.send(*range(20)) == 20 - sum(taken)
    assert window.restarted().known == 20


def test_the_window_goes_on_after_a_restart(tmp_path: Path) -> None:
    window = Window(tmp_path, ids_max=3, window_ms=1000)
    window.send("a", "b", "c")
    window.engine.now_ms += 500
    again = window.restarted()
    assert again.send("d") == 1
    assert again.send("b", "c", "d") == 0
    assert again.send("a") == 1
    again.engine.now_ms = START_MS + 1000       # b and c left for d and a, which came later
    assert again.send("d", "a") == 0
    third = again.restarted()
    third.at(1000)
    assert (third.next_ms(), third.known) == (1500, 2)
    third.at(1500)
    assert third.known == 0


def test_what_was_not_written_is_taken_again(window: Window) -> None:
    window.send("safe")
    commit(window.store)
    window.send("lost")
    again = window.killed("1", synced=False)
    assert again.send("safe") == 0
    assert again.send("lost") == 1


def test_the_id_of_a_message_that_has_none_in_the_log_is_taken_from_the_message(tmp_path: Path) -> None:
    """As if the process had died between the two."""
    plain = FeatureBench(tmp_path / "log")
    plain.feed(message("a"), message("b"))
    plain.store.close()
    window = Window(tmp_path / "log")
    assert window.known == 2
    assert window.send("a", "b") == 0
    window.drain()
    assert window.restarted().send("a", "b") == 0


def test_a_message_that_outlived_its_id_is_no_reason_to_remember_it_again(tmp_path: Path) -> None:
    window = Window(tmp_path, ids_max=2)
    window.send("a", "b", "c", "d")
    again = window.restarted()
    assert (again.ready(), again.known) == (4, 2)
    assert again.send("a") == 1


def identifier_record(data: bytes) -> int:
    """Where the first record of an id begins."""
    for position in range(4096, len(data), 8):
        if data[position + 8 : position + 10] == bytes([1, RECORD_IDENTIFIER]):
            return position
    raise AssertionError("no id in the log")


def test_an_id_without_its_message_is_not_believed(window: Window) -> None:
    """Power failed, and of what was not synchronised the message is lost and its id is there."""
    window.send("a")
    commit(window.store)
    root = window.root.with_name("damaged")
    shutil.copytree(window.root, root)
    (path,) = (root / "durable").glob("*.data")
    data = bytearray(path.read_bytes())
    behind = identifier_record(bytes(data))
    data[behind - 8 : behind] = bytes(8)
    path.write_bytes(data)
    again = Window(root)
    assert (again.ready(), again.known) == (0, 0)
    assert again.send("a") == 1
    third = again.restarted()
    assert (third.ready(), third.known) == (1, 1)
    assert third.send("a") == 0


def test_every_id_is_believed_wherever_segments_end(tmp_path: Path) -> None:
    window = Window(tmp_path, ids_max=2000, options={"segment_bytes": 4096})
    window.engine.add_queue(5, True, False, 0, QueueFeatures(deduplication=Deduplication()))
    for number in range(300):
        window.feed(message(number, [1, 5], body=b"x" * (number * 37 % 1500)))
        if number % 50 == 0:
            commit(window.store)
            run_chores(window.store)
    window.drain()
    again = window.restarted()
    assert again.known == 300
    assert again.send(*range(300)) == 0


@pytest.mark.parametrize("body_bytes", [10, 5000])
def test_ids_do_not_hold_on_to_the_segments_of_their_messages(tmp_path: Path, body_bytes: int) -> None:
    window = Window(tmp_path, ids_max=300, options={"segment_bytes": 64 << 10})
    window.store.compacted_bytes_min = 0
    for number in range(300):
        window.send(number, body=b"x" * body_bytes)
    window.drain()
    for _ in range(3):
        commit(window.store)
        run_chores(window.store)
        while window.store.compact(1 << 20):
            pass
    commit(window.store)
    run_chores(window.store)
    assert sum(path.stat().st_size for path in (tmp_path / "durable").glob("*.data")) < 64 << 10 << 2
    assert window.send(*range(300)) == 0
    again = window.restarted()
    assert again.known == 300
    assert again.send(*range(300), 300) == 1
    assert again.send(0) == 1                   # it left for 300


@pytest.mark.parametrize("seed", range(3))
def test_against_a_model(tmp_path: Path, seed: int) -> None:
    """Publishes and deliveries with restarts, kills and compactions in between, as the clock goes on."""
    chance = random.Random(seed)
    ids_max, window_ms = chance.choice([3, 40, 400]), chance.choice([None, 5000])
    window = Window(tmp_path / "log", ids_max=ids_max, window_ms=window_ms, options={"segment_bytes": 16 << 10})
    window.store.compacted_bytes_min = 0
    known: OrderedDict[int, int] = OrderedDict()
    ready = 0
    for step in range(60):
        now_ms = window.engine.now_ms
        for one in (chance.randrange(3 * ids_max) for _ in range(chance.choice([1, 30]))):
            if window_ms is not None:
                while known and next(iter(known.values())) + window_ms <= now_ms:
                    known.popitem(last=False)
            taken = one not in known
            assert window.send(one, body=b"x" * chance.randrange(900)) == taken
            if taken:
                ready += 1
                known[one] = now_ms
                if len(known) > ids_max:
                    known.popitem(last=False)
        if chance.random() < 0.5:
            ready -= window.drain()
            assert ready == 0
        commit(window.store)
        run_chores(window.store)
        window.store.compact(1 << 20)
        if chance.random() < 0.15:
            window = window.restarted() if chance.random() < 0.5 else window.killed(str(step))
            window.store.compacted_bytes_min = 0
            assert window.ready() == ready
        window.engine.now_ms += chance.choice([0, 100, 2000])
        window.engine.expire(window.engine.now_ms)
    window.drain()
    window.engine.remove_queue(1)
    assert window.store.live_entries == 0


def test_an_idle_window_is_small_and_a_full_one_has_its_bound(tmp_path: Path) -> None:
    window = Window(tmp_path, ids_max=5000)
    empty = window.engine.describe(1)["memory_bytes"]
    window.engine.receive(0, b"".join(message(number, body=b"") for number in range(20_000)))
    window.drain()
    assert window.known == 5000
    assert empty < 1000
    assert 5000 * 40 <= window.engine.describe(1)["memory_bytes"] - empty < 5000 * 80
    assert window.send(*range(15_000, 20_000)) == 0


def test_acks_and_requeues_leave_ids_alone(window: Window) -> None:
    window.consume(prefetch=10)
    window.send("a", "b")
    window.feed(settle(1, 1), settle(1, 2, 1))
    assert window.send("a", "b") == 0
