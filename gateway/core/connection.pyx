# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The connection as the Python side subclasses it: input in order, output in one batch, its end.

Documented in connection.pyi. It keeps the input that ingest (ingest.pyx) has not consumed: a part
of a frame, or everything behind a pause. A frame that began in an earlier read is completed
alone, so that the rest of the read is handled where it lies.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from amqp091.scanner cimport FRAME_HEAD_BYTES, FRAME_OVERHEAD_BYTES, load32
from bus.batch cimport Batch
from bus.room cimport Room
from gateway.core.confirming cimport finish
from gateway.core.handles cimport free_handle, handle_value, take_handle
from gateway.core.ingest cimport ingest
from gateway.core.joining cimport close_gap, collect_joined
from gateway.core.lent_output cimport keep_lent, send_straight
from gateway.core.rooms cimport KEPT_BYTES_MAX, forget_kept, room_for
from gateway.core.route_stamps cimport hash_of_vhost
from gateway.core.state cimport (
    PAUSED_BY_HOLD, PAUSED_BY_METHOD, PAUSED_BY_OUTPUT, PAUSED_BY_PACE, ConnectionState, GatewayState, leave_channel,
    list_credit, reserve_output, spare_output,
)

PAUSE_METHOD = PAUSED_BY_METHOD
PAUSE_HELD = PAUSED_BY_HOLD
PAUSE_OUTPUT = PAUSED_BY_OUTPUT
PAUSE_PACE = PAUSED_BY_PACE

cdef enum:
    FRAME_MAX_BEFORE_TUNE = 8192        # before tune-ok, as RabbitMQ's initial_frame_max
    PROTOCOL_HEADER_BYTES = 8
    # Reads one after the other that brought nothing large, until a connection reads to no room any more. Such a one is
    # also what ends with the header of a large body.
    SMALL_READS_MAX = 16
    # Behind a body that is put together: beyond this what is kept moves up, as it does where it is so little.
    GAP_BYTES_MAX = 8 * 1024
    MOVED_BYTES_MAX = 1024


cdef size_t missing_bytes(ConnectionState connection) noexcept nogil:
    """How many bytes the first frame of the backlog still lacks, as far as can be told."""
    cdef size_t size = connection.backlog_end - connection.backlog_start
    cdef size_t wanted
    if not connection.header_seen:
        wanted = PROTOCOL_HEADER_BYTES
    elif size < FRAME_HEAD_BYTES:
        wanted = FRAME_HEAD_BYTES
    else:
        wanted = <size_t> load32(connection.backlog + connection.backlog_start + 3) + FRAME_OVERHEAD_BYTES
    return wanted - size if wanted > size else 0


cdef int keep(ConnectionState connection, const unsigned char *data, size_t n, size_t room) except -1:
    cdef size_t size = connection.backlog_end - connection.backlog_start
    cdef uint8_t *grown
    if connection.backlog_end + room > connection.backlog_capacity:
        if connection.backlog_start:
            memmove(connection.backlog, connection.backlog + connection.backlog_start, size)
            connection.backlog_start = 0
            connection.backlog_end = size
        if size + room > connection.backlog_capacity:
            grown = <uint8_t *> realloc(connection.backlog, size + room)
            if grown == NULL:
                raise MemoryError()
            connection.backlog = grown
            connection.backlog_capacity = size + room
    memcpy(connection.backlog + connection.backlog_end, data, n)
    connection.backlog_end += n
    return 0


cdef void drop_backlog(ConnectionState connection) noexcept:
    free(connection.backlog)
    connection.backlog = NULL
    connection.backlog_start = connection.backlog_end = connection.backlog_capacity = 0


cdef int drain_backlog(ConnectionState connection) except -1:
    cdef size_t consumed = 0
    try:
        ingest(
            connection, connection.backlog + connection.backlog_start,
            connection.backlog_end - connection.backlog_start, &consumed)
    finally:
        connection.backlog_start += consumed
        if connection.backlog_start == connection.backlog_end:
            drop_backlog(connection)
    return 0


cdef class ConnectionCore(ConnectionState):
    def __init__(self, GatewayState gateway not None):
        if self.handle:
            raise RuntimeError("the connection has been initialised before")
        self.gateway = gateway
        self.frame_max = FRAME_MAX_BEFORE_TUNE
        self.user_id = b""
        self.vhost = ""
        self.is_writable = True
        self.held_by = -1
        self.channels_by_number = {}
        self.handle = take_handle(&gateway.connections, <void *> <PyObject *> self)
        Py_INCREF(self)

    cdef int check_initialised(self) except -1:
        if self.handle == 0:
            raise RuntimeError("ConnectionCore.__init__ was not called")
        return 0

    @property
    def vhost(self):
        return self.vhost_name

    @vhost.setter
    def vhost(self, str name not None):
        cdef bytes encoded = name.encode("utf-8", "surrogateescape")
        self.vhost_name = name
        self.vhost_hash = hash_of_vhost(encoded, <uint32_t> len(encoded))

    @property
    def paused(self):
        return self.pauses != 0

    @property
    def closed(self):
        return self.is_closed

    @property
    def has_published(self):
        return self.publish_seen

    @property
    def has_settled(self):
        return self.settle_seen

    @property
    def channels(self):
        return self.channels_by_number

    @property
    def output_bytes(self):
        return 0 if self.output is None else self.output.size + self.piece_bytes

    @property
    def backlog_bytes(self):
        return self.backlog_end - self.backlog_start

    @property
    def writable(self):
        return self.is_writable

    @writable.setter
    def writable(self, bint writable):
        self.check_initialised()
        self.is_writable = writable
        if writable:
            list_credit(self)

    # input

    def receive(self, const uint8_t[::1] view not None):
        if view.shape[0]:
            self.receive_bytes(&view[0], view.shape[0])

    cdef int receive_bytes(self, const unsigned char *data, size_t n) except -1:
        self.check_initialised()
        if self.processing:
            raise RuntimeError("receive() was called from a hook of this connection's receive()")
        if self.is_closed or self.is_deaf or n == 0:
            return 0
        self.processing = True
        try:
            self.feed(data, n)
        finally:
            self.processing = False
            if self.is_closed or self.is_deaf:
                drop_backlog(self)
            finish(self.gateway)
        return 0

    cdef int receive_in_room(self, Room room, size_t n) except -1:
        cdef size_t total = room.kept_bytes + n, taken = 0, left
        cdef uint64_t behind
        cdef const uint8_t *data = room.data + room.next_read() - room.kept_bytes
        self.check_initialised()
        if self.processing:
            raise RuntimeError("receive() was called from a hook of this connection's receive()")
        if n > room.window_bytes or room.owner is not self:
            raise ValueError(f"{n} bytes were not read into the window of {room!r}")
        room.window_bytes = 0
        if n == 0:
            return 0
        room.kept_bytes = 0
        room.named = False
        if self.is_closed or self.is_deaf:
            forget_kept(self)
            return 0
        self.processing = True
        self.gateway.reading = room
        try:
            ingest(self, data, total, &taken)
        finally:
            self.gateway.reading = None
            self.processing = False
            left = total - taken
            if self.is_closed or self.is_deaf:
                forget_kept(self)
                drop_backlog(self)
            elif left and (self.pauses or left > KEPT_BYTES_MAX or self.room is not room):
                collect_joined(self)
                keep(self, data + taken, left, left)
                left = 0
            behind = <uint64_t> (data - room.data) + taken
            if self.join_room is room:
                room.gap_bytes = <int64_t> (behind - room.position - room.joined_bytes)
            else:
                room.gap_bytes = 0
                if left and not room.named and behind > room.position:     # what only passed through takes no place
                    memmove(room.data + room.position, data + taken, left)
                elif room.named or left:
                    room.position = behind
                elif self.room is room and self.join_room is None:
                    self.small_reads += 1       # nothing of it was large
                    if self.small_reads >= SMALL_READS_MAX:
                        self.large_shard = 0
            if self.room is room and (left or self.join_room is not None):
                room.kept_bytes = left
                if room.gap_bytes > GAP_BYTES_MAX or left <= MOVED_BYTES_MAX:
                    close_gap(room)
            else:
                forget_kept(self)
            finish(self.gateway)
        return 0

    cdef int feed(self, const unsigned char *data, size_t n) except -1:
        cdef size_t missing, taken
        while n and self.backlog_end != self.backlog_start and not self.pauses and not self.is_closed:
            missing = missing_bytes(self)       # 0 where a hook raised behind a whole frame
            taken = missing if missing < n else n
            keep(self, data, taken, missing)
            data += taken
            n -= taken
            try:
                drain_backlog(self)
            except:
                keep(self, data, n, n)
                raise
        taken = 0
        try:
            if n and self.backlog_end == self.backlog_start and not self.pauses:
                ingest(self, data, n, &taken)
        finally:
            if taken < n and not self.is_closed and not self.is_deaf:
                keep(self, data + taken, n - taken, n - taken)
        return 0

    def room_to_read(self):
        self.check_initialised()
        return room_for(self)

    def receive_read(self, Room room not None, size_t n):
        self.receive_in_room(room, n)

    def pause(self, uint8_t reason=PAUSED_BY_METHOD):
        self.pauses |= reason

    def resume(self, uint8_t reason=PAUSED_BY_METHOD):
        self.check_initialised()
        self.pauses &= ~reason
        if self.pauses or self.processing or self.backlog_end == self.backlog_start:
            return
        self.processing = True
        try:
            drain_backlog(self)
        finally:
            self.processing = False
            if self.is_closed or self.is_deaf:
                drop_backlog(self)
            finish(self.gateway)

    # output

    def write(self, const uint8_t[::1] frame not None):
        self.check_initialised()
        if frame.shape[0]:
            memcpy(reserve_output(self, frame.shape[0]), &frame[0], frame.shape[0])

    def take_output(self):
        cdef Batch output
        self.check_initialised()
        if self.piece_count:
            keep_lent(self)
        output = self.output
        if output is None:
            return None
        self.output = None
        spare_output(self.gateway, output)
        list_credit(self)
        return output

    @property
    def has_lent(self):
        return self.piece_count != 0

    def send_straight(self, int descriptor):
        return send_straight(self, descriptor)

    def keep_lent(self):
        keep_lent(self)

    # end

    def remove_channel(self, int number):
        if 0 < number <= 0xFFFF:
            leave_channel(self, <unsigned short> number)

    def close(self):
        cdef uint32_t handle = self.handle
        self.is_closed = True
        self.closing = True
        forget_kept(self)
        if handle == 0 or handle_value(&self.gateway.connections, handle) != <void *> <PyObject *> self:
            return
        for number, channel in list(self.channels_by_number.items()):
            channel.close()
            leave_channel(self, number)
            channel.release()
        if not self.processing:
            drop_backlog(self)
        free_handle(&self.gateway.connections, handle)
        Py_DECREF(self)
