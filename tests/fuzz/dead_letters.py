"""The headers of dead letters written a second time, in plain Python over pieces that the reference cuts."""
from __future__ import annotations

import struct
from typing import NamedTuple

from tests.fuzz.reference import HEADERS_PLACE, array_parts, edited, field_parts, property_parts

EXPIRATION = 1 << 8
EXPIRATION_PLACE = 7
DEATHS_BYTES_MAX = 64 << 10
FIRST = [b"x-first-death-" + part for part in (b"reason", b"queue", b"exchange")]
LAST = [b"x-last-death-" + part for part in (b"reason", b"queue", b"exchange")]


class Death(NamedTuple):
    queue: bytes
    reason: str
    recorded: bool
    exchange: bytes = b""
    routing_key: bytes = b""
    rekeyed: bool = False
    time_s: int = 0


def long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def text(data: bytes) -> bytes:
    return b"S" + long(data)


def field(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + value


def first(fields: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value, with its letter, of the first field of that name."""
    return next((whole[1 + len(name):] for other, whole in fields if other == name), None)


def headers_of(properties: bytes) -> list[tuple[bytes, bytes]]:
    table = property_parts(properties)[HEADERS_PLACE]
    return field_parts(table[4:]) if table is not None else []


def deaths_of(properties: bytes, death: Death) -> list[bytes] | None:
    found = first(headers_of(properties), b"x-death") if death.recorded else None
    return array_parts(found[5:]) if found is not None and found[:1] == b"A" else None


def entry_fields(entry: bytes) -> list[tuple[bytes, bytes]] | None:
    return field_parts(entry[5:]) if entry[:1] == b"F" else None


def is_of(entry: bytes, death: Death) -> bool:
    fields = entry_fields(entry)
    return fields is not None and first(fields, b"queue") == text(death.queue) and \
        first(fields, b"reason") == text(death.reason.encode())


def with_death(properties: bytes, death: Death) -> bytes:
    reason = death.reason.encode()
    earlier = deaths_of(properties, death)
    match = next((entry for entry in earlier or [] if is_of(entry, death)), None)
    count = first(entry_fields(match) or [], b"count") if match is not None else None
    if match is not None and count is not None and count[:1] == b"l":
        more = (struct.unpack(">Q", count[1:])[0] + 1) % (1 << 64)
        fields = entry_fields(match) or []
        place = next(i for i, (name, _) in enumerate(fields) if name == b"count")
        fields[place] = (b"count", field(b"count", b"l" + struct.pack(">Q", more)))
        entry = b"F" + long(b"".join(whole for _, whole in fields))
    else:
        expiration = property_parts(properties)[EXPIRATION_PLACE]
        carbon = first(headers_of(properties), b"CC")
        keys = [text(death.routing_key)]
        if carbon is not None and carbon[:1] == b"A":
            keys += [value for value in array_parts(carbon[5:]) if value[:1] == b"S"]
        entry = b"F" + long(
            (b"" if expiration is None else field(b"original-expiration", text(expiration[1:])))
            + field(b"count", b"l" + struct.pack(">Q", 1))
            + field(b"reason", text(reason))
            + field(b"queue", text(death.queue))
            + field(b"time", b"T" + struct.pack(">Q", death.time_s))
            + field(b"exchange", text(death.exchange))
            + field(b"routing-keys", b"A" + long(b"".join(keys)))
        )
    entries = entry
    for other in earlier or []:
        if not is_of(other, death):
            if 4 + len(entries) + len(other) > DEATHS_BYTES_MAX:
                break
            entries += other
    added = field(b"x-death", b"A" + long(entries))
    for names in [LAST] if earlier is not None else [FIRST, LAST]:
        for name, value in zip(names, (reason, death.queue, death.exchange), strict=True):
            added += field(name, text(value))
    removed = [b"x-death", *LAST]
    if earlier is None:
        removed += FIRST
    if death.rekeyed:
        removed += [b"CC", b"BCC"]
    return edited(properties, EXPIRATION, removed, added)


def goes_in_circles(properties: bytes, death: Death, target: bytes) -> bool:
    """By the list that the dead letter would have: up to the entry of the target, none is a rejection."""
    if death.reason == "rejected":
        return False
    entries: list[tuple[bytes | None, bytes | None]] = [(text(death.queue), text(death.reason.encode()))]
    for entry in deaths_of(properties, death) or []:
        fields = entry_fields(entry)
        if fields is None:
            entries.append((None, text(b"rejected")))       # nothing of ours: as if a client had taken part
        else:
            entries.append((first(fields, b"queue"), first(fields, b"reason")))
    for queue, reason in entries:
        if reason == text(b"rejected"):
            return False
        if queue == text(target):
            return True
    return False
