# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One connection with one channel, as a state machine: bytes and the time in, bytes out.

Owns its output, and the content that is coming in. What the broker may say to any client is answered here; producers,
consumers and churners (their modules) add what they are for. Opens no socket and reads no clock: loop.pyx does.
Whatever the broker says that ends the run is a LoadError with its words.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from amqp091.scanner cimport (
    FRAME_BODY, FRAME_HEADER, FRAME_METHOD, METHOD_HEAD_BYTES, SCAN_SYNTAX, Frame, load64, method_word, next_frame,
)
from bench.perf.core.board cimport PHASE_SETUP

from amqp091.methods import ChannelCloseOk, ConnectionClose, ConnectionCloseOk, decode, encode, method_name
from amqp091.scanner import scan_error
from bench.perf.errors import LoadError

cdef enum:
    FIRST_OUTPUT_BYTES = 4096
    CONNECTION_CLOSE = 10 << 16 | 50
    CONNECTION_CLOSE_OK = 10 << 16 | 51
    CHANNEL_CLOSE = 20 << 16 | 40
    BASIC_CANCEL = 60 << 16 | 30
    HEADER_BYTES_MIN = 14               # class id, weight, body size, property flags
    BODY_SIZE_AT = 4

cdef bytes CLOSE_FRAME = encode(0, ConnectionClose(200, "Goodbye", 0, 0))
cdef bytes CLOSE_OK_FRAME = encode(0, ConnectionCloseOk())
cdef bytes CHANNEL_CLOSE_OK_FRAME = encode(1, ChannelCloseOk())


cdef class Connection:
    def __cinit__(self, Board board not None, str name not None, int fd, uint32_t frame_max, *args, **kwargs):
        self.board = board
        self.name = name
        self.fd = fd
        self.frame_max = frame_max
        self.phase = PHASE_SETUP

    def __dealloc__(self):
        free(self.out)
        free(self.left)

    # -- output

    cdef uint8_t *room(self, size_t n) except NULL:
        cdef size_t capacity
        cdef uint8_t *grown
        if self.out_at and self.out_end + n > self.out_capacity:
            memmove(self.out, self.out + self.out_at, self.out_end - self.out_at)
            self.out_end -= self.out_at
            self.out_at = 0
        if self.out_end + n > self.out_capacity or self.out == NULL:
            capacity = (self.out_end + n) * 2
            if capacity < FIRST_OUTPUT_BYTES:
                capacity = FIRST_OUTPUT_BYTES
            grown = <uint8_t *> realloc(self.out, capacity)
            if grown == NULL:
                raise MemoryError()
            self.out = grown
            self.out_capacity = capacity
        return self.out + self.out_end

    cdef void wrote(self, size_t n) noexcept:
        self.out_end += n

    cdef int write(self, bytes data) except -1:
        cdef size_t n = PyBytes_GET_SIZE(data)
        memcpy(self.room(n), PyBytes_AS_STRING(data), n)
        self.out_end += n
        return 0

    cdef size_t unsent(self) noexcept:
        return self.out_end - self.out_at

    cdef void sent(self, size_t n) noexcept:
        self.out_at += n
        if self.out_at == self.out_end:
            self.out_at = self.out_end = 0

    cdef void forget_traffic(self) noexcept:
        self.out_at = self.out_end = self.left_bytes = 0
        self.content = CONTENT_NONE
        self.in_body = False
        self.reopen_wanted = False

    # -- input

    cdef Py_ssize_t receive(self, const uint8_t *data, size_t n, uint64_t now_ns) except -1:
        cdef Frame frame
        cdef size_t at = 0
        cdef Py_ssize_t consumed
        while True:
            consumed = next_frame(data + at, n - at, self.frame_max, &frame)
            if consumed <= 0:
                break
            at += consumed
            if frame.type == FRAME_METHOD:
                if frame.size < METHOD_HEAD_BYTES:
                    raise self.failure("the broker sent a method frame without a method")
                self.take_method(method_word(frame.payload, frame.size), frame.payload + METHOD_HEAD_BYTES,
                                 frame.size - METHOD_HEAD_BYTES, now_ns)
            elif self.closing:
                pass
            elif frame.type == FRAME_HEADER:
                self.take_header(frame.payload, frame.size, now_ns)
            elif frame.type == FRAME_BODY:
                self.take_body(frame.payload, frame.size, now_ns)
        if consumed < 0:
            raise self.failure(f"the broker sent what is no frame: {scan_error(<int> consumed)}")
        return <Py_ssize_t> at

    cdef int take_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        if self.closing:
            if word == CONNECTION_CLOSE_OK:
                self.closed = True
            elif word == CONNECTION_CLOSE:
                self.write(CLOSE_OK_FRAME)
            return 0
        if word == CONNECTION_CLOSE or word == CHANNEL_CLOSE:
            self.refused(word, <bytes> (<const char *> arguments)[:n])
        if word == BASIC_CANCEL:
            raise self.failure("the broker cancelled a consumer (basic.cancel): its queue is gone")
        return self.on_method(word, arguments, n, now_ns)

    cdef int take_header(self, const uint8_t *payload, size_t n, uint64_t now_ns) except -1:
        if n < HEADER_BYTES_MIN or self.content == CONTENT_NONE or self.in_body:
            raise self.failure("the broker sent a content header where none belongs")
        self.body_left = load64(payload + BODY_SIZE_AT)
        self.stamp_bytes = 0
        self.in_body = True
        return self.end_content(now_ns)

    cdef int take_body(self, const uint8_t *payload, size_t n, uint64_t now_ns) except -1:
        cdef size_t part = STAMP_BYTES - self.stamp_bytes
        if not self.in_body or n > self.body_left:
            raise self.failure("the broker sent a content body where none belongs")
        if part:
            part = n if n < part else part
            memcpy(self.stamp + self.stamp_bytes, payload, part)
            self.stamp_bytes += part
        self.body_left -= n
        return self.end_content(now_ns)

    cdef int end_content(self, uint64_t now_ns) except -1:
        if self.body_left:
            return 0
        self.in_body = False
        self.on_content(now_ns)
        self.content = CONTENT_NONE
        return 0

    cdef object failure(self, str text):
        return LoadError(f"{self.name}: {text}")

    cdef int refused(self, uint32_t word, bytes arguments) except -1:
        """The broker closes the channel or the connection: its code and words end the run."""
        level = "connection" if word == CONNECTION_CLOSE else "channel"
        self.write(CLOSE_OK_FRAME if word == CONNECTION_CLOSE else CHANNEL_CLOSE_OK_FRAME)
        close = decode(word >> 16, word & 0xFFFF, arguments)
        cause = method_name((close.class_id, close.method_id)) if close.class_id else "no method"
        raise self.failure(f"the broker closed the {level}: {close.reply_code} {close.reply_text} ({cause})")

    cdef int close(self) except -1:
        """The loop's last call; what comes after it but close-ok is passed over."""
        self.finish()
        self.write(CLOSE_FRAME)
        self.closing = True
        return 0

    # -- for the kinds of connections

    cdef int on_method(self, uint32_t word, const uint8_t *arguments, size_t n, uint64_t now_ns) except -1:
        return 0

    cdef int on_content(self, uint64_t now_ns) except -1:
        return 0

    cdef int on_phase(self, uint64_t phase, uint64_t now_ns) except -1:
        return 0

    cdef bint fill(self, uint64_t now_ns) except -1:
        return False

    cdef uint64_t due_ns(self) noexcept:
        return NEVER_NS

    cdef int finish(self) except -1:
        return 0

    # -- for tests, and for what came with the handshake

    def feed(self, bytes data not None, uint64_t now_ns):
        """Bytes from the broker: how many were taken, in whole frames."""
        return self.receive(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), now_ns)

    def enter(self, uint64_t phase, uint64_t now_ns):
        """The next phase."""
        self.phase = phase
        self.on_phase(phase, now_ns)

    def filled(self, uint64_t now_ns):
        """Fill once: whether there is more."""
        return bool(self.fill(now_ns))

    def take_output(self):
        """What would be sent."""
        cdef bytes data = (<const char *> self.out + self.out_at)[:self.unsent()]
        self.sent(self.unsent())
        return data
