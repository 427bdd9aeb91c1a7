# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Waking a process: one eventfd per process, and a flag in shared memory that tells whether it sleeps.

The supervisor makes the eventfds and the file of flags before it starts anybody, so both outlive any child and a
restarted child answers to the same bell. Ringing costs a system call only while the owner sleeps:

    owner:  sleeping = 1; full fence; look at every ring once more; sleep
    other:  write into the ring; full fence; if sleeping was 1, set it to 0 and write to the eventfd

Of the two, one sees what the other did. The file of flags:

    offset                  size  field
    64 * slot                  4  sleeping (u32: 0 or 1)
"""
import mmap
import os

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.unistd cimport read, write

from bus.atomics cimport flag_exchange, flag_load, flag_store, full_fence

SLOT_BYTES = 64
"""A cache line each, so that processes do not slow one another."""


def create_board(path, int slots):
    """Makes the file of flags for `slots` processes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, max(1, slots) * SLOT_BYTES)
    finally:
        os.close(descriptor)


def map_board(path):
    """The flags, shared with every process that maps them."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, 0)
    finally:
        os.close(descriptor)


cdef class Doorbell:
    """The bell of one process. Its owner sleeps and wakes, everybody else rings."""

    def __init__(self, board, int slot, int descriptor):
        cdef uint8_t[::1] view = board
        if slot < 0 or (slot + 1) * 64 > view.shape[0]:
            raise ValueError(f"no slot {slot} on the board of doorbells")
        self._memory = board
        self._sleeping = <uint32_t *> &view[slot * 64]
        self.descriptor = descriptor

    cdef void ring(self) noexcept:
        global rung
        full_fence()
        if flag_load(self._sleeping) and flag_exchange(self._sleeping, 0):
            rung += 1
            write_one(self.descriptor)

    def wake(self):
        """Ring it, from Python."""
        self.ring()

    cpdef sleep(self):
        """Owner: announce sleep. What was written before the other side could see this must be looked for now."""
        flag_store(self._sleeping, 1)
        full_fence()

    cpdef awake(self):
        """Owner: no sleep after all, or no longer."""
        flag_store(self._sleeping, 0)

    @property
    def sleeping(self):
        return bool(flag_load(self._sleeping))

    cpdef take(self):
        """Owner: empty the eventfd after it woke the loop."""
        cdef uint64_t count
        if read(self.descriptor, &count, sizeof(count)) < 0 and errno != EAGAIN and errno != EINTR:
            raise OSError(errno, os.strerror(errno))


cdef uint64_t rung = 0


cdef uint64_t bells_rung() noexcept:
    """How many sleepers this process has woken."""
    return rung


cdef void write_one(int descriptor) noexcept:
    # Can only fail where the counter is full after 2**64 - 2 unread rings; then the owner is awake anyway.
    cdef uint64_t one = 1
    write(descriptor, &one, sizeof(one))
