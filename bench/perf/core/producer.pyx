# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A connection that publishes: at a rate, within a window of unconfirmed messages, or as fast as the socket takes it.

A message carries the time at which it was handed to the output, or, where the broker held the producer up (confirm
window, TCP, connection.blocked, channel.flow), the time at which it was due by the rate: such waits are latency that a
user would see. The end of publishing is a basic.qos, whose answer proves that the broker has read everything before.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from amqp091.scanner cimport METHOD_BASIC_ACK, METHOD_BASIC_NACK, load64
from bench.perf.core.board cimport (
    BAD_CONFIRMS, BLOCKED_EVENTS, BLOCKED_NOW, BLOCKED_NS, CONFIRMED, EXPECTED, LAST_CONFIRM_NS, LAST_PUBLISH_NS,
    NACKED, PHASE_RUN, PHASE_STOP, PRODUCERS_DONE, PUBLISHED, RETURNED, STARTED_NS, in_window,
)
from bench.perf.core.connection cimport CONTENT_RETURN, NEVER_NS, Connection
from bench.perf.core.histogram cimport record
from bench.perf.core.template cimport Stamp, Template

from amqp091.methods import BasicQos, ChannelFlowOk, encode

cdef enum:
    BATCH_BYTES = 64 << 10              # unsent output at which filling stops
    SETTLE_BYTES = 9                    # delivery tag and bits
    TIMES_MIN = 1024
    TIMES_PER_WINDOW = 4                # acks may leave gaps, so the ring is larger than the window

    BASIC_RETURN = 60 << 16 | 50
    BASIC_QOS_OK = 60 << 16 | 11
    CHANNEL_FLOW = 20 << 16 | 20
    CONNECTION_BLOCKED = 10 << 16 | 60
    CONNECTION_UNBLOCKED = 10 << 16 | 61

cdef bytes SYNC_FRAME = encode(1, BasicQos(0, 0, False))
cdef bytes FLOW_OK_FRAME = encode(1, ChannelFlowOk(True))
cdef bytes FLOW_STOPPED_OK_FRAME = encode(1, ChannelFlowOk(False))


cdef class Producer(Connection):
    def __cinit__(
        self, board, name, fd, frame_max, Template template not None, uint32_t number, const uint32_t[::1] keys not None,
        const uint32_t[::1] copies not None, quota=None, uint64_t window=0, double rate=0.0, uint64_t offset_ns=0,
        **kwargs,
    ):
        """`keys` and `copies` have an entry for each key that is used, in turn. `rate`: messages per second, 0: no limit.
        `kwargs` are those of requesters.
        """
        cdef Py_ssize_t i
        cdef uint64_t capacity = TIMES_MIN
        if keys.shape[0] == 0 or copies.shape[0] != keys.shape[0]:
            raise ValueError("a producer needs keys, and the copies of each")
        self.template = template
        self.number = number
        self.slots = <uint32_t> keys.shape[0]
        self.keys = <uint32_t *> calloc(self.slots, sizeof(uint32_t))
        self.copies = <uint32_t *> calloc(self.slots, sizeof(uint32_t))
        if self.keys == NULL or self.copies == NULL:
            raise MemoryError()
        for i in range(self.slots):
            if keys[i] >= template.keys:
                raise ValueError(f"the template has no key {keys[i]}")
            self.keys[i] = keys[i]
            self.copies[i] = copies[i]
        self.quota = NEVER_NS if quota is None else quota
        self.period_ns = 1e9 / rate if rate > 0 else 0.0
        self.timed = rate > 0
        self.offset_ns = offset_ns
        self.window = window
        self.lowest = 1
        if window:
            while capacity < TIMES_PER_WINDOW * window:
                capacity *= 2
            self.times = <uint64_t *> calloc(capacity, sizeof(uint64_t))
            if self.times == NULL:
                raise MemoryError()
            self.mask = capacity - 1

    def __dealloc__(self):
        free(self.keys)
        free(self.copies)
        free(self.times)

    # -- publishing

    cdef int on_phase(self, uint64_t phase, uint64_t now_ns) except -1:
        if phase == PHASE_RUN:
            self.started_ns = self.board.head[STARTED_NS] + self.offset_ns
        return 0

    cdef uint64_t scheduled_ns(self) noexcept:
        return self.started_ns + <uint64_t> (<double> self.sequence * self.period_ns)

    cdef uint64_t due_ns(self) noexcept:
        if self.period_ns == 0.0 or self.phase != PHASE_RUN or self.stalled or self.sync_sent:
            return NEVER_NS
        return self.scheduled_ns()

    cdef bint held_up(self) noexcept:
        """By the broker."""
        return self.blocked or self.flow_stopped or (self.window != 0 and (
            self.outstanding >= self.window or self.sequence + 1 - self.lowest > self.mask))

    cdef bint fill(self, uint64_t now_ns) except -1:
        cdef uint64_t first = self.sequence
        cdef uint64_t due_ns
        cdef bint full = False
        if self.phase < PHASE_RUN or self.done or self.closing:
            return False
        while self.sequence < self.quota and self.phase == PHASE_RUN:
            due_ns = self.scheduled_ns() if self.period_ns != 0.0 else now_ns
            if due_ns > now_ns:
                self.stalled = False
                break
            full = self.unsent() >= BATCH_BYTES
            if full or self.held_up():
                self.stalled = True
                break
            self.publish(due_ns if self.stalled else now_ns)
        self.board.counters[PUBLISHED] += self.sequence - first
        if (self.sequence >= self.quota or self.phase >= PHASE_STOP) and not self.sync_sent:
            self.write(SYNC_FRAME)
            self.sync_sent = True
        return full

    cdef int publish(self, uint64_t time_ns) except -1:
        cdef uint32_t key = self.keys[self.slot]
        cdef size_t n = self.template.message_bytes(key)
        cdef Stamp stamp
        stamp.time_ns = time_ns
        stamp.sequence = self.sequence
        stamp.producer = self.number
        stamp.run = self.template.run
        self.template.render(self.room(n), key, &stamp)
        self.wrote(n)
        self.board.counters[EXPECTED] += self.copies[self.slot]
        self.slot += 1
        if self.slot == self.slots:
            self.slot = 0
        self.sequence += 1
        if self.window:
            self.times[self.sequence & self.mask] = time_ns
            self.outstanding += 1
        return 0

    # -- what the broker says

    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        if word == METHOD_BASIC_ACK or word == METHOD_BASIC_NACK:
            if n != SETTLE_BYTES:
                raise self.failure("the broker sent a confirm of the wrong length")
            self.confirm(load64(arguments), arguments[SETTLE_BYTES - 1] & 1, word == METHOD_BASIC_NACK, now_ns)
        elif word == BASIC_RETURN:
            self.content = CONTENT_RETURN
        elif word == BASIC_QOS_OK:
            self.sync_answered = self.sync_sent
            self.board.counters[LAST_PUBLISH_NS] = now_ns
        elif word == CHANNEL_FLOW:
            self.flow_stopped = n > 0 and not arguments[0] & 1
            self.write(FLOW_STOPPED_OK_FRAME if self.flow_stopped else FLOW_OK_FRAME)
        elif word == CONNECTION_BLOCKED:
            self.block(True, now_ns)
        elif word == CONNECTION_UNBLOCKED:
            self.block(False, now_ns)
        self.check_done()
        return 0

    cdef int on_content(self, uint64_t now_ns) except -1:
        self.board.counters[RETURNED] += 1
        return 0

    cdef void block(self, bint blocked, uint64_t now_ns) noexcept:
        cdef uint64_t *counters = self.board.counters
        if blocked == self.blocked:
            return
        self.blocked = blocked
        if blocked:
            counters[BLOCKED_EVENTS] += 1
            counters[BLOCKED_NOW] += 1
            self.blocked_since_ns = now_ns
        else:
            counters[BLOCKED_NOW] -= 1
            counters[BLOCKED_NS] += now_ns - self.blocked_since_ns

    cdef int confirm(self, uint64_t tag, bint multiple, bint refused, uint64_t now_ns) except -1:
        cdef uint64_t *counters = self.board.counters
        if multiple and tag == 0:
            tag = self.sequence                 # everything so far
        if not self.window or tag > self.sequence:
            raise self.failure(f"the broker confirmed tag {tag}, but only {self.sequence} were published")
        counters[LAST_CONFIRM_NS] = now_ns
        if multiple:
            while self.lowest <= tag:
                if self.times[self.lowest & self.mask]:
                    self.answered(self.lowest, refused, now_ns)
                self.lowest += 1
        elif tag < self.lowest or self.times[tag & self.mask] == 0:
            counters[BAD_CONFIRMS] += 1
        else:
            self.answered(tag, refused, now_ns)
        while self.lowest <= self.sequence and self.times[self.lowest & self.mask] == 0:
            self.lowest += 1
        return 0

    cdef void answered(self, uint64_t tag, bint refused, uint64_t now_ns) noexcept:
        cdef uint64_t *counters = self.board.counters
        cdef uint64_t *time_ns = &self.times[tag & self.mask]
        if in_window(self.board, time_ns[0]):
            record(self.board.confirm_latency, now_ns - time_ns[0] if now_ns > time_ns[0] else 0)
        time_ns[0] = 0
        self.outstanding -= 1
        if refused:
            counters[NACKED] += 1
            counters[EXPECTED] -= self.copies[(tag - 1) % self.slots]
        else:
            counters[CONFIRMED] += 1

    cdef void check_done(self) noexcept:
        if self.sync_answered and not self.outstanding and not self.done:
            self.done = True
            self.board.counters[PRODUCERS_DONE] += 1
