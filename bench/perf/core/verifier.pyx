# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tells of each delivery whether it is a duplicate, out of order, on the wrong queue, or from somewhere else.

Message number `sequence` of a producer has a known key, and so known queues (bench/perf/plan.py). Of each producer and
queue the messages that belong there are numbered without gaps: that number goes to a stream (arrivals.pyx), which
knows duplicates. Order is that of one producer at one consumer of one queue; redelivered messages rightly come late.
Everything is counted on the board; nothing is kept per message.

Two plans: with the default exchange a producer sends to one queue, or to several of its own in turn; with another
exchange every producer uses all keys in turn, starting with its own number. A run that drains what another one
published knows neither: `keys` is 0 and `any_run` is true, then only duplicates and order are checked.
"""
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from bench.perf.core.arrivals cimport arrived_before, free_stream
from bench.perf.core.board cimport DUPLICATES, FOREIGN, MISROUTED, OUT_OF_ORDER
from bench.perf.core.template cimport Stamp

STREAMS_MAX = 1 << 24
"""Of a process: 40 bytes each."""


cdef class Verifier:
    def __cinit__(
        self, Board board not None, uint32_t run, uint32_t producers, uint32_t all_queues,
        const uint32_t[::1] queue_numbers not None, const int32_t[:, ::1] ranks=None, bint any_run=False,
    ):
        cdef uint32_t queue, key, producer
        self.board = board
        self.run = run
        self.any_run = any_run
        self.producers = producers
        self.queues = <uint32_t> queue_numbers.shape[0]
        self.all_queues = all_queues
        self.keys = 0
        if <uint64_t> self.queues * producers > <uint64_t> STREAMS_MAX:
            raise ValueError(f"at most {STREAMS_MAX} pairs of a producer and a queue can be checked")
        if ranks is not None:
            if <uint32_t> ranks.shape[0] != self.queues or ranks.shape[1] == 0:
                raise ValueError("ranks are given for each queue and each key")
            self.keys = <uint32_t> ranks.shape[1]
        self.queue_numbers = <uint32_t *> calloc(self.queues + 1, sizeof(uint32_t))
        self.shares = <uint32_t *> calloc(self.queues + 1, sizeof(uint32_t))
        self.ranks = <int32_t *> calloc(<size_t> self.queues * self.keys + 1, sizeof(int32_t))
        self.streams = <Stream *> calloc(<size_t> self.queues * producers + 1, sizeof(Stream))
        if self.queue_numbers == NULL or self.shares == NULL or self.ranks == NULL or self.streams == NULL:
            raise MemoryError()
        for queue in range(self.queues):
            self.queue_numbers[queue] = queue_numbers[queue]
            for key in range(self.keys):
                self.ranks[<size_t> queue * self.keys + key] = ranks[queue, key]
                self.shares[queue] += ranks[queue, key] >= 0
        for queue in range(self.queues):
            for producer in range(producers):
                self.start_stream(queue, producer)

    def __dealloc__(self):
        cdef size_t i
        if self.streams != NULL:
            for i in range(<size_t> self.queues * self.producers):
                free_stream(&self.streams[i])
        free(self.streams)
        free(self.ranks)
        free(self.shares)
        free(self.queue_numbers)

    cdef void start_stream(self, uint32_t queue, uint32_t producer) noexcept:
        """Its first number: how many of the queue's keys the producer passes over by starting with its own."""
        cdef Stream *stream = &self.streams[<size_t> queue * self.producers + producer]
        cdef uint32_t key
        if self.keys:
            for key in range(producer % self.keys):
                stream.base += self.ranks[<size_t> queue * self.keys + key] >= 0
        stream.top = stream.base

    cdef bint number_of(self, uint32_t queue, const Stamp *stamp, uint64_t *number) noexcept:
        """The message's number among those of its producer for the queue; False: it belongs elsewhere."""
        cdef uint64_t turn, round_, slots
        cdef int32_t rank
        if self.any_run:
            number[0] = stamp.sequence
            return True
        if self.keys:
            turn = stamp.producer % self.keys + stamp.sequence
            round_ = turn // self.keys
            rank = self.ranks[<size_t> queue * self.keys + (turn - round_ * self.keys)]
            number[0] = round_ * self.shares[queue] + <uint32_t> rank
            return rank >= 0
        if self.producers >= self.all_queues:
            number[0] = stamp.sequence
            return stamp.producer % self.all_queues == self.queue_numbers[queue]
        # its queues are producer, producer + P, producer + 2 P, ...
        slots = (self.all_queues - stamp.producer + self.producers - 1) // self.producers
        round_ = stamp.sequence // slots
        number[0] = round_
        return stamp.producer + (stamp.sequence - round_ * slots) * self.producers == self.queue_numbers[queue]

    cdef int check(self, uint32_t queue, const Stamp *stamp, bint redelivered, uint64_t *last) except -1:
        cdef uint64_t number
        cdef uint64_t *counters = self.board.counters
        if (stamp.producer >= self.producers or stamp.sequence >> SEQUENCE_BITS_MAX
                or (stamp.run != self.run and not self.any_run)):
            counters[FOREIGN] += 1
        elif not self.number_of(queue, stamp, &number):
            counters[MISROUTED] += 1
        elif arrived_before(&self.streams[<size_t> queue * self.producers + stamp.producer], number,
                            &self.window_memory):
            counters[DUPLICATES] += 1
        elif redelivered:
            pass
        elif stamp.sequence < last[stamp.producer]:
            counters[OUT_OF_ORDER] += 1
        else:
            last[stamp.producer] = stamp.sequence + 1
        return 0

    def deliver(self, uint32_t queue, uint32_t producer, uint64_t sequence, uint64_t[::1] last not None,
                bint redelivered=False, run=None):
        """One delivery, for tests."""
        cdef Stamp stamp
        if queue >= self.queues or <uint64_t> last.shape[0] < self.producers:
            raise IndexError(queue)
        stamp.time_ns = 0
        stamp.sequence = sequence
        stamp.producer = producer
        stamp.run = self.run if run is None else run
        self.check(queue, &stamp, redelivered, &last[0])
