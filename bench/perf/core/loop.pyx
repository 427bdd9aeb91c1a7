# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loop of a worker: epoll, reads and writes for all of its connections, until the run is over.

The only part of the core that makes system calls and reads the clock. It follows the phase on the board, hands what was
read to the connections, lets them fill their output, and writes it. One thread; Python is called only for new sockets.
"""
from libc.errno cimport EAGAIN, EINTR, ENOSYS, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, strerror

from bench.perf.core.board cimport PHASE, PHASE_DONE, PHASE_RUN, READY, Board
from bench.perf.core.connection cimport NEVER_NS, Connection
from bus.atomics cimport load_acquire

from bench.perf.errors import LoadError

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <sys/epoll.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    static inline uint64_t warren_perf_now_ns(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
    }
    /* epoll_wait with nanoseconds, where the kernel has it (Linux 5.11); its wrapper in libc is younger than some libc. */
    static int warren_perf_wait(int descriptor, struct epoll_event *events, int count, uint64_t timeout_ns)
    {
    #ifdef SYS_epoll_pwait2
        static int missing;
        if (!missing) {
            struct { int64_t seconds, nanoseconds; } timeout = {
                (int64_t) (timeout_ns / 1000000000u), (int64_t) (timeout_ns % 1000000000u) };
            int found = (int) syscall(SYS_epoll_pwait2, descriptor, events, count, &timeout, (void *) 0, (size_t) 8);
            if (found >= 0 || errno != ENOSYS)
                return found;
            missing = 1;
        }
    #endif
        return epoll_wait(descriptor, events, count, (int) (timeout_ns / 1000000u));
    }
    """
    uint64_t now_ns "warren_perf_now_ns"() noexcept nogil
    int wait_for_events "warren_perf_wait"(int descriptor, epoll_event *events, int count, uint64_t timeout_ns) nogil
    int prctl(int option, unsigned long value) nogil
    enum:
        PR_SET_TIMERSLACK

cdef extern from "sys/epoll.h" nogil:
    cdef union epoll_data:
        void *ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data data
    int epoll_create1(int flags)
    int epoll_ctl(int descriptor, int operation, int fd, epoll_event *event)
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLL_CLOEXEC

cdef extern from "sys/socket.h" nogil:
    ssize_t c_recv "recv"(int fd, void *data, size_t n, int flags)
    ssize_t c_send "send"(int fd, const void *data, size_t n, int flags)
    enum:
        MSG_NOSIGNAL
        MSG_DONTWAIT

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)

cdef enum:
    READ_BYTES = 128 << 10              # asked for at once
    READS_PER_TURN = 4                  # of one connection before the others have their turn
    FILLS_PER_TURN = 8
    UNSENT_BYTES_MAX = 1 << 20          # a consumer whose acks the broker does not take is not read on
    EVENTS_MAX = 256
    WAIT_NS_MAX = 10_000_000            # how soon a new phase is noticed
    WAIT_NS_MIN = 50_000                # what is due earlier than this is late by no more than this
    TIMER_SLACK_NS = 1_000
    CLOSE_NS_MAX = 5_000_000_000        # for the answers to connection.close


cdef class Loop:
    """Owns the epoll descriptor and the read buffer; not the sockets, except for closing them with their connections."""

    cdef Board board
    cdef list connections
    cdef int epoll
    cdef uint8_t *data
    cdef size_t capacity
    cdef uint64_t phase
    cdef bint timed                     # some connection does something at a rate

    def __cinit__(self, Board board not None):
        self.epoll = -1
        self.board = board
        self.connections = []
        self.capacity = READ_BYTES
        self.data = <uint8_t *> malloc(self.capacity)
        if self.data == NULL:
            raise MemoryError()
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, "epoll_create1")

    def __dealloc__(self):
        free(self.data)
        if self.epoll >= 0:
            c_close(self.epoll)

    def add(self, Connection connection not None, bytes left=b"", opener=None):
        """A connection that is open, with a socket that does not block.

        `left`: what was read from it already. `opener` makes a new socket when the connection wants one.
        """
        cdef size_t used
        cdef size_t wanted = <size_t> connection.frame_max + READ_BYTES
        cdef uint8_t *grown
        if wanted > self.capacity:
            grown = <uint8_t *> realloc(self.data, wanted)
            if grown == NULL:
                raise MemoryError()
            self.data = grown
            self.capacity = wanted
        connection.opener = opener
        if connection.fd >= 0:
            self.enrol(connection)
        self.connections.append(connection)
        if left:
            used = connection.receive(<const uint8_t *> left, len(left), now_ns())
            self.keep(connection, <const uint8_t *> left + used, len(left) - used)

    cdef int enrol(self, Connection connection) except -1:
        cdef epoll_event event
        connection.events = EPOLLIN
        event.events = EPOLLIN
        event.data.ptr = <void *> connection
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, connection.fd, &event):
            raise OSError(errno, "epoll_ctl")
        return 0

    cdef int reopen(self, Connection connection) except -1:
        """The opener closes the old socket."""
        connection.forget_traffic()
        connection.fd = connection.opener()
        return self.enrol(connection)

    def run(self):
        """Until everything is closed after the last phase. LoadError where the broker ends a connection before."""
        cdef epoll_event events[EVENTS_MAX]
        cdef Connection connection
        cdef int found, i
        cdef uint64_t wait_ns, give_up_ns = NEVER_NS
        prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS)
        self.board.counters[READY] = 1
        while self.connections:
            self.follow_phase()
            if self.phase == PHASE_DONE and give_up_ns == NEVER_NS:
                give_up_ns = now_ns() + CLOSE_NS_MAX
                self.close_all()
            if now_ns() > give_up_ns:
                return
            wait_ns = self.wait_ns()
            with nogil:
                found = wait_for_events(self.epoll, events, EVENTS_MAX, wait_ns)
            if found < 0 and errno != EINTR:
                raise OSError(errno, "epoll_wait")
            for i in range(found):
                connection = <Connection> events[i].data.ptr
                if not connection.closed:
                    self.serve(connection, events[i].events)
            if self.timed:
                self.serve_due()

    # -- phases

    cdef int follow_phase(self) except -1:
        cdef uint64_t phase = load_acquire(&self.board.head[PHASE])
        cdef Connection connection
        while self.phase < phase:
            self.phase += 1
            self.timed = False
            for connection in self.connections:
                connection.phase = self.phase
                connection.on_phase(self.phase, now_ns())
                if self.phase != PHASE_DONE:
                    self.pump(connection)
                    # whatever holds it up at this moment: when that is over nothing but the time may call it
                    self.timed = self.timed or connection.timed
        return 0

    cdef int close_all(self) except -1:
        cdef Connection connection
        for connection in list(self.connections):
            connection.close()
            if connection.closed:
                self.forget(connection)
                continue
            self.flush(connection)
            self.watch(connection, False)
        return 0

    cdef uint64_t wait_ns(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef Connection connection
        cdef uint64_t now, due, next_ns = NEVER_NS
        if not self.timed:
            return WAIT_NS_MAX
        for connection in self.connections:
            due = connection.due_ns()
            if due < next_ns:
                next_ns = due
        now = now_ns()
        if next_ns <= now + WAIT_NS_MIN:
            return WAIT_NS_MIN
        return WAIT_NS_MAX if next_ns - now > WAIT_NS_MAX else next_ns - now

    cdef int serve_due(self) except -1:
        cdef Connection connection
        cdef uint64_t now = now_ns()
        for connection in self.connections:
            if connection.due_ns() <= now:
                self.pump(connection)
        return 0

    # -- one connection

    cdef int serve(self, Connection connection, uint32_t events) except -1:
        cdef int turn
        if events & ~<uint32_t> EPOLLOUT:
            for turn in range(READS_PER_TURN):
                if not self.read(connection):
                    break
                if connection.closed:
                    return self.forget(connection)
        if connection.closed:
            return self.forget(connection)
        if connection.reopen_wanted:
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, connection.fd, NULL)
        return self.pump(connection)

    cdef int pump(self, Connection connection) except -1:
        """Fill and write in turn, as long as both get on."""
        cdef bint more = False
        cdef int turn
        if connection.reopen_wanted and self.phase == PHASE_RUN:
            self.reopen(connection)
        for turn in range(FILLS_PER_TURN):
            more = connection.fill(now_ns())
            if not self.flush(connection) or not more:
                break
        return self.watch(connection, more)

    cdef bint read(self, Connection connection) except -1:
        """One recv and its frames; whether there may be more."""
        cdef size_t kept = connection.left_bytes
        cdef size_t n, used
        cdef size_t wanted = connection.read_bytes if connection.read_bytes else READ_BYTES
        cdef ssize_t got
        if kept:
            memcpy(self.data, connection.left, kept)
        while True:
            got = c_recv(connection.fd, self.data + kept, wanted, MSG_DONTWAIT)
            if got >= 0 or errno != EINTR:
                break
        if got <= 0:
            if got < 0 and errno == EAGAIN:
                return False
            if connection.closing:
                self.forget(connection)
                return False
            raise LoadError(f"{connection.name}: " + (
                "the broker closed the TCP connection" if got == 0
                else f"the connection to the broker broke: {strerror(errno).decode()}"))
        n = kept + <size_t> got
        used = connection.receive(self.data, n, now_ns())
        self.keep(connection, self.data + used, n - used)
        return <size_t> got == wanted and not connection.reopen_wanted and not connection.resume_ns

    cdef int keep(self, Connection connection, const uint8_t *data, size_t n) except -1:
        """The start of a frame, until the rest of it comes."""
        cdef uint8_t *grown
        if n > connection.left_capacity:
            grown = <uint8_t *> realloc(connection.left, n * 2)
            if grown == NULL:
                raise MemoryError()
            connection.left = grown
            connection.left_capacity = n * 2
        if n:
            memcpy(connection.left, data, n)
        connection.left_bytes = n
        return 0

    cdef bint flush(self, Connection connection) except -1:
        """Whether nothing is left to be written."""
        cdef ssize_t done
        while connection.unsent():
            done = c_send(connection.fd, connection.out + connection.out_at, connection.unsent(),
                          MSG_NOSIGNAL | MSG_DONTWAIT)
            if done >= 0:
                connection.sent(<size_t> done)
            elif errno == EAGAIN:
                return False
            elif errno != EINTR:
                if connection.closing:
                    self.forget(connection)
                    return True
                self.tell_why(connection, f"the connection to the broker broke: {strerror(errno).decode()}")
        return True

    cdef int tell_why(self, Connection connection, str text) except -1:
        """A close with its reason may be waiting to be read."""
        while self.read(connection):
            pass
        raise LoadError(f"{connection.name}: {text}")

    cdef int watch(self, Connection connection, bint more) except -1:
        cdef epoll_event event
        cdef uint32_t wanted = 0
        if connection.closed or connection.reopen_wanted:
            return 0
        connection.paused = connection.resume_ns != 0 and connection.resume_ns > now_ns()
        if connection.unsent() < UNSENT_BYTES_MAX and not connection.paused:
            wanted = EPOLLIN
        if more or connection.unsent():
            wanted |= EPOLLOUT
        if wanted != connection.events:
            event.events = wanted
            event.data.ptr = <void *> connection
            if epoll_ctl(self.epoll, EPOLL_CTL_MOD, connection.fd, &event):
                raise OSError(errno, "epoll_ctl")
            connection.events = wanted
        return 0

    cdef int forget(self, Connection connection) except -1:
        """The end of a connection that was closed."""
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, connection.fd, NULL)
        connection.closed = True
        if connection in self.connections:
            self.connections.remove(connection)
        return 0
