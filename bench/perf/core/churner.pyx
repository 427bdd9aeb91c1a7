# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A connection that opens and closes things without end: itself, its channel, or queues.

It follows a script of requests, each with the method that answers it, from its start to its end and again. A fixed
number of steps is a cycle; its time, from the first request to the last answer, is recorded as a latency. A script that ends with the
connection's own end asks the loop for a new socket (`reopen_wanted`), and begins with that.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from bench.perf.core.board cimport (
    CYCLES, LAST_CYCLE_NS, PHASE_RUN, PHASE_STOP, PRODUCERS_DONE, in_window,
)
from bench.perf.core.connection cimport Connection
from bench.perf.core.histogram cimport record


cdef class Churner(Connection):
    cdef list requests                  # bytes of one frame or several
    cdef list answers                   # class id << 16 | method id
    cdef uint32_t step                  # whose request is next, or whose answer is awaited
    cdef uint32_t cycle_steps
    cdef bint waiting
    cdef bint reconnects
    cdef bint done
    cdef uint64_t cycles, quota
    cdef uint64_t began_ns

    def __cinit__(
        self, board, name, fd, frame_max, list script not None, uint32_t cycle_steps, quota=None,
        bint reconnects=False,
    ):
        """`script`: pairs of a request and the (class id, method id) of its answer; whole cycles of `cycle_steps`."""
        if not script or not cycle_steps or len(script) % cycle_steps:
            raise ValueError("a script is one cycle or several")
        self.cycle_steps = cycle_steps
        self.requests = [bytes(request) for request, _ in script]
        self.answers = [(<uint32_t> class_id << 16) | <uint32_t> method_id for _, (class_id, method_id) in script]
        self.quota = <uint64_t> 0xFFFFFFFFFFFFFFFF if quota is None else quota
        self.reconnects = reconnects
        self.reopen_wanted = reconnects

    cdef bint fill(self, uint64_t now_ns) except -1:
        if self.waiting or self.done or self.closing or self.phase < PHASE_RUN:
            return False
        if self.step % self.cycle_steps == 0:
            if self.phase >= PHASE_STOP or self.cycles >= self.quota:
                self.done = True
                self.board.counters[PRODUCERS_DONE] += 1
                return False
            if self.reopen_wanted:
                return False
            self.began_ns = now_ns
        self.write(self.requests[self.step])
        self.waiting = True
        return False

    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        if not self.waiting or word != <uint32_t> self.answers[self.step]:
            return 0
        self.waiting = False
        self.step += 1
        if self.step % self.cycle_steps:
            return 0
        if self.step == <uint32_t> len(self.answers):
            self.step = 0
        self.cycles += 1
        self.board.counters[CYCLES] += 1
        self.board.counters[LAST_CYCLE_NS] = now_ns
        if in_window(self.board, self.began_ns):
            record(self.board.latency, now_ns - self.began_ns if now_ns > self.began_ns else 0)
        self.reopen_wanted = self.reconnects
        return 0

    cdef int close(self) except -1:
        """Between two cycles a connection that opens and closes itself is closed."""
        if not self.reconnects:
            return Connection.close(self)
        self.closing = self.closed = True
        return 0
