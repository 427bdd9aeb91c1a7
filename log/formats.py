"""The files of the log: what every byte of them means.

A segment is three files of one name in one directory, all numbers little-endian:

    0000002a.data     header page, then records: the messages. The only file that a commit syncs.
    0000002a.index    header page, then one entry of 32 bytes per message and queue, by slot.
                      Derived from the data; synced and sealed when the segment is complete.
    0000002a.acks     header page, then one byte per slot: 0 to 253 deliveries so far, 254 moved (a copy in a
                      later segment took its place), 255 acknowledged. Written lazily; a byte only ever
                      grows, so an older copy of a page is safe.

Every file starts with a header page of HEADER_BYTES. Its first 64 bytes keep this
layout in every version of the format, so that any broker can tell a newer file
from a damaged one:

    offset  size  field
         0     8  magic             MAGIC_DATA, MAGIC_INDEX, MAGIC_ACKS
         8     4  version           FORMAT_VERSION
        12     4  header_crc32c     of bytes 0 to 11 and 16 to 63
        16     8  segment_number    as in the file's name
        24     4  salt              seeds the checksums of this segment: bytes of another one never pass for its own
        28     4  flags             SEGMENT_DURABLE
        32     8  created_at_ms
        40    24  reserved          0

A second copy of these 64 bytes is at HEADER_COPY_OFFSET of the page.

The header page of an index goes on with its seal, all zero until the segment is complete:

    offset  size  field
        64     4  seal_magic        SEAL_MAGIC
        68     4  seal_crc32c       of bytes 72 to 95, seeded with the salt
        72     8  data_bytes        end of the last record in the data file
        80     4  entry_count       entries in the index
        84     4  entries_crc32c    of all entries, seeded with the salt
        88     8  sealed_at_ms

An index without a valid seal, or whose entries fail their checksum, is rebuilt from the data.

A record of the data file, at a multiple of 8, padded with zeros to a multiple of 8:

    offset  size  field
         0     4  record_bytes      whole record with padding
         4     4  crc32c            seeded with the salt: of (position / 8, record_bytes), then bytes 8 to the end
         8     1  kind              RECORD_MESSAGE, RECORD_ROOM
         9     1  flags             RECORD_PERSISTENT, RECORD_COPIED, RECORD_DELAYED, RECORD_DIED, RECORD_IDENTIFIER,
                                    RECORD_APART
        10     2  reserved          0
        12     4  first_slot        slot of the first queue below; the others follow
        16     8  received_at_ms    wall clock; RECORD_DELAYED: the time before which it is not ready
        24     8  ttl_ms            the message's own, counted from received_at_ms; NO_TTL: none
        32     4  properties_bytes
        36     4  body_bytes
        40     1  exchange_bytes
        41     1  routing_key_bytes
        42     1  priority
        43     1  reserved          0
        44     4  queue_count
        48   16n  queues            queue_count times: queue_id (4), attributes (4), entry_number (8)
           .   .  content           exchange, routing key, properties, body

A record with RECORD_IDENTIFIER is no message: its body is the id of one (shards/engine/identifier.pyx), which was
received at received_at_ms by the queue whose window of ids the one queue of this record is. It has the entry number
that the message has in its queue, lies in the same segment as the message, behind it, and goes with the window, not
with the message.

A record with RECORD_APART has its body elsewhere in the same file: the content ends with the properties, and the last
eight bytes of the record say where (the position of the body's first byte). Its checksum covers the record, not the
body. A RECORD_ROOM, without queues, is where such bodies lie: room for what a gateway reads from sockets
(log/store.pyx: open_room). Its checksum covers its head alone. Both are only in transient segments in memory, which no
broker finds that starts: what was written there before a process died is there as it was written.

The attributes of a queue in a record (version 1: always 0):

    bits 0 to 29    one more than the queue's TTL for this message, 0: none; the lesser of it and its own counts
    bit 30          that TTL is in seconds, else in milliseconds
    bit 31          RECORD_QUEUE_SETTLED: no message for this queue. It says that the entry of that number, which is
                    in an earlier record, is done with: its message has become this record's. So one record moves a
                    message from one queue to others, and a crash finds it in the one or in the others.

An entry of the index, by slot:

    offset  size  field
         0     4  position8         byte offset of the record in the data file / 8; 0: none, its record is damaged
         4     4  record_bytes
         8     4  queue_id
        12     1  priority
        13     1  flags             INDEX_COPIED, INDEX_SETTLED, INDEX_DELAYED, INDEX_IDENTIFIER
        14     2  reserved          0
        16     8  entry_number      per queue, ascending; none is used again while the log has anything of it
        24     8  expires_at_ms     received_at_ms + the lesser TTL; 0: never. Where INDEX_DELAYED: received_at_ms

The ENTRY_DTYPE below is no file format: it is the entry that a queue holds in memory (log/store.pxd).
"""
from __future__ import annotations

from typing import Final

import numpy as np

FORMAT_VERSION: Final = 2
FORMAT_VERSIONS_READ: Final = (1, 2)
HEADER_BYTES: Final = 4096
HEADER_USED_BYTES: Final = 64
RECORD_ALIGNMENT: Final = 8

MAGIC_DATA: Final = b"WRNDATA\0"
MAGIC_INDEX: Final = b"WRNINDX\0"
MAGIC_ACKS: Final = b"WRNACKS\0"
SEAL_MAGIC: Final = 0x4C414553           # "SEAL"
SEAL_OFFSET: Final = 64
HEADER_COPY_OFFSET: Final = 2048         # a second copy of the first 64 bytes, against damage to the first

SEGMENT_DURABLE: Final = 1
RECORD_MESSAGE: Final = 1
RECORD_ROOM: Final = 2
RECORD_PERSISTENT: Final = 1             # delivery-mode 2
RECORD_COPIED: Final = 2                 # moved here by compaction
RECORD_DELAYED: Final = 4                # not ready before received_at_ms
RECORD_DIED: Final = 8                   # a dead letter: x-death and its kin in its headers are the broker's own
RECORD_IDENTIFIER: Final = 16            # the id of a message, in a window of ids
RECORD_APART: Final = 32                 # the body lies elsewhere in the file
RECORD_QUEUE_SETTLED: Final = 1 << 31
RECORD_QUEUE_TTL_IN_SECONDS: Final = 1 << 30
INDEX_COPIED: Final = 1
INDEX_SETTLED: Final = 2
INDEX_DELAYED: Final = 4
INDEX_IDENTIFIER: Final = 8
IDENTIFIER_BYTES: Final = 16
NO_TTL: Final = 0xFFFFFFFFFFFFFFFF

DELIVERY_COUNT_MAX: Final = 253          # the counter saturates here
MOVED: Final = 254
ACKNOWLEDGED: Final = 255

# Flags of an entry in memory.
ENTRY_REDELIVERED: Final = 1             # as recovered: it was delivered before
ENTRY_EXPIRES: Final = 2                 # it has a TTL: Store.expires_at
ENTRY_DELAYED: Final = 4                 # it is not ready yet: Store.not_before
ENTRY_RETURNED: Final = 8                # the engine's: it waits to be ready again after it was delivered
ENTRY_FAILURES_SHIFT: Final = 6          # the engine's: bits 6 to 15 count failed deliveries in a quorum queue

# One record may not be larger: record_bytes is 32 bits, and a bogus length must not make a scan run away.
RECORD_BYTES_MAX: Final = 1 << 30

HEADER_DTYPE: Final = np.dtype([
    ("magic", "S8"), ("version", "<u4"), ("header_crc32c", "<u4"), ("segment_number", "<u8"), ("salt", "<u4"),
    ("flags", "<u4"), ("created_at_ms", "<u8"), ("reserved", "V24"),
])
SEAL_DTYPE: Final = np.dtype([
    ("seal_magic", "<u4"), ("seal_crc32c", "<u4"), ("data_bytes", "<u8"), ("entry_count", "<u4"),
    ("entries_crc32c", "<u4"), ("sealed_at_ms", "<u8"),
])
RECORD_DTYPE: Final = np.dtype([
    ("record_bytes", "<u4"), ("crc32c", "<u4"), ("kind", "u1"), ("flags", "u1"), ("reserved", "<u2"),
    ("first_slot", "<u4"), ("received_at_ms", "<u8"), ("ttl_ms", "<u8"), ("properties_bytes", "<u4"),
    ("body_bytes", "<u4"), ("exchange_bytes", "u1"), ("routing_key_bytes", "u1"), ("priority", "u1"),
    ("reserved2", "u1"), ("queue_count", "<u4"),
])
RECORD_QUEUE_DTYPE: Final = np.dtype([("queue_id", "<u4"), ("attributes", "<u4"), ("entry_number", "<u8")])
INDEX_DTYPE: Final = np.dtype([
    ("position8", "<u4"), ("record_bytes", "<u4"), ("queue_id", "<u4"), ("priority", "u1"), ("flags", "u1"),
    ("reserved", "<u2"), ("entry_number", "<u8"), ("expires_at_ms", "<u8"),
])
ENTRY_DTYPE: Final = np.dtype([
    ("number", "<u8"), ("segment", "<u4"), ("slot", "<u4"), ("position8", "<u4"), ("flags", "<u2"),
    ("delivery_count", "u1"), ("priority", "u1"),
])

for _dtype, _size in (
    (HEADER_DTYPE, HEADER_USED_BYTES), (SEAL_DTYPE, 32), (RECORD_DTYPE, 48), (RECORD_QUEUE_DTYPE, 16),
    (INDEX_DTYPE, 32), (ENTRY_DTYPE, 24),
):
    if _dtype.itemsize != _size:
        raise TypeError(f"a log format has {_dtype.itemsize} bytes instead of {_size}: {_dtype}")


class UnknownFormat(Exception):
    """A file of the log was written by a version of the format that this broker does not know; nothing was changed."""

    def __init__(self, path: str, version: int) -> None:
        super().__init__(
            f"{path} has version {version} of the log format, this broker knows up to version {FORMAT_VERSION}; "
            f"start the broker that wrote it, or give another data directory"
        )
        self.path = path
        self.version = version
