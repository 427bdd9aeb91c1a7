"""A link in shared memory, in C. See bus/ring.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bus.doorbell cimport Doorbell


cdef class _Mapping:
    cdef uint8_t *control
    cdef uint8_t *rings[2]
    cdef uint64_t ring_bytes

    cdef uint8_t *_map_twice(self, int descriptor, uint64_t offset) except NULL


cdef class RingEnd:
    cdef readonly bint serving
    cdef readonly str peer_role
    cdef readonly int peer
    cdef readonly int peer_incarnation
    cdef readonly uint64_t next_batch_number
    cdef readonly Py_ssize_t pending_bytes
    cdef readonly bint congested
    cdef readonly bint closed
    cdef public object on_broken    # called where a send finds that the consumer's position is not possible; or None
    cdef _Mapping _mapping
    cdef Doorbell _peer_bell
    cdef bint _quiet                # the peer is not woken for what is being sent
    cdef object _pending            # deque of [bytes, offset of what is not yet in the ring]
    # sending
    cdef uint8_t *_out
    cdef uint64_t *_out_head
    cdef uint64_t *_out_tail
    cdef uint32_t *_out_waiting
    cdef uint64_t _head
    cdef uint64_t _laid_bytes       # in the ring behind the head, not yet handed over: extend and commit
    cdef bint _broken               # such a send: the set's next turn says so
    cdef uint64_t _promised         # where the head will be when nothing is pending any more
    # receiving
    cdef uint8_t *_in
    cdef uint64_t *_in_head
    cdef uint64_t *_in_tail
    cdef uint32_t *_in_waiting
    cdef uint64_t _tail             # given back to the producer
    cdef uint64_t _taken            # read, and given back by release
    cdef uint64_t _ring_bytes
    cdef object _assembled          # bytearray of the fragments so far, or None

    # Room for `n` more bytes of a batch that is written where it will lie; NULL where the ring has none now, or not
    # in one piece. What was got so far stays where it is. `n` is a multiple of 8.
    cdef uint8_t *extend(self, size_t n) noexcept
    # Hands that batch over. So does `send`, before its own.
    cpdef int commit(self) except -1
    cdef Py_ssize_t _write(self, const uint8_t *data, Py_ssize_t size) except -1
    cdef Py_ssize_t _give_up(self, Py_ssize_t size) except -1
    cdef uint64_t _room(self) except? 0xFFFFFFFFFFFFFFFF
    cdef uint64_t _room_for(self, uint64_t size) noexcept
    cpdef release(self)
