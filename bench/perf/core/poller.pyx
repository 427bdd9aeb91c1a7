# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A consumer that asks for each message with basic.get, one question at a time, of its queues in turn.

Its interval is from one question to the next, if the answer does not take longer. The time from a question to the last byte
of its answer is a round trip, whether there was a message or not; what it does with a message is the consumer's.
"""
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from amqp091.scanner cimport load64
from bench.perf.core.board cimport (
    CONSUMING, EMPTY, LAST_REPLY_NS, PHASE_CONSUME, PHASE_RUN, REPLIED, in_window,
)
from bench.perf.core.connection cimport CONTENT_DELIVERY, NEVER_NS
from bench.perf.core.consumer cimport Consumer
from bench.perf.core.histogram cimport record

cdef enum:
    BASIC_GET_OK = 60 << 16 | 71
    BASIC_GET_EMPTY = 60 << 16 | 72
    GET_OK_BYTES_MIN = 8 + 1 + 1 + 1 + 4        # with empty exchange and routing key


cdef class Poller(Consumer):
    cdef list questions                 # [place]: a basic.get frame
    cdef uint64_t interval_ns
    cdef uint64_t asked_ns, next_ns
    cdef bint waiting

    def __cinit__(self, *args, list questions not None, uint64_t interval_ns=0, **kwargs):
        """`questions` has a basic.get frame for each queue; in place of basic.consume, so `start` is not sent."""
        if <Py_ssize_t> self.places != len(questions):
            raise ValueError("a poller has a question for each of its queues")
        self.questions = [bytes(question) for question in questions]
        self.interval_ns = interval_ns
        self.timed = interval_ns > 0

    cdef int on_phase(self, uint64_t phase, uint64_t now_ns) except -1:
        if phase == PHASE_CONSUME:
            self.board.counters[CONSUMING] += self.places
        return 0

    cdef uint64_t due_ns(self) noexcept:
        return NEVER_NS if self.waiting or self.closing or self.phase < PHASE_RUN else self.next_ns

    cdef bint fill(self, uint64_t now_ns) except -1:
        if self.waiting or self.closing or self.phase < PHASE_RUN or now_ns < self.next_ns:
            return False
        self.place = self.place + 1 if self.place + 1 < self.places else 0
        self.write(self.questions[self.place])
        self.waiting = True
        self.asked_ns = now_ns
        self.next_ns = now_ns + self.interval_ns
        return False

    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        if word == BASIC_GET_OK:
            if n < GET_OK_BYTES_MIN:
                raise self.failure("the broker sent a basic.get-ok that is too short")
            self.delivery_tag = load64(arguments)
            self.redelivered = arguments[8] & 1
            self.content = CONTENT_DELIVERY
        elif word == BASIC_GET_EMPTY:
            self.board.counters[EMPTY] += 1
            self.answered(now_ns)
        return 0

    cdef int on_content(self, uint64_t now_ns) except -1:
        self.answered(now_ns)
        return Consumer.on_content(self, now_ns)

    cdef void answered(self, uint64_t now_ns) noexcept:
        self.waiting = False
        self.board.counters[REPLIED] += 1
        self.board.counters[LAST_REPLY_NS] = now_ns
        if in_window(self.board, self.asked_ns):
            record(self.board.reply_latency, now_ns - self.asked_ns if now_ns > self.asked_ns else 0)
