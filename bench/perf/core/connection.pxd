"""One connection of the load. See connection.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bench.perf.core.board cimport Board
from bench.perf.core.template cimport STAMP_BYTES

cdef extern from *:
    """
    #define WARREN_NEVER_NS 0xFFFFFFFFFFFFFFFFULL
    """
    const uint64_t NEVER_NS "WARREN_NEVER_NS"

cdef enum:
    CONTENT_NONE = 0
    CONTENT_DELIVERY = 1
    CONTENT_RETURN = 2


cdef class Connection:
    cdef readonly str name
    cdef public int fd
    cdef Board board
    cdef uint32_t frame_max
    cdef uint64_t phase                 # that the connection has been told
    cdef bint closing                   # connection.close has been written
    cdef bint closed                    # and answered, or broken off
    cdef bint reopen_wanted             # a new socket, before anything else
    cdef bint timed                     # does something at a rate, so that due_ns has to be asked for
    cdef readonly uint64_t resume_ns    # until then it wants to read nothing
    cdef uint32_t read_bytes            # at once; 0: as many as the loop likes
    # for the loop
    cdef bint paused                    # it is not read, because of that
    cdef object opener                  # makes a new socket, which connects, and returns its descriptor
    cdef uint32_t events
    cdef uint8_t *left                  # the start of a frame that has not come whole
    cdef size_t left_bytes, left_capacity
    # unsent output: out[out_at:out_end]
    cdef uint8_t *out
    cdef size_t out_at, out_end, out_capacity
    # content that is coming in
    cdef int content
    cdef bint in_body
    cdef uint64_t body_left
    cdef size_t stamp_bytes
    cdef uint8_t stamp[STAMP_BYTES]

    # room for n more bytes of output; the caller says with `wrote` how many it used
    cdef uint8_t *room(self, size_t n) except NULL
    cdef void wrote(self, size_t n) noexcept
    cdef int write(self, bytes data) except -1
    cdef size_t unsent(self) noexcept
    cdef void sent(self, size_t n) noexcept
    cdef void forget_traffic(self) noexcept     # what belongs to an old socket

    # takes all whole frames; how many bytes they are
    cdef Py_ssize_t receive(self, const uint8_t *data, size_t n, uint64_t now_ns) except -1
    cdef int take_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1
    cdef int take_header(self, const uint8_t *payload, size_t n, uint64_t now_ns) except -1
    cdef int take_body(self, const uint8_t *payload, size_t n, uint64_t now_ns) except -1
    cdef int end_content(self, uint64_t now_ns) except -1
    cdef int refused(self, uint32_t word, bytes arguments) except -1
    cdef object failure(self, str text)
    cdef int close(self) except -1

    # what the kinds of connections do
    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1
    cdef int on_content(self, uint64_t now_ns) except -1
    cdef int on_phase(self, uint64_t phase, uint64_t now_ns) except -1
    cdef bint fill(self, uint64_t now_ns) except -1         # write what may be written; True: there is more
    cdef uint64_t due_ns(self) noexcept                     # when fill has to be called, whatever comes
    cdef int finish(self) except -1                         # last words before the close
