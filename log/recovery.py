"""Recovery: from the files that an earlier process left to the entries of every queue.

Reads all headers first and raises UnknownFormat before anything is changed. Sealed
segments are read from their index, others are scanned and get a new one. A torn tail
is cut off, damage costs the records that it hit, both are logged. Copies that a
compaction left behind are merged; an entry that is acknowledged in one copy is.
"""
from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from log.checksum import checksum
from log.disk import Disk
from log.formats import (
    ACKNOWLEDGED,
    DELIVERY_COUNT_MAX,
    ENTRY_DTYPE,
    ENTRY_REDELIVERED,
    FORMAT_VERSIONS_READ,
    HEADER_BYTES,
    HEADER_COPY_OFFSET,
    HEADER_DTYPE,
    HEADER_USED_BYTES,
    INDEX_COPIED,
    INDEX_SETTLED,
    MAGIC_ACKS,
    MAGIC_DATA,
    MAGIC_INDEX,
    MOVED,
    UnknownFormat,
)
from log.gathering import deal, gather, queue_id_range, raise_to_highest
from log.machine import last_run, open_run, went_down
from log.segment import Segment, segment_path

if TYPE_CHECKING:
    from log.store import Store

logger = logging.getLogger(__name__)

FILE_NAME = re.compile(r"([0-9a-f]{8,16})\.(data|index|acks)")
MAGIC_OF_KIND = {"data": MAGIC_DATA, "index": MAGIC_INDEX, "acks": MAGIC_ACKS}
# A file that claims to be of the log and cannot be read is kept under this name for a person to look at.
SET_ASIDE_SUFFIX = ".damaged"
# Queue ids within this range are counted in an array of that size, others through a sort.
DENSE_IDS_MAX = 1 << 22
# Spreads the ids of queues over all bits of an entry's key.
KEY_FACTOR = 0x9E3779B97F4A7C15
# What an entry of a missing ack map counts as: it may have been delivered.
DELIVERED_ONCE = 1

Entries = NDArray[np.void]


class Header(NamedTuple):
    """The header of a file that proved itself by its checksum."""

    segment_number: int
    salt: int
    whole: bool = True          # both copies of it are


class SegmentFiles(NamedTuple):
    """What a directory holds of one segment."""

    directory: str
    number: int
    headers: dict[str, Header | None]       # by kind; None: unreadable. A kind that is missing has no file.


def read_header(path: str, kind: str) -> Header | None:
    """The header of a file, None where neither copy is whole. UnknownFormat where it is of a newer version."""
    with open(path, "rb") as file:
        page = file.read(HEADER_BYTES)
    found: list[Header] = []
    for offset in (0, HEADER_COPY_OFFSET):
        raw = page[offset:offset + HEADER_USED_BYTES]
        if len(raw) < HEADER_USED_BYTES:
            continue
        header = np.frombuffer(raw, HEADER_DTYPE)[0]
        if raw[:8] != MAGIC_OF_KIND[kind] or checksum(raw[16:], checksum(raw[:12])) != int(header["header_crc32c"]):
            continue
        if int(header["version"]) not in FORMAT_VERSIONS_READ:
            raise UnknownFormat(path, int(header["version"]))
        found.append(Header(int(header["segment_number"]), int(header["salt"])))
    return found[0]._replace(whole=len(found) == 2) if found else None


def inventory(directory: str) -> list[SegmentFiles]:
    """The segments of a directory by number; raises UnknownFormat, changes nothing."""
    found: dict[int, SegmentFiles] = {}
    if not os.path.isdir(directory):
        return []
    for name in sorted(os.listdir(directory)):
        match = FILE_NAME.fullmatch(name)
        if match:
            number, kind = int(match[1], 16), match[2]
            files = found.setdefault(number, SegmentFiles(directory, number, {}))
            files.headers[kind] = read_header(os.path.join(directory, name), kind)
    return [found[number] for number in sorted(found)]


def check_formats(directories: Iterable[str]) -> None:
    """Raises UnknownFormat where one of the directories was written by a newer broker. Changes nothing."""
    for directory in directories:
        inventory(directory)
        last_run(directory)


def discard(directory: str) -> None:
    """Removes the segments of a directory: transient messages do not outlive the broker."""
    if os.path.isdir(directory):
        for path in Path(directory).iterdir():
            if FILE_NAME.fullmatch(path.name):
                path.unlink()


def recover(store: Store) -> dict[int, Entries]:
    """Opens all segments into the store and returns the live entries of every queue."""
    sources = [
        (inventory(store.durable_directory), True, False),
        (inventory(store.transient_directory), False, True),
        (inventory(store.spill_directory), False, False),
    ]
    down = went_down(store.disk, store.durable_directory)
    segments: list[Segment] = []
    for inventories, durable, in_memory in sources:
        for files in inventories:
            segment = open_segment(store, files, durable, in_memory)
            if segment is not None:
                segments.append(segment)
    for segment in segments:
        if down and segment.durable:
            # Its ack map may be older than what clients were given.
            acks = segment.acks_array()
            np.maximum(acks, DELIVERED_ONCE, out=acks)
        segment.count_live()
        store.adopt(segment, highest_numbers(segment))
    entries, queue_ids = merge(segments)
    for segment in segments:
        store.settle(segment)
    by_queue = split(entries, queue_ids)
    # This synchronises the directory, so that removed files stay removed: their entry numbers may be given again.
    open_run(store.disk, store.durable_directory)
    return by_queue


def open_segment(store: Store, files: SegmentFiles, durable: bool, in_memory: bool) -> Segment | None:
    """A segment ready to be read, None where its files held nothing (they are gone then)."""
    disk = store.disk
    path = segment_path(files.directory, files.number, "data")
    if "data" not in files.headers:
        # Removed before the broker died, but for the rest of its files.
        remove(disk, files)
        return None
    header = next((h for h in (files.headers.get(kind) for kind in ("data", "index", "acks"))
                   if h is not None and h.segment_number == files.number), None)
    size = os.path.getsize(path)
    if header is None or size <= HEADER_BYTES:
        if size > HEADER_BYTES and has_content(path):
            logger.error("%s has no readable header and is set aside; its messages are lost", path)
            disk.rename(path, path + SET_ASIDE_SUFFIX)
            store.count_damage(1)
        remove(disk, files)
        return None
    segment = Segment.open(
        disk, files.directory, files.number, durable=durable, in_memory=in_memory, salt=header.salt)
    if files.headers["data"] is None or not files.headers["data"].whole:
        segment.repair_header(store.now_ms())
    acks = files.headers.get("acks")
    if acks is not None and acks.salt != header.salt:
        # Of another life of these files.
        disk.remove(segment_path(files.directory, files.number, "acks"))
    seal = segment.seal_of_index()
    if seal is not None:
        data_bytes, entry_count = seal
        segment.attach(data_bytes, entry_count, DELIVERED_ONCE, store.now_ms())
        segment.sealed = True
        segment.close_files()
        if data_bytes > size:
            logger.error("%s has lost its last %d bytes", path, data_bytes - size)
        return segment
    entries, data_bytes, damage, torn_bytes = segment.scan()
    for position, lost_bytes, slots in damage:
        logger.error("%s: %d bytes at %d are damaged; %d entries are lost", path, lost_bytes, position, slots)
        store.count_damage(max(1, slots))
    if torn_bytes:
        logger.warning("%s: a torn tail of %d bytes is cut off", path, torn_bytes)
    if len(entries) == 0:
        remove(disk, files)
        return None
    segment.attach(data_bytes, len(entries), DELIVERED_ONCE, store.now_ms(), entries)
    if not in_memory:
        store.seal_later(segment)
    return segment


def remove(disk: Disk, files: SegmentFiles) -> None:
    for kind in ("data", "index", "acks"):
        if kind in files.headers:
            disk.remove(segment_path(files.directory, files.number, kind))


def has_content(path: str) -> bool:
    """Whether anything but zeros is in a file."""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            if block.count(0) != len(block):
                return True
    return False


def highest_numbers(segment: Segment) -> dict[int, int]:
    """The highest entry number of each queue in the segment, acknowledged or not."""
    index = segment.index_array()
    ids = queue_id_range(index)
    if ids is None:
        return {}
    lowest, highest = ids
    if highest - lowest < DENSE_IDS_MAX:
        table = np.zeros(highest - lowest + 1, np.uint64)
        raise_to_highest(index, lowest, table)
        found = np.nonzero(table)[0]
        return dict(zip((found + lowest).tolist(), table[found].tolist(), strict=True))
    index = index[index["position8"] != 0]
    unique, inverse = np.unique(index["queue_id"], return_inverse=True)
    table = np.zeros(len(unique), np.uint64)
    np.maximum.at(table, inverse, index["entry_number"])
    return dict(zip(unique.tolist(), table.tolist(), strict=True))


def numbered(queue_ids: NDArray[np.uint32], numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number for each entry of each queue. Two may have the same: then both are looked at more closely."""
    mixed: NDArray[np.uint64] = numbers ^ queue_ids.astype(np.uint64) * np.uint64(KEY_FACTOR)
    return mixed


def keys_of(index: NDArray[np.void]) -> NDArray[np.uint64]:
    return numbered(index["queue_id"], index["entry_number"])


def keys_in_several_places(segments: list[Segment]) -> NDArray[np.uint64]:
    """Of entries that there may be more than one of, sorted: as a copy, or as the word that one is settled."""
    keys = []
    for segment in segments:
        index = segment.index_array()
        keys.append(keys_of(index[(index["flags"] & (INDEX_COPIED | INDEX_SETTLED)) != 0]))
    return np.unique(np.concatenate(keys)) if keys else np.empty(0, np.uint64)


def is_among(keys: NDArray[np.uint64], several: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each of the keys is in a sorted array that is not empty."""
    places = np.searchsorted(several, keys)
    found: NDArray[np.bool_] = several[np.minimum(places, len(several) - 1)] == keys
    return found


def merge(segments: list[Segment]) -> tuple[Entries, NDArray[np.uint32]]:
    """All live entries and their queue ids; each message of a queue once."""
    several = keys_in_several_places(segments)
    chosen: list[NDArray[np.bool_]] = []
    for segment in segments:
        index, acks = segment.index_array(), segment.acks_array()
        # An entry that is acknowledged says nothing, unless another copy of it is not.
        wanted = acks < MOVED
        if len(several):
            wanted |= is_among(keys_of(index), several) & (index["position8"] != 0)
        chosen.append(wanted)
    count = sum(int(np.count_nonzero(wanted)) for wanted in chosen)
    entries: Entries = np.empty(count, ENTRY_DTYPE)
    queue_ids = np.empty(count, np.uint32)
    end = 0
    for segment, wanted in zip(segments, chosen, strict=True):
        index, acks = segment.index_array(), segment.acks_array()
        end += gather(index, acks, wanted, segment.place, entries[end:], queue_ids[end:])
    if len(several):
        copied = is_among(numbered(queue_ids, entries["number"]), several)
        kept, kept_ids = without_copies(segments, entries[copied], queue_ids[copied])
        entries = np.concatenate((entries[~copied], kept))
        queue_ids = np.concatenate((queue_ids[~copied], kept_ids))
    entries["flags"] |= np.where(entries["delivery_count"] > 0, ENTRY_REDELIVERED, 0).astype(np.uint16)
    np.minimum(entries["delivery_count"], DELIVERY_COUNT_MAX, out=entries["delivery_count"])
    return entries, queue_ids


def without_copies(segments: list[Segment], entries: Entries,
                   queue_ids: NDArray[np.uint32]) -> tuple[Entries, NDArray[np.uint32]]:
    """Keeps the last copy of each entry with the highest count of any; the others are marked as moved."""
    order = np.lexsort((entries["segment"], entries["number"], queue_ids))
    entries, queue_ids = entries[order], queue_ids[order]
    if len(entries) == 0:
        return entries, queue_ids
    same = (queue_ids[1:] == queue_ids[:-1]) & (entries["number"][1:] == entries["number"][:-1])
    first = np.nonzero(np.concatenate(([True], ~same)))[0]
    last = np.concatenate((~same, [True]))
    # An entry that was acknowledged in one copy is acknowledged; one that was moved says nothing.
    counts = np.maximum.reduceat(np.where(entries["delivery_count"] == MOVED, 0, entries["delivery_count"]), first)
    kept, others = entries[last], entries[~last]
    live = (counts != ACKNOWLEDGED) & (kept["delivery_count"] != MOVED)
    kept["delivery_count"] = counts
    # The others are given up for the kept ones, and for those that say that they are settled: these must be on the
    # disk first.
    sizes = np.diff(first, append=len(entries))
    in_doubt = (counts == ACKNOWLEDGED) & (np.minimum.reduceat(entries["delivery_count"], first) < MOVED)
    settled = np.repeat(in_doubt, sizes)
    trusted = np.unique(np.concatenate((
        kept["segment"][live & (sizes > 1)], entries["segment"][settled & (entries["delivery_count"] == ACKNOWLEDGED)],
    )))
    by_place = {segment.place: segment for segment in segments}
    for segment in (by_place[place] for place in trusted.tolist()):
        if segment.durable:
            segment.synchronise_data()
            segment.disk.synchronise_directory(segment.directory)
    for segment in segments:
        acks = segment.acks_array()
        rows = others[others["segment"] == segment.place]["slot"]
        acks[rows] = np.maximum(acks[rows], MOVED)
        # The count of a copy that is kept holds for the next recovery, too.
        own = kept["segment"] == segment.place
        rows = kept["slot"][own]
        acks[rows] = np.maximum(acks[rows], counts[own])
        segment.count_live()
    return kept[live], queue_ids[last][live]


def split(entries: Entries, queue_ids: NDArray[np.uint32]) -> dict[int, Any]:
    """The entries of each queue, by ascending number."""
    if len(entries) == 0:
        return {}
    lowest, highest = int(queue_ids.min()), int(queue_ids.max())
    names: list[int] | range = range(lowest, highest + 1)
    if highest - lowest >= DENSE_IDS_MAX:
        unique, places = np.unique(queue_ids, return_inverse=True)
        names, queue_ids, lowest, highest = unique.tolist(), places.astype(np.uint32), 0, len(unique) - 1
    dealt, bounds, unsorted = deal(entries, queue_ids, lowest, highest)
    by_queue: dict[int, Any] = {}
    for place in np.nonzero(np.diff(bounds))[0].tolist():
        part = dealt[bounds[place]:bounds[place + 1]]
        by_queue[names[place]] = part[np.argsort(part["number"], kind="stable")] if unsorted[place] else part
    return by_queue
