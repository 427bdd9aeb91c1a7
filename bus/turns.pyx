# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The turn of a process's links: batches in, the process's answer, and sleep only when no ring holds anything.

Compiled, because at low rates a turn carries one message: what it costs is then what the message costs. Which links
there are is decided by its subclass, bus/links.py, which also says what the callbacks promise.
"""
from libc.stdint cimport uint64_t

from bus.doorbell cimport Doorbell, bells_rung
from bus.linger cimport LINGER_NS, Linger, monotonic_ns

from bus.bad_record import BadRecord
from bus.limits import LINK_TURN_BATCHES_MAX
from bus.ring import LinkBroken

cdef Py_ssize_t TURN_BATCHES_MAX = LINK_TURN_BATCHES_MAX


cdef class LinkTurns:
    def __init__(self, loop, on_batch, on_writable, on_idle, on_failure, Doorbell doorbell):
        self._loop = loop
        self._on_batch = on_batch
        self._on_writable = on_writable
        self._on_idle = on_idle
        self._on_failure = on_failure
        self._doorbell = doorbell
        self._ends = {}
        self._in_order = None
        self._scheduled = False
        self._closed = False
        self._first = 0
        self._linger = Linger()
        self._rung = 0

    def schedule(self):
        """A turn soon, if none is due."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _add(self, key, end):
        self._ends[key] = end
        self._in_order = None

    def _remove(self, key):
        del self._ends[key]
        self._in_order = None

    def _on_doorbell(self):
        self._doorbell.take()
        if not self._scheduled:
            self._scheduled = True
            self._turn()

    cpdef int began(self) except -1:
        """The process works, without a turn of its links: nobody needs to ring. `rest` must follow."""
        if self._doorbell is not None:
            self._doorbell.awake()
        return 0

    cpdef int rest(self, bint wait=True) except -1:
        """The end of such work. What peers have answered meanwhile is taken now, without a bell and a look at the loop.

        Where one of them had to be woken, its answer is waited for awake, if the caller likes and it is worth it
        (bus/linger.pyx). Nothing can be lost by it: while the flag says awake nobody rings, and whatever comes before
        it says asleep is seen by the look after.
        """
        if self._closed or self._scheduled or self._doorbell is None:
            return 0
        if bells_rung() != self._rung:
            self._rung = bells_rung()
            if wait and self._linger.due() and self.answered():
                self._turn()
                return 0
        self._doorbell.sleep()
        if self.work_left():
            self._turn()
        return 0

    cpdef int take(self) except -1:
        """In the middle of a long stretch of such work: what peers have answered so far, without an end of the turn."""
        if self._closed:
            return 0
        for end in self.in_order():
            if end.has_input():
                self.serve(end)
        return 0

    cdef bint answered(self) except -1:
        """Waits for one of those that were woken."""
        cdef uint64_t began_ns = monotonic_ns()
        cdef uint64_t waited_ns = 0
        cdef bint found = False
        self._doorbell.awake()          # who wakes others without having said that it works says so now
        while not found and waited_ns < LINGER_NS:
            self._linger.step_aside()
            found = self.work_left()
            waited_ns = monotonic_ns() - began_ns
        self._linger.ended(found, waited_ns)
        return found

    def _turn(self):
        cdef tuple ends
        cdef Py_ssize_t i, count
        if self._closed:
            return
        self._scheduled = False
        if self._doorbell is not None:
            self._doorbell.awake()
        ends = self.in_order()
        count = len(ends)
        if count:
            self._first = (self._first + 1) % count     # which link begins the turn: each once
            for i in range(self._first, self._first + count):
                self.serve(ends[i % count])
        self.call(self._on_idle)
        if self.work_left():
            self.schedule()
            return
        if self._doorbell is not None:
            self._rung = bells_rung()   # whom this turn woke has nothing to answer that is waited for
            self._doorbell.sleep()
            if self.work_left():
                self._doorbell.awake()
                self.schedule()

    cdef tuple in_order(self):
        if self._in_order is None:
            self._in_order = tuple(self._ends.values())
        return self._in_order

    cdef int serve(self, end) except -1:
        cdef Py_ssize_t i
        try:
            if end.pump():
                self.call(self._on_writable, end)
            for i in range(TURN_BATCHES_MAX):
                view = end.receive()
                if view is None:
                    return 0
                self.call_batch(end, view)
            end.release()
        except LinkBroken as error:
            self._broken(end, error)
        return 0

    cdef bint work_left(self) except -1:
        try:
            for end in self.in_order():
                if end.has_input() or end.can_pump():
                    return True
        except LinkBroken:
            return True
        return False

    cdef int call_batch(self, end, view) except -1:
        try:
            self._on_batch(end, view)
        except BadRecord as error:
            self._broken(end, error)
        except BaseException as error:
            self.failed(error)
        return 0

    cdef int call(self, callback, end=None) except -1:
        try:
            if end is None:
                callback()
            else:
                callback(end)
        except BaseException as error:
            self.failed(error)
        return 0

    cdef int failed(self, error) except -1:
        if self._on_failure is None or not isinstance(error, Exception):
            raise error
        self._on_failure(error)
        return 0

    def _call_batch(self, end, view):
        self.call_batch(end, view)

    def _call(self, callback, end):
        self.call(callback, end)

    def _broken(self, end, error):
        raise NotImplementedError("bus/links.py decides")
