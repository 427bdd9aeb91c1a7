"""Prints a segment for a person: `warren log dump SEGMENT`.

Reads the files as they are, changes nothing and needs no running broker. A path of any
of the three files, or the common part of their names, will do.
"""
from __future__ import annotations

import datetime
import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from log.checksum import checksum
from log.formats import (
    ACKNOWLEDGED,
    HEADER_BYTES,
    INDEX_DTYPE,
    MOVED,
    NO_TTL,
    RECORD_APART,
    RECORD_BYTES_MAX,
    RECORD_COPIED,
    RECORD_DELAYED,
    RECORD_DIED,
    RECORD_DTYPE,
    RECORD_MESSAGE,
    RECORD_PERSISTENT,
    RECORD_QUEUE_DTYPE,
    RECORD_QUEUE_SETTLED,
    RECORD_QUEUE_TTL_IN_SECONDS,
    RECORD_ROOM,
    SEAL_DTYPE,
    SEAL_MAGIC,
    SEAL_OFFSET,
)
from log.recovery import read_header

SHOWN_BYTES_MAX = 64        # of a body
ALIGNMENT = 8
PLACE_BYTES = 8             # of a body that lies elsewhere: at the end of its record
STATES = {0: "ready", MOVED: "moved", ACKNOWLEDGED: "acknowledged"}


def dump(path: str) -> Iterator[dict[str, Any]]:
    """One dict for the segment, then one per record or damaged run, in the order of the file."""
    base = path.removesuffix(".data").removesuffix(".index").removesuffix(".acks")
    header = read_header(base + ".data", "data")
    acks = _read(base + ".acks")[HEADER_BYTES:]
    index = _read(base + ".index")
    data = np.memmap(base + ".data", np.uint8, "r") if os.path.getsize(base + ".data") else np.empty(0, np.uint8)
    yield {
        "kind": "segment",
        "path": base,
        "number": None if header is None else header.segment_number,
        "salt": None if header is None else header.salt,
        "data_bytes": len(data),
        "sealed": header is not None and _sealed(index, header.salt),
    }
    if header is None:
        return
    position = damaged_from = HEADER_BYTES
    while position + RECORD_DTYPE.itemsize <= len(data):
        record = _room(data, position, header.salt) or _record(data, position, header.salt)
        if record is None:
            position += ALIGNMENT
            continue
        if position > damaged_from:
            yield _damage(damaged_from, position)
        for queue in record.get("queues", ()):
            ack = acks[queue["slot"]] if queue["slot"] < len(acks) else 0
            settled = queue.pop("settled")
            queue["state"] = "settled" if settled else STATES.get(ack) or f"delivered {ack} times"
        yield record
        position += record["record_bytes"]
        damaged_from = position
    if data[damaged_from:].any():
        yield _damage(damaged_from, len(data))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _sealed(index: bytes, salt: int) -> bool:
    """Whether the index says that it is whole, and is."""
    if len(index) < HEADER_BYTES:
        return False
    raw = index[SEAL_OFFSET:SEAL_OFFSET + SEAL_DTYPE.itemsize]
    seal = np.frombuffer(raw, SEAL_DTYPE)[0]
    entries = index[HEADER_BYTES:HEADER_BYTES + int(seal["entry_count"]) * INDEX_DTYPE.itemsize]
    return (
        int(seal["seal_magic"]) == SEAL_MAGIC
        and int(seal["seal_crc32c"]) == checksum(raw[8:], salt)
        and int(seal["entries_crc32c"]) == checksum(entries, salt)
    )


def _damage(start: int, end: int) -> dict[str, Any]:
    return {"kind": "damage", "position": start, "bytes": end - start}


def _room(data: np.ndarray[Any, np.dtype[np.uint8]], position: int, salt: int) -> dict[str, Any] | None:
    """The room that begins at a position, None where none does."""
    raw = data[position:position + RECORD_DTYPE.itemsize].tobytes()
    head = np.frombuffer(raw, RECORD_DTYPE)[0]
    record_bytes = int(head["record_bytes"])
    place = (position // ALIGNMENT | record_bytes << 32).to_bytes(8, "little")
    if int(head["kind"]) != RECORD_ROOM or record_bytes % ALIGNMENT or position + record_bytes > len(data) \
            or checksum(raw[8:], checksum(place, salt)) != int(head["crc32c"]):
        return None
    return {"kind": "room", "position": position, "record_bytes": record_bytes}


def _record(data: np.ndarray[Any, np.dtype[np.uint8]], position: int, salt: int) -> dict[str, Any] | None:
    """The record at a position, None where there is none that proves itself."""
    head = np.frombuffer(data[position:position + RECORD_DTYPE.itemsize].tobytes(), RECORD_DTYPE)[0]
    record_bytes, queue_count = int(head["record_bytes"]), int(head["queue_count"])
    content = position + RECORD_DTYPE.itemsize + queue_count * RECORD_QUEUE_DTYPE.itemsize
    sizes = [int(head[name]) for name in ("exchange_bytes", "routing_key_bytes", "properties_bytes", "body_bytes")]
    flags = int(head["flags"])
    apart = bool(flags & RECORD_APART)
    used = content - position + sum(sizes[:3] if apart else sizes)
    if (
        int(head["kind"]) != RECORD_MESSAGE or queue_count == 0 or record_bytes > RECORD_BYTES_MAX
        or (used + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT + (PLACE_BYTES if apart else 0) != record_bytes
        or position + record_bytes > len(data)
    ):
        return None
    place = (position // ALIGNMENT | record_bytes << 32).to_bytes(8, "little")
    if checksum(data[position + 8:position + record_bytes].tobytes(), checksum(place, salt)) != int(head["crc32c"]):
        return None
    queues = np.frombuffer(data[position + RECORD_DTYPE.itemsize:content].tobytes(), RECORD_QUEUE_DTYPE)
    starts = [content + sum(sizes[:i]) for i in range(len(sizes) + 1)]
    exchange, routing_key, _, body = (data[a:b].tobytes() for a, b in itertools.pairwise(starts))
    if apart:
        start = int.from_bytes(data[position + record_bytes - PLACE_BYTES:position + record_bytes].tobytes(), "little")
        body = data[start:start + sizes[3]].tobytes()
    return {
        "kind": "message",
        "position": position,
        "record_bytes": record_bytes,
        "persistent": bool(flags & RECORD_PERSISTENT),
        "copied": bool(flags & RECORD_COPIED),
        "delayed": bool(flags & RECORD_DELAYED),
        "died": bool(flags & RECORD_DIED),
        "received_at_ms": int(head["received_at_ms"]),
        "ttl_ms": None if int(head["ttl_ms"]) == NO_TTL else int(head["ttl_ms"]),
        "priority": int(head["priority"]),
        "exchange": exchange.decode("utf-8", "backslashreplace"),
        "routing_key": routing_key.decode("utf-8", "backslashreplace"),
        "properties_bytes": sizes[2],
        "body_bytes": sizes[3],
        "body_start": body[:SHOWN_BYTES_MAX].decode("utf-8", "backslashreplace"),
        "queues": [
            {
                "queue_id": int(q["queue_id"]), "entry_number": int(q["entry_number"]), "slot": slot,
                "settled": bool(int(q["attributes"]) & RECORD_QUEUE_SETTLED),
                "ttl_ms": _queue_ttl_ms(int(q["attributes"])),
            }
            for slot, q in enumerate(queues, int(head["first_slot"]))
        ],
    }


def _queue_ttl_ms(attributes: int) -> int | None:
    """The TTL that a queue gave the message, None where it gave none."""
    ttl = attributes & (RECORD_QUEUE_TTL_IN_SECONDS - 1)
    if ttl == 0:
        return None
    return (ttl - 1) * 1000 if attributes & RECORD_QUEUE_TTL_IN_SECONDS else ttl - 1


def lines(path: str) -> Iterator[str]:
    """The dump as text, one line per record."""
    for item in dump(path):
        if item["kind"] == "segment":
            state = "sealed" if item["sealed"] else "not sealed"
            yield f"{item['path']}: segment {item['number']}, {item['data_bytes']} bytes, {state}"
        elif item["kind"] == "room":
            yield f"{item['position']:>12}  {item['record_bytes']:>8} bytes  room for what a gateway reads"
        elif item["kind"] == "damage":
            yield f"{item['position']:>12}  DAMAGED, {item['bytes']} bytes"
        else:
            received = datetime.datetime.fromtimestamp(item["received_at_ms"] / 1000, datetime.UTC)
            queues = ", ".join(f"{q['queue_id']}#{q['entry_number']} {q['state']}" for q in item["queues"])
            yield (
                f"{item['position']:>12}  {item['record_bytes']:>8} bytes  {received:%Y-%m-%dT%H:%M:%S}  "
                f"exchange {item['exchange']!r} key {item['routing_key']!r} "
                f"{'persistent' if item['persistent'] else 'transient'}{' copied' if item['copied'] else ''}"
                f"{' not before that' if item['delayed'] else ''}{' dead letter' if item['died'] else ''}  "
                f"body {item['body_bytes']} {item['body_start']!r}  queues {queues}"
            )


def main() -> int:
    """python -m log.dump SEGMENT"""
    if len(sys.argv) != 2:
        print("usage: python -m log.dump SEGMENT", file=sys.stderr)
        return 2
    for line in lines(sys.argv[1]):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
