"""Files of a stopped broker that are damaged: the start works, only what was hit is lost, and the log says so."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from log.dump import dump
from log.formats import HEADER_COPY_OFFSET
from tests.harness.client import connect
from tests.harness.warren import Warren

QUEUE = "durable"
COUNT = 400
BODY_BYTES = 5000
SEGMENT_BYTES = 1 << 20
"""Two segments are full then, and one is begun."""
PIECE = 50


def body(number: int) -> bytes:
    return f"{number:06}".encode().ljust(BODY_BYTES, b".")


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data directories with COUNT messages in one queue: of a broker that was killed, and of one that stopped."""
    made = Warren(tmp_path_factory.mktemp("whole"), gateways=1, shards=1, segment_bytes=SEGMENT_BYTES)
    made.start()
    with connect(made.endpoint) as client:
        channel = client.channel()
        channel.declare(QUEUE, durable=True)
        channel.confirm()
        for first in range(0, COUNT, PIECE):
            channel.persistent(QUEUE, [body(number) for number in range(first, first + PIECE)])
            assert not channel.wait_confirms(first + PIECE, first + 1)
    found = {state: made.directory / state for state in ("killed", "stopped")}
    made.kill_all()
    shutil.copytree(made.data, found["killed"])
    made.start()
    assert made.stop() == 0
    shutil.copytree(made.data, found["stopped"])
    return found


@pytest.fixture
def server(request: pytest.FixtureRequest, templates: dict[str, Path], tmp_path: Path) -> Iterator[Warren]:
    """A broker, not running, on a copy of the data directory of one that was killed (or as the parameter says)."""
    one = Warren(tmp_path / "damaged", gateways=1, shards=1, segment_bytes=SEGMENT_BYTES)
    shutil.copytree(templates[getattr(request, "param", "killed")], one.data)
    yield one
    one.kill_all()


stopped = pytest.mark.parametrize("server", ["stopped"], indirect=True)


def segments(server: Warren) -> list[str]:
    """The data files of the log's segments, oldest first."""
    directory = server.data / "shards" / "0" / "durable"
    return sorted(str(path) for path in directory.glob("*.data") if list(dump(str(path)))[1:])


def records(path: str) -> list[dict[str, Any]]:
    return [item for item in dump(path) if item["kind"] == "message"]


def number_in(record: dict[str, Any]) -> int:
    return int(record["body_start"][:6])


def flip(path: str, position: int) -> None:
    """Turns one byte into another."""
    with open(path, "r+b") as file:
        file.seek(position)
        old = file.read(1)[0]
        file.seek(position)
        file.write(bytes([old ^ 0x5A]))


def what_is_left(server: Warren, count: int) -> list[int]:
    """The numbers of the messages, all acknowledged; there must be so many, and no more."""
    with connect(server.endpoint) as client:
        channel = client.channel()
        channel.consume(QUEUE, "reader")
        messages = channel.deliveries(count)
        channel.ack(messages[-1].delivery_tag, multiple=True)
        channel.expect_nothing(QUEUE)
        assert channel.count(QUEUE) == 0
        channel.confirm()
        channel.persistent(QUEUE, [b"afterwards"])
        arrived = [client.next_on(1), client.next_on(1)]  # the confirm and the delivery
        assert [arrival.message.body for arrival in arrived if arrival.message is not None] == [b"afterwards"]
        for message in messages:
            number = int(message.body[:6])
            assert message.body == body(number)
        return [int(message.body[:6]) for message in messages]


def wipe(path: str, start: int, end: int) -> None:
    """Zeros, as a power failure leaves them where a page was never written."""
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(bytes(end - start))


def all_but(lost: set[int]) -> list[int]:
    return [number for number in range(COUNT) if number not in lost]


def test_a_torn_tail_is_cut_off(server: Warren) -> None:
    path = segments(server)[-1]
    last = records(path)[-1]
    assert number_in(last) == COUNT - 1
    wipe(path, last["position"] + last["record_bytes"] // 2, last["position"] + last["record_bytes"])
    server.start()
    assert f"{path}: a torn tail of" in server.log_path.read_text()
    assert what_is_left(server, COUNT - 1) == all_but({COUNT - 1})


def test_a_file_that_ends_too_early(server: Warren) -> None:
    path = segments(server)[-1]
    last = records(path)[-1]
    os.truncate(path, last["position"] + last["record_bytes"] // 2)
    server.start()
    assert f"{path}: a torn tail of" in server.log_path.read_text()
    assert what_is_left(server, COUNT - 1) == all_but({COUNT - 1})


def test_flipped_bytes_anywhere_cost_only_their_records(server: Warren) -> None:
    sealed, *_, tail = segments(server)
    hit = records(tail)[3:27:6]
    # The body, the length, the checksum, the number of queues.
    for record, place in zip(hit, (record_middle(hit[0]), 1, 5, 45), strict=True):
        flip(tail, record["position"] + place)
    in_sealed = records(sealed)[10]
    flip(sealed, in_sealed["position"] + record_middle(in_sealed))
    server.start()
    lost = {number_in(record) for record in (*hit, in_sealed)}
    reported = rf"{re.escape(tail)}: \d+ bytes at \d+ are damaged; 1 entries are lost"
    assert len(re.findall(reported, server.log_path.read_text())) == len(hit)
    assert what_is_left(server, COUNT - len(lost)) == all_but(lost)
    assert len(re.findall(rf"{re.escape(sealed)}.* damaged", server.log_path.read_text())) == 1


def record_middle(record: dict[str, Any]) -> int:
    return int(record["record_bytes"]) // 2


@stopped
def test_a_flipped_byte_after_an_orderly_stop(server: Warren) -> None:
    path = segments(server)[0]
    assert next(iter(dump(path)))["sealed"]
    hit = records(path)[10]
    flip(path, hit["position"] + record_middle(hit))
    server.start()
    assert what_is_left(server, COUNT - 1) == all_but({number_in(hit)})
    assert len(re.findall(rf"{re.escape(path)}.* damaged", server.log_path.read_text())) == 1, "nobody was told"


@stopped
def test_indexes_and_ack_maps_are_made_anew(server: Warren) -> None:
    first, second, *_ = segments(server)
    flip(first.replace(".data", ".index"), 5000)
    for kind in ("index", "acks"):
        os.unlink(second.replace(".data", f".{kind}"))
    server.start()
    assert what_is_left(server, COUNT) == all_but(set())


@stopped
def test_garbage_instead_of_a_segment_is_set_aside(server: Warren) -> None:
    path = segments(server)[0]
    lost = {number_in(record) for record in records(path)}
    for kind in ("data", "index", "acks"):
        with open(path.replace(".data", f".{kind}"), "r+b") as file:
            file.write(os.urandom(8192))
    server.start()
    assert f"{path} has no readable header and is set aside" in server.log_path.read_text()
    assert what_is_left(server, COUNT - len(lost)) == all_but(lost)


SQLITE_WORKING_FILES = ("-shm", "-wal")
"""Beside a database that a process had open when it was told to end: they say nothing that the database does not."""


def snapshot(directory: Path) -> dict[str, tuple[str, int]]:
    """Every file of a data directory, with the digest of its content and the time of its last change."""
    return {
        str(path.relative_to(directory)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.endswith(SQLITE_WORKING_FILES)
    }


def refused(server: Warren) -> str:
    """The start must fail; what it said. Nothing of the data may have been touched."""
    before = snapshot(server.data)
    with pytest.raises(RuntimeError):
        server.start()
    assert snapshot(server.data) == before
    said = [line for line in server.log_path.read_text().splitlines() if line.startswith("warren: ")]
    assert len(said) == 1, said
    return said[0]


@stopped
@pytest.mark.parametrize("kind", ["data", "index", "acks"])
def test_an_unknown_version_of_a_segment_stops_the_start(server: Warren, kind: str) -> None:
    path = segments(server)[1].replace(".data", f".{kind}")
    give_version(path, 99)
    message = refused(server)
    assert os.path.basename(path) in message and "99" in message, message


def give_version(path: str, version: int) -> None:
    """As a newer broker would have written the header of a file of the log, with its checksum."""
    from log.checksum import checksum

    with open(path, "r+b") as file:
        for offset in (0, HEADER_COPY_OFFSET):
            file.seek(offset)
            raw = bytearray(file.read(64))
            raw[8:12] = version.to_bytes(4, "little")
            raw[12:16] = checksum(bytes(raw[16:]), checksum(bytes(raw[:12]))).to_bytes(4, "little")
            file.seek(offset)
            file.write(raw)


@stopped
def test_an_unknown_version_of_the_catalog_stops_the_start(server: Warren) -> None:
    with sqlite3.connect(server.data / "catalog.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    message = refused(server)
    assert "catalog" in message and "99" in message, message


@stopped
def test_an_unknown_version_of_the_data_directory_stops_the_start(server: Warren) -> None:
    identity = server.data / "identity.json"
    identity.write_text(identity.read_text().replace('"format":1', '"format":99'))
    message = refused(server)
    assert "format 99" in message, message


@stopped
def test_a_catalog_that_is_no_database_stops_the_start(server: Warren) -> None:
    (server.data / "catalog.db").write_bytes(b"no database at all" * 1000)
    message = refused(server)
    assert "catalog.db" in message, message
