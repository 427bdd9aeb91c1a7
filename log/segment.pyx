# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One segment: three files, mapped.

Owns the mappings and descriptors, the growth of the files, and the scan of the data
for valid records. Knows nothing of other segments, queues or commits: that is
log/store.pyx. The formats are in log/formats.py.
"""
import os

import numpy as np

from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from log.checksum cimport crc32c
from log.formats cimport (
    ACKNOWLEDGED, FORMAT_VERSION, HEADER_BYTES, INDEX_IDENTIFIER, INDEX_SETTLED, MOVED, RECORD_APART, RECORD_BYTES_MAX,
    RECORD_MESSAGE, RECORD_ROOM, SEAL_MAGIC, SEAL_OFFSET, SEGMENT_DURABLE, FileHeader, IndexEntry, RecordQueue, Seal, StoredRecord,
)
from log.formats import HEADER_COPY_OFFSET, INDEX_DTYPE
from log.formats import MAGIC_ACKS as _MAGIC_ACKS
from log.formats import MAGIC_DATA as _MAGIC_DATA
from log.formats import MAGIC_INDEX as _MAGIC_INDEX

cdef extern from "sys/mman.h":
    void *mmap(void *address, size_t length, int protection, int flags, int descriptor, long offset) nogil
    int munmap(void *address, size_t length) nogil
    int madvise(void *address, size_t length, int advice) nogil
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

cdef extern from "unistd.h":
    int close(int descriptor) nogil
    ssize_t pwrite(int descriptor, const void *source, size_t n, long offset) nogil

cdef extern from *:
    """
    #ifndef MADV_POPULATE_WRITE     /* Linux 5.14 */
    #define MADV_POPULATE_WRITE 23
    #endif
    """
    int MADV_POPULATE_WRITE

# The files grow by these; a chunk is what an almost empty segment costs.
cdef enum:
    DATA_CHUNK_BYTES = 4 << 20
    SLOTS_CHUNK = 1 << 15               # 1 MiB of index and 32 KiB of ack map
    TRIMMED_BYTES_MIN = 64 << 10
    SLOTS_POPULATED = 1 << 11

cdef uint64_t PAGE_BYTES = 4096
cdef bytes MAGIC_DATA = _MAGIC_DATA
cdef bytes MAGIC_INDEX = _MAGIC_INDEX
cdef bytes MAGIC_ACKS = _MAGIC_ACKS


cdef inline uint64_t rounded(uint64_t n, uint64_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


cdef uint32_t record_checksum(uint32_t salt, uint64_t position, const StoredRecord *record) noexcept nogil:
    """Covers all of the record but the checksum's own four bytes, and where it lies."""
    cdef uint64_t place = (position // 8) | (<uint64_t> record.record_bytes << 32)
    return crc32c(crc32c(salt, &place, 8), (<const uint8_t *> record) + 8, record.record_bytes - 8)


cdef uint32_t plausible_record(const uint8_t *data, uint64_t position, uint64_t end) noexcept nogil:
    """The size of what looks like a record within [position, end), 0 where nothing does. No checksum is made."""
    cdef const StoredRecord *record = <const StoredRecord *> (data + position)
    cdef uint64_t needed
    if position + sizeof(StoredRecord) > end:
        return 0
    if record.record_bytes < sizeof(StoredRecord) or record.record_bytes > RECORD_BYTES_MAX or record.record_bytes & 7:
        return 0
    if record.kind != RECORD_MESSAGE or record.record_bytes > end - position or record.queue_count == 0:
        return 0
    needed = (
        sizeof(StoredRecord) + <uint64_t> record.queue_count * sizeof(RecordQueue) + record.exchange_bytes
        + record.routing_key_bytes + <uint64_t> record.properties_bytes
    )
    if record.flags & RECORD_APART:
        if rounded(needed, 8) + sizeof(uint64_t) != record.record_bytes:
            return 0
        needed = (<const uint64_t *> (data + position + record.record_bytes) - 1)[0]
        if needed < HEADER_BYTES or needed > end or record.body_bytes > end - needed:
            return 0
    elif rounded(needed + record.body_bytes, 8) != record.record_bytes:
        return 0
    return record.record_bytes


cdef uint32_t room_at(uint32_t salt, const uint8_t *data, uint64_t position, uint64_t end) noexcept nogil:
    """The size of the room whose record begins at the position, 0 where none does."""
    cdef const StoredRecord *record = <const StoredRecord *> (data + position)
    if position + sizeof(StoredRecord) > end or record.kind != RECORD_ROOM or record.record_bytes & 7:
        return 0
    if record.record_bytes < sizeof(StoredRecord) or record.record_bytes > end - position:
        return 0
    return record.record_bytes if room_checksum(salt, position, record) == record.crc32c else 0


cdef uint32_t room_checksum(uint32_t salt, uint64_t position, const StoredRecord *record) noexcept nogil:
    cdef uint64_t place = (position // 8) | (<uint64_t> record.record_bytes << 32)
    return crc32c(crc32c(salt, &place, 8), (<const uint8_t *> record) + 8, sizeof(StoredRecord) - 8)


def segment_path(directory: str, number: int, kind: str) -> str:
    """The file of a segment; `kind` is data, index or acks."""
    return f"{directory}/{number:08x}.{kind}"


cdef void populate(uint8_t *mapping, uint64_t start, uint64_t end) noexcept:
    """Maps pages for writing; a hint, older kernels refuse it."""
    start = start // PAGE_BYTES * PAGE_BYTES
    if end > start:
        with nogil:
            madvise(mapping + start, end - start, MADV_POPULATE_WRITE)


cdef void *mapped(int descriptor, size_t length, bint writable) except NULL:
    cdef void *address = mmap(NULL, length, PROT_READ | (PROT_WRITE if writable else 0), MAP_SHARED, descriptor, 0)
    if address == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    return address


cdef void write_header(uint8_t *page, const char *magic, Segment segment, uint64_t created_at_ms) noexcept:
    cdef FileHeader header
    memset(&header, 0, sizeof(FileHeader))
    memcpy(header.magic, magic, 8)
    header.version = FORMAT_VERSION
    header.segment_number = segment.number
    header.salt = segment.salt
    header.flags = SEGMENT_DURABLE if segment.durable else 0
    header.created_at_ms = created_at_ms
    header.header_crc32c = crc32c(crc32c(0, &header, 12), (<uint8_t *> &header) + 16, sizeof(FileHeader) - 16)
    memcpy(page, &header, sizeof(FileHeader))
    memcpy(page + <int> HEADER_COPY_OFFSET, &header, sizeof(FileHeader))


cdef class Segment:
    """Made by `create` (takes records) or `open` (holds the records of an earlier process)."""

    def __cinit__(self):
        self.data = self.index = self.acks = NULL
        self.data_descriptor = self.index_descriptor = self.acks_descriptor = -1

    def __init__(self, disk, str directory, uint64_t number, *, bint durable, bint in_memory, uint32_t salt):
        self.disk = disk
        self.directory = directory
        self.number = number
        self.durable = durable
        self.in_memory = in_memory
        self.salt = salt

    def __dealloc__(self):
        self.release()
        free(self.staging)
        free(self.forward_slots)
        free(self.forward_targets)

    cdef void release(self) noexcept nogil:
        """Gives mappings and descriptors back; no thread may be using them."""
        self.release_mappings()
        self.release_descriptors()

    cdef void release_descriptors(self) noexcept nogil:
        if self.data_descriptor >= 0:
            close(self.data_descriptor)
        if self.index_descriptor >= 0:
            close(self.index_descriptor)
        if self.acks_descriptor >= 0:
            close(self.acks_descriptor)
        self.data_descriptor = self.index_descriptor = self.acks_descriptor = -1

    cdef void release_mappings(self) noexcept nogil:
        if self.data != NULL:
            munmap(self.data, self.data_mapped_bytes)
        if self.index != NULL:
            munmap(self.index, self.index_mapped_bytes)
        if self.acks != NULL:
            munmap(self.acks, self.acks_mapped_bytes)
        self.data = self.index = self.acks = NULL

    def close_files(self) -> None:
        """A sealed segment lives by its mappings: many of them cost no descriptors."""
        # those of a segment that is gone are for the housekeeping thread to close
        if self.sealed and not self.synchronising and not self.sealing and self.state != SEGMENT_GONE:
            self.release_descriptors()

    def free_files(self, bint synchronising) -> None:
        """For the housekeeping thread, of a segment that is gone: freeing so many pages takes its time.

        Where the sync thread may be at work on the files they are closed with the last reference.
        """
        with nogil:
            if synchronising:
                self.release_mappings()
            else:
                self.release()

    def paths(self) -> tuple:
        """Data, index, acks: also the order in which they are removed, so that no data is left without its acks."""
        return tuple(segment_path(self.directory, self.number, kind) for kind in ("data", "index", "acks"))

    @property
    def beginning(self) -> bytes:
        """The header of its data file, which no other file has as long as this one takes no new salt."""
        return <bytes> (<const char *> self.data)[:sizeof(FileHeader)]

    @property
    def allocated_bytes(self) -> int:
        """What the files take on their file system."""
        return self.data_allocated_bytes + 2 * HEADER_BYTES + self.slots_allocated * (sizeof(IndexEntry) + 1)

    @property
    def stored_bytes(self) -> int:
        """What is in its files, without what is only allocated."""
        return 0 if self.data == NULL else self.data_used_bytes + self.slots_used * (sizeof(IndexEntry) + 1)

    # -- a segment that takes records

    @staticmethod
    def create(disk, str directory, uint64_t number, *, uint64_t data_bytes, uint32_t slots, bint durable,
               bint in_memory, uint32_t salt, uint64_t now_ms):
        """New files with room for a first chunk; OSError, and no files, where the disk is full."""
        cdef Segment self = Segment(disk, directory, number, durable=durable, in_memory=in_memory, salt=salt)
        self.state = SEGMENT_ACTIVE
        self.data_capacity_bytes = rounded(HEADER_BYTES + data_bytes, PAGE_BYTES)
        self.slots_capacity = slots
        created = []
        try:
            data_path, index_path, acks_path = self.paths()
            self.data_descriptor = disk.create(data_path)
            created.append(data_path)
            self.index_descriptor = disk.create(index_path)
            created.append(index_path)
            self.acks_descriptor = disk.create(acks_path)
            created.append(acks_path)
            self.grow(min(self.data_capacity_bytes, <uint64_t> DATA_CHUNK_BYTES), min(slots, <uint32_t> SLOTS_CHUNK))
            self.data_mapped_bytes = self.data_capacity_bytes
            self.index_mapped_bytes = HEADER_BYTES + <size_t> slots * sizeof(IndexEntry)
            self.acks_mapped_bytes = HEADER_BYTES + <size_t> slots
            self.data = <uint8_t *> mapped(self.data_descriptor, self.data_mapped_bytes, True)
            self.index = <uint8_t *> mapped(self.index_descriptor, self.index_mapped_bytes, True)
            self.acks = <uint8_t *> mapped(self.acks_descriptor, self.acks_mapped_bytes, True)
        except OSError:
            for path in created:
                disk.remove(path)
            raise
        self.data_used_bytes = HEADER_BYTES
        self.write_headers(now_ms)
        if durable:
            self.staging_bytes = min(<uint64_t> STAGING_BYTES_MAX, data_bytes // 4)
            self.staging = <uint8_t *> malloc(self.staging_bytes)
            self.flushed_bytes = HEADER_BYTES
        return self

    def write_headers(self, uint64_t now_ms):
        write_header(self.data, MAGIC_DATA, self, now_ms)
        write_header(self.index, MAGIC_INDEX, self, now_ms)
        write_header(self.acks, MAGIC_ACKS, self, now_ms)

    def recycle(self, uint32_t salt, uint64_t now_ms):
        """Starts anew in the same files, of which nothing is live. The new salt comes first: it voids all there is."""
        self.salt = salt
        self.state = SEGMENT_ACTIVE
        write_header(self.data, MAGIC_DATA, self, now_ms)
        memset(self.index + SEAL_OFFSET, 0, sizeof(Seal))
        memset(self.acks + HEADER_BYTES, 0, self.slots_allocated)
        self.write_headers(now_ms)
        self.data_used_bytes = HEADER_BYTES
        self.slots_used = self.live = self.live_identifiers = 0
        self.verify = False

    cdef bint fits(self, uint64_t record_bytes, uint32_t queue_count) noexcept nogil:
        return (
            self.data_used_bytes + record_bytes <= self.data_capacity_bytes
            and <uint64_t> self.slots_used + queue_count <= self.slots_capacity
        )

    cdef bint takes_apart(self, uint64_t record_bytes, uint32_t queue_count) noexcept nogil:
        """Whether it takes the record of a message that lies in its room."""
        return (
            self.state == SEGMENT_ACTIVE and self.room_bytes != 0
            and self.data_used_bytes + record_bytes <= self.data_ready_bytes
            and <uint64_t> self.slots_used + queue_count <= self.slots_ready
        )

    cdef bint could_hold(self, uint64_t record_bytes, uint32_t queue_count) noexcept nogil:
        """Whether the record would fit if the segment were empty."""
        return HEADER_BYTES + record_bytes <= self.data_capacity_bytes and queue_count <= self.slots_capacity

    cdef int reserve(self, uint64_t record_bytes, uint32_t queue_count, uint64_t populate_bytes) except -1:
        """Room on the disk for a record that fits. OSError with nothing changed that matters.

        Pages are mapped some way ahead in one call, as one fault per page costs three times as much.
        How far is the caller's guess of what will be appended before the next sync: a page that
        is mapped early is synced twice.
        """
        cdef uint64_t data_end = self.data_used_bytes + record_bytes
        cdef uint32_t slots_end = self.slots_used + queue_count
        if data_end > self.data_allocated_bytes or slots_end > self.slots_allocated:
            self.grow(
                max(self.data_allocated_bytes, min(self.data_capacity_bytes, rounded(data_end, DATA_CHUNK_BYTES))),
                max(self.slots_allocated, <uint32_t> min(<uint64_t> self.slots_capacity, rounded(slots_end, SLOTS_CHUNK))),
            )
        if data_end > self.data_ready_bytes and self.staging != NULL:
            self.data_ready_bytes = self.data_allocated_bytes
        elif data_end > self.data_ready_bytes:
            start = self.data_ready_bytes
            self.data_ready_bytes = min(self.data_allocated_bytes, rounded(data_end + populate_bytes, PAGE_BYTES))
            populate(self.data, start, self.data_ready_bytes)
        if slots_end > self.slots_ready:
            start = self.slots_ready
            self.slots_ready = min(self.slots_allocated, slots_end + <uint32_t> SLOTS_POPULATED)
            populate(self.index, HEADER_BYTES + start * sizeof(IndexEntry),
                     HEADER_BYTES + self.slots_ready * sizeof(IndexEntry))
            populate(self.acks, HEADER_BYTES + start, HEADER_BYTES + self.slots_ready)
        return 0

    cdef int flush(self) except -1:
        """What was collected goes to the file. OSError where it cannot be written: that is as bad as a failed sync."""
        if self.staging != NULL and self.data_used_bytes > self.flushed_bytes:
            self.write(self.staging, self.data_used_bytes - self.flushed_bytes, self.flushed_bytes)
            self.flushed_bytes = self.data_used_bytes
        return 0

    cdef int lay_room(self, uint64_t room_bytes) except -1:
        """An empty segment begins with room for so many bytes (a multiple of 8), all of it and of the rest allocated."""
        cdef StoredRecord *record
        self.grow(self.data_capacity_bytes, self.slots_capacity)
        if self.data_ready_bytes < self.data_capacity_bytes or self.slots_ready < self.slots_capacity:
            populate(self.data, HEADER_BYTES, self.data_capacity_bytes)
            populate(self.index, HEADER_BYTES, HEADER_BYTES + <size_t> self.slots_capacity * sizeof(IndexEntry))
            populate(self.acks, HEADER_BYTES, HEADER_BYTES + self.slots_capacity)
            self.data_ready_bytes = self.data_capacity_bytes
            self.slots_ready = self.slots_capacity
        record = <StoredRecord *> (self.data + HEADER_BYTES)
        memset(record, 0, ROOM_START - HEADER_BYTES)
        record.record_bytes = <uint32_t> (ROOM_START - HEADER_BYTES + room_bytes)
        record.kind = RECORD_ROOM
        record.crc32c = room_checksum(self.salt, HEADER_BYTES, record)
        self.data_used_bytes = ROOM_START + room_bytes
        self.room_bytes = room_bytes
        self.apart_bytes = 0
        return 0

    cdef uint32_t write_content(self, uint64_t position, const StoredRecord *record, const uint8_t *head,
                                uint64_t head_bytes, const uint8_t *body, uint64_t body_bytes) except? 0xFFFFFFFF:
        """The content of a record, and its padding, to the file; returns the checksum of the whole record."""
        cdef uint64_t fields_bytes = sizeof(StoredRecord) + <uint64_t> record.queue_count * sizeof(RecordQueue)
        cdef uint64_t padding = 0
        cdef uint64_t place = (position // 8) | (<uint64_t> record.record_bytes << 32)
        cdef uint64_t padding_bytes = record.record_bytes - fields_bytes - head_bytes - body_bytes
        cdef uint32_t checksum = crc32c(crc32c(self.salt, &place, 8), (<const uint8_t *> record) + 8, fields_bytes - 8)
        checksum = crc32c(crc32c(crc32c(checksum, head, head_bytes), body, body_bytes), &padding, padding_bytes)
        position += fields_bytes
        self.write(head, head_bytes, position)
        self.write(body, body_bytes, position + head_bytes)
        self.write(<const uint8_t *> &padding, padding_bytes, position + head_bytes + body_bytes)
        return checksum

    cdef int write(self, const uint8_t *source, uint64_t n, uint64_t position) except -1:
        """Bytes to the data file, whose blocks are allocated already."""
        cdef ssize_t written
        while n:
            written = pwrite(self.data_descriptor, source, n, position)
            if written < 0:
                if errno == EINTR:
                    continue
                raise OSError(errno, os.strerror(errno))
            source += written
            position += written
            n -= written
        return 0

    def grow(self, uint64_t data_allocated_bytes, uint32_t slots_allocated):
        cdef uint64_t entry_bytes = sizeof(IndexEntry)
        if data_allocated_bytes > self.data_allocated_bytes:
            self.disk.allocate(
                self.data_descriptor, self.data_allocated_bytes, data_allocated_bytes - self.data_allocated_bytes)
            self.data_allocated_bytes = data_allocated_bytes
        if slots_allocated > self.slots_allocated:
            first = HEADER_BYTES if self.slots_allocated else 0
            added = slots_allocated - self.slots_allocated
            self.disk.allocate(
                self.index_descriptor, first + self.slots_allocated * entry_bytes,
                HEADER_BYTES - first + added * entry_bytes)
            self.disk.allocate(
                self.acks_descriptor, first + self.slots_allocated, HEADER_BYTES - first + added)
            self.slots_allocated = slots_allocated

    # -- forwarding

    cdef int forward_prepare(self) except -1:
        """Room in the table for everything that is live."""
        if self.forward_slots == NULL:
            self.forward_slots = <uint32_t *> malloc(self.live * sizeof(uint32_t))
            self.forward_targets = <uint64_t *> malloc(self.live * sizeof(uint64_t))
            if self.forward_slots == NULL or self.forward_targets == NULL:
                free(self.forward_slots)
                free(self.forward_targets)
                self.forward_slots = NULL
                self.forward_targets = NULL
                raise MemoryError()
            self.forward_capacity = self.live
        return 0

    cdef int64_t forward_find(self, uint32_t slot) noexcept nogil:
        """Where the slot is in the table, -1 where it is not."""
        cdef int64_t low = 0, high = <int64_t> self.forward_count - 1, middle
        while low <= high:
            middle = (low + high) // 2
            if self.forward_slots[middle] < slot:
                low = middle + 1
            elif self.forward_slots[middle] > slot:
                high = middle - 1
            else:
                return middle
        return -1

    # -- a segment of an earlier process

    @staticmethod
    def open(disk, str directory, uint64_t number, *, bint durable, bint in_memory, uint32_t salt):
        """Maps the data for reading; index and acks follow by `use_seal` or `scan` and `attach`."""
        cdef Segment self = Segment(disk, directory, number, durable=durable, in_memory=in_memory, salt=salt)
        self.state = SEGMENT_COMPLETE
        self.verify = True
        self.data_descriptor = disk.open(segment_path(directory, number, "data"))
        size = os.fstat(self.data_descriptor).st_size
        self.data_capacity_bytes = self.data_allocated_bytes = self.data_used_bytes = size
        self.data_mapped_bytes = size
        self.data = <uint8_t *> mapped(self.data_descriptor, size, False)
        return self

    def repair_header(self, uint64_t now_ms) -> None:
        """Writes the header of the data file again, where only another file of the segment still had it."""
        cdef uint8_t *page = <uint8_t *> mapped(self.data_descriptor, HEADER_BYTES, True)
        write_header(page, MAGIC_DATA, self, now_ms)
        munmap(page, HEADER_BYTES)
        if self.durable:
            self.synchronise_data()

    def seal_of_index(self) -> tuple:
        """(data_bytes, entry_count) where the index file is complete and true, else None."""
        cdef const uint8_t[::1] view
        cdef const Seal *seal
        cdef uint64_t needed
        try:
            descriptor = self.disk.open(segment_path(self.directory, self.number, "index"))
        except FileNotFoundError:
            return None
        cdef uint8_t *page
        try:
            size = os.fstat(descriptor).st_size
            if size < HEADER_BYTES:
                return None
            page = <uint8_t *> mapped(descriptor, size, False)
        finally:
            self.disk.close(descriptor)
        try:
            seal = <const Seal *> (page + SEAL_OFFSET)
            if seal.seal_magic != SEAL_MAGIC or seal.seal_crc32c != crc32c(self.salt, (<uint8_t *> seal) + 8, 24):
                return None
            needed = <uint64_t> seal.entry_count * sizeof(IndexEntry)
            if needed + HEADER_BYTES > size:
                return None
            if crc32c(self.salt, page + HEADER_BYTES, needed) != seal.entries_crc32c:
                return None
            return seal.data_bytes, seal.entry_count
        finally:
            munmap(page, size)

    def attach(self, uint64_t data_bytes, uint32_t entry_count, uint8_t first_acks, uint64_t now_ms, entries=None):
        """Maps index and acks of `entry_count` slots; `entries` (from a scan) replaces the index.

        New or longer ack maps are filled with `first_acks`.
        """
        cdef const uint8_t[::1] rebuilt
        cdef size_t index_bytes = HEADER_BYTES + <size_t> entry_count * sizeof(IndexEntry)
        cdef size_t acks_bytes = HEADER_BYTES + <size_t> entry_count
        data_path, index_path, acks_path = self.paths()
        self.index_descriptor, _ = self.open_sized(index_path, index_bytes)
        self.acks_descriptor, known_bytes = self.open_sized(acks_path, acks_bytes)
        self.index_mapped_bytes = index_bytes
        self.acks_mapped_bytes = acks_bytes
        self.index = <uint8_t *> mapped(self.index_descriptor, index_bytes, True)
        self.acks = <uint8_t *> mapped(self.acks_descriptor, acks_bytes, True)
        if entries is not None:
            memset(self.index + SEAL_OFFSET, 0, sizeof(Seal))
            if entry_count:
                rebuilt = entries.view(np.uint8)
                memcpy(self.index + HEADER_BYTES, &rebuilt[0], entry_count * sizeof(IndexEntry))
        known_bytes = max(known_bytes, HEADER_BYTES)
        if known_bytes < acks_bytes:
            memset(self.acks + <size_t> known_bytes, first_acks, acks_bytes - <size_t> known_bytes)
        write_header(self.index, MAGIC_INDEX, self, now_ms)
        write_header(self.acks, MAGIC_ACKS, self, now_ms)
        self.data_used_bytes = min(data_bytes, self.data_allocated_bytes)
        self.slots_used = self.slots_allocated = self.slots_capacity = entry_count

    def open_sized(self, str path, size_t size) -> tuple:
        """(descriptor, size that it had): an existing or new file of at least `size` bytes."""
        try:
            descriptor = self.disk.open(path)
        except FileNotFoundError:
            descriptor = self.disk.create(path)
        try:
            known = os.fstat(descriptor).st_size
            if known < size:
                self.disk.allocate(descriptor, 0, size)
        except BaseException:
            self.disk.close(descriptor)
            raise
        return descriptor, known

    def index_array(self):
        """The index as an array over the mapping: valid while this segment is mapped."""
        cdef uint8_t[::1] view
        if self.slots_used == 0:
            return np.empty(0, INDEX_DTYPE)
        view = <uint8_t[:self.slots_used * sizeof(IndexEntry)]> (self.index + HEADER_BYTES)
        return np.asarray(view).view(INDEX_DTYPE)

    def acks_array(self):
        """The ack map as a writable array over the mapping: valid while this segment is mapped."""
        cdef uint8_t[::1] view
        if self.slots_used == 0:
            return np.empty(0, np.uint8)
        view = <uint8_t[:self.slots_used]> (self.acks + HEADER_BYTES)
        return np.asarray(view)

    def count_live(self) -> int:
        """Counts what is not acknowledged; slots without a message of their own count as acknowledged from now on."""
        cdef uint32_t slot, live = 0
        self.live_identifiers = 0
        for slot in range(self.slots_used):
            if self.entry(slot).position8 == 0 or self.entry(slot).flags & INDEX_SETTLED:
                self.ack_byte(slot)[0] = ACKNOWLEDGED
            elif self.ack_byte(slot)[0] < MOVED:
                live += 1
                if self.entry(slot).flags & INDEX_IDENTIFIER:
                    self.live_identifiers += 1
        self.live = live
        return live

    cdef bint valid(self, uint64_t position) noexcept nogil:
        """Whether a whole, unharmed record lies at the position."""
        if position & 7 or plausible_record(self.data, position, self.data_used_bytes) == 0:
            return False
        return record_checksum(self.salt, position, <const StoredRecord *> (self.data + position)) == \
            (<const StoredRecord *> (self.data + position)).crc32c

    def scan(self) -> tuple:
        """(index entries, end of the last record, [(position, bytes, slots lost)], bytes of a torn tail)

        Walks the data file from its beginning. Behind damage it goes on at the next place where a record
        proves itself by its checksum; the slots in between have no message.
        """
        cdef uint64_t end = self.data_used_bytes, position = HEADER_BYTES, good_end = HEADER_BYTES, last
        cdef uint64_t slots = 0, capacity = 0, i
        cdef uint32_t record_bytes, first_slot
        cdef const StoredRecord *record
        cdef const RecordQueue *queue
        cdef IndexEntry *entries = NULL
        cdef IndexEntry *grown
        damage = []
        try:
            while position + sizeof(StoredRecord) <= end:
                record_bytes = plausible_record(self.data, position, end)
                record = <const StoredRecord *> (self.data + position)
                if record_bytes == 0:
                    record_bytes = room_at(self.salt, self.data, position, end)
                    if record_bytes and position == good_end:
                        position += record_bytes
                        good_end = position
                        continue
                    record_bytes = 0
                # A gap of n bytes held at most n / 16 slots.
                if (
                    record_bytes == 0 or record.first_slot < slots
                    or record.first_slot - slots > (position - good_end) // sizeof(RecordQueue)
                    or record_checksum(self.salt, position, record) != record.crc32c
                ):
                    position += 8
                    continue
                if position > good_end:
                    damage.append((good_end, position - good_end, record.first_slot - slots))
                first_slot = record.first_slot
                if <uint64_t> first_slot + record.queue_count > capacity:
                    capacity = max(2 * capacity, <uint64_t> first_slot + record.queue_count, <uint64_t> 1024)
                    grown = <IndexEntry *> realloc(entries, capacity * sizeof(IndexEntry))
                    if grown == NULL:
                        raise MemoryError()
                    entries = grown
                if first_slot > slots:
                    memset(entries + slots, 0, (first_slot - slots) * sizeof(IndexEntry))
                queue = <const RecordQueue *> (self.data + position + sizeof(StoredRecord))
                for i in range(record.queue_count):
                    fill_entry(entries + first_slot + i, record, queue + i, position)
                slots = <uint64_t> first_slot + record.queue_count
                position += record_bytes
                good_end = position
            last = end
            while last > good_end and self.data[last - 1] == 0:
                last -= 1
            array = np.empty(slots, INDEX_DTYPE)
            if slots:
                copy_entries(array.view(np.uint8), entries, slots)
            return array, good_end, damage, last - good_end
        finally:
            free(entries)

    # -- called by housekeeping, in its thread

    def complete(self):
        """No more records: from now on only acks change."""
        self.flush()
        self.state = SEGMENT_COMPLETE
        free(self.staging)
        self.staging = NULL

    def write_seal(self, uint64_t now_ms):
        """Says in the index that it is whole; synced unless the segment is transient. The data must be synced before."""
        cdef Seal seal
        cdef Seal *stored = <Seal *> (self.index + SEAL_OFFSET)
        cdef uint64_t n = <uint64_t> self.slots_used * sizeof(IndexEntry)
        memset(&seal, 0, sizeof(Seal))
        seal.seal_magic = SEAL_MAGIC
        seal.data_bytes = self.data_used_bytes
        seal.entry_count = self.slots_used
        seal.sealed_at_ms = now_ms
        with nogil:
            seal.entries_crc32c = crc32c(self.salt, self.index + HEADER_BYTES, n)
        seal.seal_crc32c = crc32c(self.salt, (<uint8_t *> &seal) + 8, 24)
        memcpy(stored, &seal, sizeof(Seal))
        if self.durable:
            self.disk.synchronise(self.index_descriptor)

    def trim(self):
        """Gives back what was allocated and is not used. Nothing is written behind the end of a complete segment."""
        if self.data_allocated_bytes - self.data_used_bytes >= TRIMMED_BYTES_MIN:
            self.disk.truncate(self.data_descriptor, self.data_used_bytes)
            self.disk.truncate(self.index_descriptor, HEADER_BYTES + <uint64_t> self.slots_used * sizeof(IndexEntry))

    def synchronise_data(self):
        """In the sync thread: all records so far to the disk."""
        if self.data_descriptor >= 0:
            self.disk.synchronise(self.data_descriptor)

    def synchronise_apart(self, str kind):
        """All that is in one of the files to the disk, through a descriptor of its own.

        A descriptor tells of a failed write once. The sync thread may be at work on the segment's own, and has to
        hear of it itself: otherwise it would take for durable what is not.
        """
        descriptor = self.disk.open(segment_path(self.directory, self.number, kind))
        try:
            self.disk.synchronise(descriptor)
        finally:
            self.disk.close(descriptor)


cdef copy_entries(uint8_t[::1] target, const IndexEntry *entries, uint64_t n):
    memcpy(&target[0], entries, n * sizeof(IndexEntry))
