"""Large bodies stay in the log: what a delivery says of them, and how long the log keeps still for it."""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from bus.lent import LentFile
from bus.limits import LENT_BODY_BYTES_MIN
from tests.unit.shards.conftest import GATEWAYS, Bench
from tests.unit.shards.wire import DELIVER, REQUEUE, Json, parse, publish, settle

DELIVER_KIND, LENT = 16, 4
LENT_BODY = struct.Struct("<QQ")
BODY_BYTES = LENT_BODY_BYTES_MIN
SEGMENT_BYTES = 8 * BODY_BYTES


class Link:
    """As far as the engine knows a link: positions alone."""

    def __init__(self) -> None:
        self.sent_position = 0


class Borrower:
    """A gateway that maps what it is lent."""

    def __init__(self, bench: Bench, gateway: int = 0) -> None:
        self.bench = bench
        self.gateway = gateway
        self.link = Link()
        self.files: dict[int, LentFile] = {}
        self.paths: dict[int, str] = {}
        self.bodies: list[bytes] = []
        self.places: list[tuple[int, int]] = []
        bench.engine.set_borrowing(gateway, True)

    def take(self) -> list[tuple[int, int]]:
        """A batch, not given back yet: (file, position) of each delivery; what it says of files is done."""
        raw = bytes(self.bench.engine.outgoing(self.gateway))
        self.link.sent_position += len(raw)
        self.bench.engine.sent(self.gateway, self.link)
        places: list[tuple[int, int]] = []
        position = 0
        while position < len(raw):
            size, kind, flags = struct.unpack_from("<IBB", raw, position)
            if kind == DELIVER_KIND:
                assert flags & LENT, "copied"
                file, place = LENT_BODY.unpack_from(raw, position + DELIVER.size)
                body_bytes = DELIVER.unpack_from(raw, position)[6]
                self.bodies.append(self.files[file].read(place, body_bytes))
                places.append((file, place))
            else:
                (event,) = parse(raw[position:position + size])
                assert isinstance(event, Json)
                self._hear(event.document)
            position += size
        self.places += places
        return places

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "lend":
            self.files[event["file"]] = LentFile(event["path"], event["bytes"], bytes.fromhex(event["beginning"]))
            self.paths[event["file"]] = event["path"]
        elif event["event"] == "lend_end":
            del self.files[event["file"]]

    def give_back(self) -> None:
        self.bench.engine.returned(self.gateway, self.link.sent_position)
        self.bench.engine.end_loans()


def large(number: int, size: int = BODY_BYTES) -> bytes:
    return b"%08d" % number + bytes([number % 251]) * (size - 8)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, segment_bytes=SEGMENT_BYTES)
    made.engine.add_queue(1, True, False)
    return made


def run_chores(bench: Bench) -> None:
    for chore in bench.store.take_chores():
        chore.run()
        chore.finish()


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("waiting", [False, True], ids=["direct", "from a backlog"])
def test_a_large_body_is_found_in_the_log(bench: Bench, persistent: bool, waiting: bool) -> None:
    borrower = Borrower(bench)
    bodies = [large(number, BODY_BYTES + number) for number in range(20)]
    if not waiting:
        bench.consume()
    for body in bodies:
        bench.feed(publish(1, body, persistent=persistent, exchange=b"ex", properties=b"\x80\0\4text"))
    if waiting:
        bench.consume()
    while borrower.take():
        bench.engine.dispatch()
    assert borrower.bodies == bodies
    assert bench.store.live_entries == len(bodies)


def test_a_small_body_is_copied_and_so_is_what_goes_over_a_link_that_shares_nothing(bench: Bench) -> None:
    bench.engine.set_borrowing(0, True)
    bench.consume(1)
    bench.consume(2, gateway=1)
    bench.feed(publish(1, b"x" * (BODY_BYTES - 1)), publish(1, large(1)))
    assert [len(body) for body in bench.bodies(0)] == [BODY_BYTES - 1]
    assert bench.bodies(1) == [large(1)]
    assert bench.engine.loan_count == 0


def test_a_redelivery_has_its_count_and_the_body_where_it_was(bench: Bench) -> None:
    borrower = Borrower(bench)
    bench.consume()
    bench.feed(publish(1, large(7), persistent=True))
    first = borrower.take()
    bench.feed(settle(1, 1, REQUEUE))
    assert borrower.take() == first
    assert borrower.bodies == [large(7)] * 2


def test_without_acks_a_lent_segment_waits_until_the_batch_is_given_back(bench: Bench) -> None:
    """Nothing of it is live any more: it would be written over, or removed."""
    borrower = Borrower(bench)
    bench.consume(no_ack=True)
    bodies = [large(number) for number in range(60)]
    for number, body in enumerate(bodies):
        bench.feed(publish(1, body))
        borrower.take()
        assert bench.store.live_entries == 0
        if number % 20 == 19:
            run_chores(bench)
            mapped = [borrower.files[file].read(0, 8) for file in borrower.files]
            assert all(magic == b"WRNDATA\0" for magic in mapped)
            assert all(Path(path).exists() for path in borrower.paths.values())
    assert borrower.bodies == bodies
    lent = set(borrower.files)
    assert len(lent) > 5 and bench.engine.loan_count == 60
    borrower.give_back()
    assert bench.engine.loan_count == 0
    run_chores(bench)
    borrower.take()
    assert set(borrower.files) < lent, "it hears of files that are gone"
    assert [Path(path).exists() for file, path in borrower.paths.items() if file not in borrower.files] == \
        [False] * (len(lent) - len(borrower.files))


def test_a_segment_that_is_used_again_is_not_told_of_twice(bench: Bench) -> None:
    borrower = Borrower(bench)
    bench.consume(no_ack=True)
    for number in range(60):
        bench.feed(publish(1, large(number)))
        borrower.take()
        borrower.give_back()
        run_chores(bench)
    assert borrower.bodies == [large(number) for number in range(60)]
    assert len(borrower.paths) <= 3


def test_a_batch_that_goes_nowhere_lends_nothing(bench: Bench) -> None:
    Borrower(bench)
    bench.consume(no_ack=True)
    for number in range(20):
        bench.feed(publish(1, large(number)))
        bench.engine.sent(0)
    assert bench.engine.loan_count == 0
    assert bench.store.statistics()["segments"] <= 2


def test_a_gateway_that_dies_gives_everything_back(bench: Bench) -> None:
    borrower = Borrower(bench)
    bench.consume(no_ack=True)
    for number in range(30):
        bench.feed(publish(1, large(number)))
        borrower.take()
    assert bench.store.statistics()["segments"] > 2
    bench.engine.gateway_down(0)
    assert bench.engine.loan_count == 0
    assert bench.store.statistics()["segments"] <= 2
    bench.engine.end_loans()
    assert bytes(bench.engine.outgoing(0)) == b"", "nobody is there to be told"
    successor = Borrower(bench)
    bench.consume(no_ack=True)
    bench.feed(publish(1, large(31)))
    assert successor.take() and successor.bodies == [large(31)]


@pytest.mark.parametrize("mib", [1, 4], ids=["a segment that is full", "the tail"])
def test_what_a_broken_link_has_lent_is_not_written_over(tmp_path: Path, mib: int) -> None:
    """A gateway whose link is made anew lives, and may be writing these bytes to a socket just now."""
    bench = Bench(tmp_path, segment_bytes=mib << 20)
    bench.engine.add_queue(1, False, False)
    borrower = Borrower(bench)
    bench.consume(no_ack=True)
    bodies = [large(number) for number in range(60)]
    for body in bodies:
        bench.feed(publish(1, body))
        borrower.take()
    bench.engine.gateway_down(0)
    assert bench.engine.loan_count == 0
    successor = Borrower(bench)
    bench.consume(no_ack=True)
    for number in range(200, 440):
        bench.feed(publish(1, large(number)))
        successor.take()
        successor.give_back()
        run_chores(bench)
    assert [borrower.files[file].read(place, BODY_BYTES) for file, place in borrower.places] == bodies


def test_every_gateway_has_loans_of_its_own(bench: Bench) -> None:
    borrowers = [Borrower(bench, gateway) for gateway in range(GATEWAYS)]
    bench.engine.add_queue(2, False, False)
    for gateway in range(GATEWAYS):
        bench.consume(gateway + 1, queue_id=gateway + 1, gateway=gateway, no_ack=True)
    for number in range(20):
        bench.feed(publish([1, 2], large(number)))
        assert [len(borrower.take()) for borrower in borrowers] == [1, 1]
        borrowers[0].give_back()
    assert bench.store.statistics()["segments"] > 2, "the second still reads"
    borrowers[1].give_back()
    assert bench.store.statistics()["segments"] <= 2
    assert borrowers[0].bodies == borrowers[1].bodies


def test_a_compacted_segment_keeps_its_files_while_it_is_lent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, segment_bytes=SEGMENT_BYTES)
    bench.store.compacted_bytes_min = 1
    bench.engine.add_queue(1, False, False)
    borrower = Borrower(bench)
    bench.consume()
    bodies = [large(number) for number in range(16)]
    for body in bodies:
        bench.feed(publish(1, body))
    while borrower.take():
        bench.engine.dispatch()
    old = min(borrower.files)
    bench.feed(*(settle(1, number) for number in range(2, 17)))     # all but the first: sparse
    while bench.store.compact(1 << 20):
        pass
    run_chores(bench)
    assert Path(borrower.paths[old]).exists()
    borrower.give_back()
    bench.store.compact(1 << 20)
    run_chores(bench)
    assert not Path(borrower.paths[old]).exists()
    bench.feed(settle(1, 1, REQUEUE))
    borrower.take()
    assert borrower.bodies == [*bodies, bodies[0]]


def test_the_window_of_a_connection_counts_bodies_wherever_they_lie(bench: Bench) -> None:
    borrower = Borrower(bench)
    bench.consume()
    for number in range(200):
        bench.feed(publish(1, large(number)))
    total = 0
    while places := borrower.take():
        total += len(places)
        bench.engine.dispatch()
    assert (1 << 20) // BODY_BYTES - 1 <= total <= (1 << 20) // BODY_BYTES + 1


def test_only_so_many_files_are_known_at_a_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, segment_bytes=BODY_BYTES)
    bench.engine.add_queue(1, False, False)
    borrower = Borrower(bench)
    bench.consume(connection=1)
    for number in range(50):
        bench.feed(publish(1, large(number)))
        borrower.take()
    assert len(borrower.files) == 32 < len(borrower.paths)
    assert borrower.bodies == [large(number) for number in range(50)]
