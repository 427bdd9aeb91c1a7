# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A connection that consumes from one queue or several, acknowledges in batches, and has every delivery checked.

Its consumer tags are its queues' places in its own list: "0", "1", ... Latency is from the time in a message's stamp to
the moment at which its bytes were read.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from amqp091.renderer cimport ACK_FRAME_BYTES, write_ack
from amqp091.scanner cimport load64
from bench.perf.core.board cimport (
    ACKNOWLEDGED, CONSUMING, DELIVERED, LAST_DELIVERY_NS, PHASE_CONSUME, PHASE_STOP, REDELIVERED, in_window,
)
from bench.perf.core.connection cimport CONTENT_DELIVERY, NEVER_NS, Connection
from bench.perf.core.histogram cimport record
from bench.perf.core.template cimport STAMP_BYTES, STAMP_SEQUENCE, Stamp
from bench.perf.core.verifier cimport Verifier

cdef enum:
    CHANNEL = 1
    BASIC_CONSUME_OK = 60 << 16 | 21
    BASIC_DELIVER = 60 << 16 | 60
    DELIVER_BYTES_MIN = 1 + 8 + 1 + 1 + 1       # with empty consumer tag, exchange and routing key
    TAG_DIGITS_MAX = 9
    PACED_READ_BYTES = 1024             # few messages at once


cdef class Consumer(Connection):
    def __cinit__(
        self, board, name, fd, frame_max, bytes start not None, const uint32_t[::1] queues not None,
        Verifier verifier=None, uint32_t ack_every=1, double rate=0.0, **kwargs,
    ):
        """`rate`: messages per second at most, 0: no limit. `kwargs` are those of pollers and responders."""
        cdef Py_ssize_t i
        if queues.shape[0] == 0:
            raise ValueError("a consumer needs a queue")
        self.start = start
        self.verifier = verifier
        self.ack_every = ack_every
        self.period_ns = <uint64_t> (1e9 / rate) if rate > 0 else 0
        self.timed = rate > 0
        self.read_bytes = PACED_READ_BYTES if self.timed else 0
        self.places = <uint32_t> queues.shape[0]
        self.queues = <uint32_t *> calloc(self.places, sizeof(uint32_t))
        if self.queues == NULL:
            raise MemoryError()
        for i in range(self.places):
            if verifier is not None and queues[i] >= verifier.queues:
                raise ValueError(f"the verifier has no queue {queues[i]}")
            self.queues[i] = queues[i]
        if verifier is not None:
            self.last = <uint64_t *> calloc(<size_t> self.places * verifier.producers + 1, sizeof(uint64_t))
            if self.last == NULL:
                raise MemoryError()

    def __dealloc__(self):
        free(self.queues)
        free(self.last)

    cdef int on_phase(self, uint64_t phase, uint64_t now_ns) except -1:
        if phase == PHASE_CONSUME:
            self.write(self.start)
        elif phase >= PHASE_STOP:
            self.period_ns = self.resume_ns = 0         # what is left is not measured
            self.read_bytes = 0
        return 0

    cdef uint64_t due_ns(self) noexcept:
        return self.resume_ns if self.paused else NEVER_NS

    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        cdef size_t tag_bytes
        if word == BASIC_DELIVER:
            tag_bytes = arguments[0] if n else 0
            if n < tag_bytes + DELIVER_BYTES_MIN:
                raise self.failure("the broker sent a basic.deliver that is too short")
            self.place = self.place_of(arguments + 1, tag_bytes) if self.places > 1 else 0
            self.delivery_tag = load64(arguments + 1 + tag_bytes)
            self.redelivered = arguments[1 + tag_bytes + 8] & 1
            self.content = CONTENT_DELIVERY
        elif word == BASIC_CONSUME_OK:
            self.board.counters[CONSUMING] += 1
        return 0

    cdef uint32_t place_of(self, const uint8_t *tag, size_t n) except? 0xFFFFFFFF:
        cdef uint32_t place = 0
        cdef size_t i
        cdef bint known = 0 < n <= TAG_DIGITS_MAX
        if known:
            for i in range(n):
                known = known and c"0" <= tag[i] <= c"9"
                place = place * 10 + tag[i] - c"0"
        if not known or place >= self.places:
            raise self.failure(f"the broker delivered for an unknown consumer tag {(<const char *> tag)[:n]!r}")
        return place

    cdef int on_content(self, uint64_t now_ns) except -1:
        cdef uint64_t *counters = self.board.counters
        cdef Stamp stamp
        counters[DELIVERED] += 1
        counters[REDELIVERED] += self.redelivered
        counters[LAST_DELIVERY_NS] = now_ns
        if self.period_ns:
            self.resume_ns = (self.resume_ns if self.resume_ns > now_ns else now_ns) + self.period_ns
        if self.stamp_bytes >= STAMP_SEQUENCE:
            memcpy(&stamp, self.stamp, STAMP_BYTES)
            if in_window(self.board, stamp.time_ns):
                record(self.board.latency, now_ns - stamp.time_ns if now_ns > stamp.time_ns else 0)
            if self.verifier is not None and self.stamp_bytes == STAMP_BYTES:
                self.verifier.check(self.queues[self.place], &stamp, self.redelivered,
                                    self.last + <size_t> self.place * self.verifier.producers)
        if self.ack_every:
            self.unacknowledged += 1
            if self.unacknowledged >= self.ack_every:
                self.acknowledge()
        return 0

    cdef int acknowledge(self) except -1:
        """Everything up to the last delivery."""
        write_ack(self.room(ACK_FRAME_BYTES), CHANNEL, self.delivery_tag, self.unacknowledged > 1)
        self.wrote(ACK_FRAME_BYTES)
        self.board.counters[ACKNOWLEDGED] += self.unacknowledged
        self.unacknowledged = 0
        return 0

    cdef int finish(self) except -1:
        if self.unacknowledged:
            self.acknowledge()
        return 0
