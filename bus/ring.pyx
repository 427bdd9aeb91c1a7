# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A link in shared memory: one file per (client incarnation, serving incarnation), a ring per direction.

    offset                   size        field
    0                           8        magic "WRNLINK1"
    8                           8        ring_bytes (u64), a multiple of the page size
    4096                      256        control block of ring 0, client to serving shard
    4096 + 256                256        control block of ring 1, back
    8192               ring_bytes        ring 0
    8192 + ring_bytes  ring_bytes        ring 1

A control block keeps what different sides write on cache lines of their own:

    offset  size  field
         0     8  head      bytes ever written (u64); the producer's
        64     8  tail      bytes ever consumed (u64); the consumer's
       128     4  waiting   the producer has more than fits and wants to be rung (u32)

In a ring, at (position mod ring_bytes), 8-byte aligned; each ring is mapped twice in a row, so that nothing wraps:

    offset  size  field
         0     4  fragment_bytes   payload without header and padding
         4     4  flags            FRAGMENT_MORE: the batch goes on in the next fragment

The producer keeps its own head and the consumer its own tail; what the other side wrote is checked against them
before a byte is read. RingEnd never blocks, and never asks the loop for anything.
"""
import mmap
import os
from collections import deque

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bus.atomics cimport flag_exchange, flag_load, flag_store, full_fence, load_acquire, store_release
from bus.doorbell cimport Doorbell

from bus.limits import LINK_BATCH_BYTES_MAX, LINK_PENDING_BYTES_MAX

cdef extern from "sys/mman.h" nogil:
    void *mmap_ "mmap"(void *address, size_t length, int protection, int flags, int descriptor, long offset)
    int munmap(void *address, size_t length)
    enum:
        PROT_NONE
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_SHARED
        MAP_FIXED
        MAP_ANONYMOUS

cdef enum:
    CONTROL_OFFSET = 4096
    CONTROL_BYTES = 256
    HEAD_OFFSET = 0
    TAIL_OFFSET = 64
    WAITING_OFFSET = 128
    RINGS_OFFSET = 8192
    HEADER_BYTES = 8
    FRAGMENT_MORE = 1

LINK_FILE_OVERHEAD_BYTES = RINGS_OFFSET
"""What the file of a link takes beside its two rings."""

cdef uint64_t BATCH_BYTES_MAX = LINK_BATCH_BYTES_MAX
cdef Py_ssize_t PENDING_BYTES_MAX = LINK_PENDING_BYTES_MAX
MAGIC = b"WRNLINK1"


class LinkBroken(Exception):
    """What the other side wrote makes no sense: the link must be made anew."""


def create_link_file(path, ring_bytes):
    """Makes the file of a link with all its memory, so that no write to it can fail later. OSError where that is short."""
    if ring_bytes <= 0 or ring_bytes % mmap.PAGESIZE:
        raise ValueError(f"ring_bytes must be a positive multiple of {mmap.PAGESIZE}, not {ring_bytes}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, RINGS_OFFSET + 2 * ring_bytes)
        os.pwrite(descriptor, MAGIC + int(ring_bytes).to_bytes(8, "little"), 0)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


cdef class _Mapping:
    """The file's pages in this process; given back when the last view of them is."""
    def __cinit__(self):
        self.control = NULL
        self.rings[0] = NULL
        self.rings[1] = NULL

    def __init__(self, path):
        cdef int descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        cdef void *address
        try:
            head = os.pread(descriptor, 16, 0)
            self.ring_bytes = int.from_bytes(head[8:16], "little")
            size = os.fstat(descriptor).st_size
            if head[:8] != MAGIC or self.ring_bytes % mmap.PAGESIZE or size != RINGS_OFFSET + 2 * self.ring_bytes:
                raise LinkBroken(f"{path} is not the file of a link")
            address = mmap_(NULL, RINGS_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            if address == <void *> -1:
                raise MemoryError("mmap of a link")
            self.control = <uint8_t *> address + CONTROL_OFFSET
            self.rings[0] = self._map_twice(descriptor, RINGS_OFFSET)
            self.rings[1] = self._map_twice(descriptor, RINGS_OFFSET + self.ring_bytes)
        finally:
            os.close(descriptor)

    cdef uint8_t *_map_twice(self, int descriptor, uint64_t offset) except NULL:
        cdef uint8_t *base = <uint8_t *> mmap_(
            NULL, 2 * self.ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        cdef void *part
        cdef int copy
        if base == <uint8_t *> -1:
            raise MemoryError("mmap of a ring")
        for copy in range(2):
            part = mmap_(base + copy * self.ring_bytes, self.ring_bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_FIXED, descriptor, offset)
            if part == <void *> -1:
                munmap(base, 2 * self.ring_bytes)
                raise MemoryError("mmap of a ring")
        return base

    def __dealloc__(self):
        if self.control != NULL:
            munmap(self.control - CONTROL_OFFSET, RINGS_OFFSET)
        if self.rings[0] != NULL:
            munmap(self.rings[0], 2 * self.ring_bytes)
        if self.rings[1] != NULL:
            munmap(self.rings[1], 2 * self.ring_bytes)


cdef class _Fragment:
    """A received batch that lies in one piece in the ring; a memoryview of it keeps the mapping."""
    cdef _Mapping mapping
    cdef uint8_t *data
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("a received batch is read-only")
        PyBuffer_FillInfo(view, self, self.data, self.size, 1, flags)


cdef class RingEnd:
    """One side of a link in shared memory. See bus/links.py for what each method promises."""

    def __init__(self, path, bint serving, str peer_role, int peer, int peer_incarnation, Doorbell peer_bell):
        """`serving`: this is the serving shard's end, not its client's."""
        cdef _Mapping mapping = _Mapping(path)
        cdef int sending_ring = 1 if serving else 0
        cdef int receiving_ring = 1 - sending_ring
        cdef uint8_t *control = mapping.control + sending_ring * CONTROL_BYTES
        self.serving = serving
        self.peer_role = peer_role
        self.peer = peer
        self.peer_incarnation = peer_incarnation
        self.next_batch_number = 1
        self.pending_bytes = 0
        self.congested = False
        self.closed = False
        self.on_broken = None
        self._broken = False
        self._laid_bytes = 0
        self._mapping = mapping
        self._peer_bell = peer_bell
        self._pending = deque()
        self._ring_bytes = mapping.ring_bytes
        self._out = mapping.rings[sending_ring]
        self._out_head = <uint64_t *> (control + HEAD_OFFSET)
        self._out_tail = <uint64_t *> (control + TAIL_OFFSET)
        self._out_waiting = <uint32_t *> (control + WAITING_OFFSET)
        self._head = load_acquire(self._out_head)
        self._promised = self._head
        control = mapping.control + receiving_ring * CONTROL_BYTES
        self._in = mapping.rings[receiving_ring]
        self._in_head = <uint64_t *> (control + HEAD_OFFSET)
        self._in_tail = <uint64_t *> (control + TAIL_OFFSET)
        self._in_waiting = <uint32_t *> (control + WAITING_OFFSET)
        self._tail = load_acquire(self._in_tail)
        self._taken = self._tail
        self._assembled = None

    def __repr__(self):
        return f"<RingEnd to {self.peer_role} {self.peer}.{self.peer_incarnation}>"

    # --- sending

    def send(self, batch):
        cdef uint64_t number
        cdef Py_buffer buffer
        cdef Py_ssize_t written = 0
        if self._laid_bytes:
            self.commit()
        number = self.next_batch_number
        if self.closed or self._broken:
            self.next_batch_number = number + 1
            return number
        PyObject_GetBuffer(batch, &buffer, PyBUF_SIMPLE)
        try:
            if buffer.len == 0:
                raise ValueError("an empty batch is not sent")
            if <uint64_t> buffer.len > BATCH_BYTES_MAX:
                raise ValueError(f"a batch of {buffer.len} bytes is over the limit of {BATCH_BYTES_MAX}")
            if not self._pending:
                try:
                    written = self._write(<const uint8_t *> buffer.buf, buffer.len)
                except LinkBroken:
                    # Whoever sends is in the middle of something that has nothing to do with this link.
                    written = self._give_up(buffer.len)
            if written < buffer.len:
                self._pending.append([(<const uint8_t *> buffer.buf)[written:buffer.len], 0])
                self.pending_bytes += buffer.len - written
                if self.pending_bytes > PENDING_BYTES_MAX:
                    self.congested = True
            self._promised += self._room_for(buffer.len)
        finally:
            PyBuffer_Release(&buffer)
        self.next_batch_number = number + 1
        return number

    cdef Py_ssize_t _give_up(self, Py_ssize_t size) except -1:
        """Nothing more is written, and the next turn of the set meets a broken link."""
        self._broken = True
        if self.on_broken is not None:
            self.on_broken()
        return size

    def send_quietly(self, batch):
        self._quiet = True
        try:
            return self.send(batch)
        finally:
            self._quiet = False

    def wake_peer(self):
        if not self.closed:
            self._peer_bell.ring()

    cdef uint8_t *extend(self, size_t n) noexcept:
        cdef uint64_t laid = self._laid_bytes + n
        cdef uint64_t used
        cdef uint8_t *place
        if self.closed or self._broken or self.pending_bytes or laid > self._ring_bytes // 2 - HEADER_BYTES:
            return NULL
        used = self._head - load_acquire(self._out_tail)
        # A position that is not possible: whoever sends next says so.
        if used > self._ring_bytes or HEADER_BYTES + laid > self._ring_bytes - used:
            return NULL
        place = self._out + self._head % self._ring_bytes + HEADER_BYTES + self._laid_bytes
        self._laid_bytes = laid
        return place

    def lay(self, const uint8_t[::1] data not None):
        """`extend`, from Python: False where there is no room."""
        cdef uint8_t *place
        if data.shape[0] == 0 or data.shape[0] & 7:
            raise ValueError("what is laid into a ring is a multiple of 8 bytes")
        place = self.extend(data.shape[0])
        if place == NULL:
            return False
        memcpy(place, &data[0], data.shape[0])
        return True

    cpdef int commit(self) except -1:
        cdef uint32_t *header
        cdef uint64_t laid = self._laid_bytes
        if laid == 0:
            return 0
        self._laid_bytes = 0
        self.next_batch_number += 1
        if self.closed:
            return 0
        header = <uint32_t *> (self._out + self._head % self._ring_bytes)
        header[0] = <uint32_t> laid
        header[1] = 0
        self._head += HEADER_BYTES + laid
        self._promised = self._head
        store_release(self._out_head, self._head)
        self._peer_bell.ring()
        return 0

    cdef uint64_t _room_for(self, uint64_t size) noexcept:
        """What a batch takes in the ring, cut as `_write` cuts it."""
        cdef uint64_t whole_max = self._ring_bytes // 2 - HEADER_BYTES
        cdef uint64_t fragment_max = self._ring_bytes // 4 - HEADER_BYTES
        cdef uint64_t room = 0, piece
        while size:
            piece = fragment_max if size > whole_max else size
            room += HEADER_BYTES + ((piece + 7) & ~<uint64_t> 7)
            size -= piece
        return room

    @property
    def shares_files(self):
        return True

    @property
    def sent_position(self):
        return self._promised

    @property
    def returned_position(self):
        cdef uint64_t tail = load_acquire(self._out_tail)
        # A position that is not possible gives nothing back: whoever sends next says that the link is broken.
        return tail if tail <= self._head else 0

    def pump(self):
        """Moves pending bytes into the ring as far as they fit. True where the link was congested and is no longer."""
        cdef Py_ssize_t offset, written, size
        cdef bytes data
        if self.closed:
            return False
        if self._broken:
            raise LinkBroken(f"{self!r}: the consumer's position was not possible")
        while self._pending:
            entry = self._pending[0]
            data = entry[0]
            offset = entry[1]
            size = len(data)
            written = self._write(<const uint8_t *> data + offset, size - offset)
            self.pending_bytes -= written
            if offset + written < size:
                entry[1] = offset + written
                break
            self._pending.popleft()
        if self.congested and self.pending_bytes <= PENDING_BYTES_MAX // 2:
            self.congested = False
            return True
        return False

    cdef Py_ssize_t _write(self, const uint8_t *data, Py_ssize_t size) except -1:
        """How many bytes went into the ring. Batches of up to half the ring stay whole; larger ones are cut."""
        cdef uint64_t whole_max = self._ring_bytes // 2 - HEADER_BYTES
        cdef uint64_t fragment_max = self._ring_bytes // 4 - HEADER_BYTES
        cdef uint64_t room, piece, started = self._head
        cdef Py_ssize_t written = 0
        cdef bint waiting = False, announced = False
        cdef uint32_t *header
        while written < size:
            piece = <uint64_t> (size - written)
            if piece > whole_max:
                piece = fragment_max
            room = self._room()
            if room < HEADER_BYTES + ((piece + 7) & ~<uint64_t> 7):
                if self._head != started:               # let the consumer have what is there
                    store_release(self._out_head, self._head)
                    started = self._head
                    self._peer_bell.ring()
                if waiting:
                    break
                # Announce, then look again: either the consumer sees the flag or this sees its room.
                flag_store(self._out_waiting, 1)
                full_fence()
                waiting = announced = True
                continue
            waiting = False     # whoever made this room may have taken the announcement: the next wait needs its own
            header = <uint32_t *> (self._out + self._head % self._ring_bytes)
            header[0] = <uint32_t> piece
            header[1] = FRAGMENT_MORE if written + <Py_ssize_t> piece < size else 0
            memcpy(<uint8_t *> header + HEADER_BYTES, data + written, piece)
            self._head += HEADER_BYTES + ((piece + 7) & ~<uint64_t> 7)
            written += <Py_ssize_t> piece
        if announced and written == size:
            flag_store(self._out_waiting, 0)
        if self._head != started:
            store_release(self._out_head, self._head)
            if not self._quiet:
                self._peer_bell.ring()
        return written

    cdef uint64_t _room(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t used = self._head - load_acquire(self._out_tail)
        if used > self._ring_bytes:
            raise LinkBroken(f"{self!r}: the consumer's position is not possible")
        return self._ring_bytes - used

    def can_pump(self):
        """Is something pending that would fit now? For the last look before sleep."""
        return self._broken or bool(self._pending) and self._room() >= self._ring_bytes // 2

    # --- receiving

    def has_input(self):
        return not self.closed and load_acquire(self._in_head) != self._taken

    def receive(self):
        cdef uint64_t available, padded
        cdef uint32_t size, flags
        cdef uint8_t *position
        cdef _Fragment fragment
        self.release()
        if self.closed:
            return None
        while True:
            available = load_acquire(self._in_head) - self._taken
            if available == 0:
                return None
            if available > self._ring_bytes or available < HEADER_BYTES:
                raise LinkBroken(f"{self!r}: the producer's position is not possible")
            position = self._in + self._taken % self._ring_bytes
            size = (<uint32_t *> position)[0]
            flags = (<uint32_t *> position)[1]
            padded = HEADER_BYTES + ((<uint64_t> size + 7) & ~<uint64_t> 7)
            if padded > available or size == 0 or flags & ~<uint32_t> FRAGMENT_MORE:
                raise LinkBroken(f"{self!r}: a fragment of {size} bytes, flags {flags}, in {available} bytes")
            if self._assembled is None and not flags & FRAGMENT_MORE:
                fragment = _Fragment.__new__(_Fragment)
                fragment.mapping = self._mapping
                fragment.data = position + HEADER_BYTES
                fragment.size = size
                self._taken += padded
                return memoryview(fragment)
            if self._assembled is None:
                self._assembled = bytearray()
            if len(self._assembled) + <uint64_t> size > BATCH_BYTES_MAX:
                raise LinkBroken(f"{self!r}: a batch over the limit of {BATCH_BYTES_MAX} bytes")
            self._assembled += (position + HEADER_BYTES)[:size]
            self._taken += padded
            if not flags & FRAGMENT_MORE:
                # The last piece is given back with the batch: until then its sender keeps what it lends with it.
                whole, self._assembled = self._assembled, None
                return memoryview(whole).toreadonly()
            self.release()

    cpdef release(self):
        cdef uint64_t used
        if self._tail == self._taken or self.closed:
            return
        self._tail = self._taken
        store_release(self._in_tail, self._tail)
        full_fence()
        if flag_load(self._in_waiting):
            used = load_acquire(self._in_head) - self._tail
            if used <= self._ring_bytes // 2 and flag_exchange(self._in_waiting, 0):
                self._peer_bell.ring()

    def close(self):
        """Nothing goes in or out any more. The memory stays mapped while a view of it is held."""
        self.closed = True
        self._pending.clear()
        self.pending_bytes = 0
        self.congested = False
