# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A producer that is a client: its messages are requests, and it waits for their answers, which come on its own connection.

The window is that of unanswered requests. An answer is known by the stamp that it brings back; the time from a request to its
answer is a round trip. Before the first request the client consumes from where the answers come to.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bench.perf.core.board cimport (
    CONSUMING, FOREIGN, LAST_REPLY_NS, PHASE_CONSUME, REPLIED, in_window,
)
from bench.perf.core.connection cimport CONTENT_DELIVERY
from bench.perf.core.histogram cimport record
from bench.perf.core.producer cimport Producer
from bench.perf.core.template cimport STAMP_BYTES, Stamp

cdef enum:
    BASIC_CONSUME_OK = 60 << 16 | 21
    BASIC_DELIVER = 60 << 16 | 60


cdef class Requester(Producer):
    cdef bytes start                    # basic.consume

    def __cinit__(self, *args, bytes start not None, **kwargs):
        if not self.window:
            raise ValueError("a requester has a window")
        self.start = start

    cdef int on_phase(self, uint64_t phase, uint64_t now_ns) except -1:
        if phase == PHASE_CONSUME:
            self.write(self.start)
        return Producer.on_phase(self, phase, now_ns)

    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        if word == BASIC_DELIVER:
            self.content = CONTENT_DELIVERY
            return 0
        if word == BASIC_CONSUME_OK:
            self.board.counters[CONSUMING] += 1
            return 0
        return Producer.on_method(self, word, arguments, n, now_ns)

    cdef int on_content(self, uint64_t now_ns) except -1:
        cdef Stamp stamp
        if self.content != CONTENT_DELIVERY:
            return Producer.on_content(self, now_ns)
        memcpy(&stamp, self.stamp, STAMP_BYTES)
        if (self.stamp_bytes < STAMP_BYTES or stamp.producer != self.number or stamp.run != self.template.run
                or stamp.sequence >= self.sequence):
            self.board.counters[FOREIGN] += 1
            return 0
        self.confirm(stamp.sequence + 1, False, False, now_ns)
        self.check_done()
        return 0

    cdef void answered(self, uint64_t tag, bint refused, uint64_t now_ns) noexcept:
        cdef uint64_t *counters = self.board.counters
        cdef uint64_t *time_ns = &self.times[tag & self.mask]
        if in_window(self.board, time_ns[0]):
            record(self.board.reply_latency, now_ns - time_ns[0] if now_ns > time_ns[0] else 0)
        time_ns[0] = 0
        self.outstanding -= 1
        counters[REPLIED] += 1
        counters[LAST_REPLY_NS] = now_ns
