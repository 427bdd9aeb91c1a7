# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The board: memory that the coordinator and the workers of a run share, all u64 words.

    word                                what
    0                                   head: phase, start, window start, window end (CLOCK_MONOTONIC, ns)
    8 + worker * WORKER_WORDS           64 counters of a worker, by COUNTERS
      + 64                              its histogram of latencies (histogram.pyx)
      + 64 + HISTOGRAM_WORDS            its histogram of confirm latencies
      + 64 + 2 * HISTOGRAM_WORDS        its histogram of the round trips of requests

Each word has one writer and is read at any time by others; nothing is locked. Only the phase tells anybody to do
something.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from bench.perf.core.histogram cimport HISTOGRAM_WORDS

HEAD = {"phase": PHASE, "started_ns": STARTED_NS, "window_start_ns": WINDOW_START_NS, "window_end_ns": WINDOW_END_NS}
HEAD_COUNT = HEAD_WORDS
COUNTER_COUNT = COUNTER_WORDS
WORKER_WORDS = COUNTER_WORDS + 3 * HISTOGRAM_WORDS
SETUP, CONSUME, RUN, STOP, DONE = PHASE_SETUP, PHASE_CONSUME, PHASE_RUN, PHASE_STOP, PHASE_DONE
COUNTERS = {
    "published": PUBLISHED,
    "confirmed": CONFIRMED,
    "nacked": NACKED,
    "returned": RETURNED,
    "delivered": DELIVERED,
    "redelivered": REDELIVERED,
    "acknowledged": ACKNOWLEDGED,
    "expected": EXPECTED,
    "duplicates": DUPLICATES,
    "out_of_order": OUT_OF_ORDER,
    "misrouted": MISROUTED,
    "foreign": FOREIGN,
    "bad_confirms": BAD_CONFIRMS,
    "blocked_events": BLOCKED_EVENTS,
    "blocked_ns": BLOCKED_NS,
    "last_publish_ns": LAST_PUBLISH_NS,
    "last_confirm_ns": LAST_CONFIRM_NS,
    "last_delivery_ns": LAST_DELIVERY_NS,
    "consuming": CONSUMING,
    "producers_done": PRODUCERS_DONE,
    "cycles": CYCLES,
    "last_cycle_ns": LAST_CYCLE_NS,
    "ready": READY,
    "blocked_now": BLOCKED_NOW,
    "replied": REPLIED,
    "empty": EMPTY,
    "last_reply_ns": LAST_REPLY_NS,
}


cdef class Board:
    """One worker's part of the board. Keeps the memory mapped while it lives."""

    def __cinit__(self, object memory not None, Py_ssize_t worker=0):
        cdef Py_ssize_t words
        PyObject_GetBuffer(memory, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.owner = memory
        words = self.view.len // <Py_ssize_t> sizeof(uint64_t)
        if worker < 0 or words < HEAD_WORDS + (worker + 1) * <Py_ssize_t> WORKER_WORDS:
            PyBuffer_Release(&self.view)
            self.owner = None
            raise ValueError(f"a board of {words} words has no worker {worker}")
        self.head = <uint64_t *> self.view.buf
        self.counters = self.head + HEAD_WORDS + worker * <Py_ssize_t> WORKER_WORDS
        self.latency = self.counters + COUNTER_WORDS
        self.confirm_latency = self.latency + HISTOGRAM_WORDS
        self.reply_latency = self.confirm_latency + HISTOGRAM_WORDS

    def __dealloc__(self):
        if self.owner is not None:
            PyBuffer_Release(&self.view)
