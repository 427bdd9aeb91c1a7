# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The state of the core: what is kept per process, connection, channel and consumer, and who owns it.

The other modules of the package work on it; the classes that the Python side subclasses
(GatewayCore, ConnectionCore, ChannelCore) only add methods. Ownership:

- the gateway's handle tables own connections until close() and channels until release(), so a
  record that names them finds them whole;
- a connection owns its channels while their numbers are taken;
- a channel owns its consumers, its buffers and its rings.

Everything is allocated when it is first needed and given back when it is empty: an idle
connection with one channel costs about a kilobyte here.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from amqp091.property_edit cimport free_scratch
from bus.batch cimport Batch
from bus.room cimport Room
from gateway.core.confirms cimport LEVEL_COUNT, free_runs, free_window
from gateway.core.handles cimport free_handle, free_table, push_handle
from gateway.core.route_cache cimport forget_routes
from gateway.core.route_stamps cimport RouteStamps
from gateway.core.unacked cimport free_unacked

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object o)

cdef enum:
    FIRST_CHANNELS = 4
    SPARE_OUTPUTS_MAX = 16          # batches kept for the next output,
    SPARE_CAPACITY_BYTES_MAX = 1 << 20      # each up to this size
    SPARE_LOOKS_MAX = 4             # how many of them are looked at for one that its transport has let go


cdef class GatewayState:
    def __cinit__(self, *args, **kwargs):
        self.stamps = RouteStamps()
        self.stamps_at = &self.stamps.at
        self.batches = []
        self.rings = []
        self.dirty_connections = []
        self.spare_outputs = []
        self.expected_gets = {}
        self.lent_files = []
        self.ended_files = []
        self.lent_connections = []
        self.rooms = []
        self.room_files = []

    def __dealloc__(self):
        cdef uint32_t shard
        cdef int level
        for shard in range(self.shard_count):
            for level in range(LEVEL_COUNT):
                free_runs(&self.shards[shard].runs[level])
        free(self.shards)
        # connections refer to the gateway, so it goes after the last of them
        free_table(&self.connections)
        free_table(&self.channels)
        free_table(&self.consumers)
        free(self.to_confirm.items)
        free(self.to_notify.items)
        free(self.to_credit.items)
        free_scratch(&self.offset_field)
        free_scratch(&self.edited)
        free(self.flooded)
        free(self.spare_content)
        free_scratch(&self.stripped)
        free_scratch(&self.late)


cdef class ConnectionState:
    def __dealloc__(self):
        free(self.by_number)
        free(self.backlog)
        free(self.pieces)
        free(self.credit)


cdef class ChannelState:
    def __dealloc__(self):
        forget_channel(self)
        free_consumers(self)
        free(self.by_shard)


cdef int enter_channel(ConnectionState connection, ChannelState channel, uint16_t number) except -1:
    cdef uint32_t count = connection.by_number_count
    cdef void **grown
    if number == 0 or channel_at(connection, number) is not None:
        raise ValueError(f"channel {number} cannot be opened")
    if number >= count:
        count = FIRST_CHANNELS if count == 0 else count
        while count <= number:
            count *= 2
        grown = <void **> realloc(connection.by_number, count * sizeof(void *))
        if grown == NULL:
            raise MemoryError()
        memset(grown + connection.by_number_count, 0, (count - connection.by_number_count) * sizeof(void *))
        connection.by_number = grown
        connection.by_number_count = count
    connection.channels_by_number[number] = channel
    connection.by_number[number] = <void *> <PyObject *> channel
    return 0


cdef int leave_channel(ConnectionState connection, uint16_t number) except -1:
    if number < connection.by_number_count:
        connection.by_number[number] = NULL
        connection.channels_by_number.pop(number, None)
    return 0


cdef int know_shard(ChannelState channel, uint32_t shard) except -1:
    """Makes channel.by_shard usable and notes that this shard has heard of the channel."""
    if shard >= channel.gateway.shard_count:
        raise ValueError(f"no shard {shard}")
    if channel.by_shard == NULL:
        channel.by_shard = <ChannelShard *> calloc(channel.gateway.shard_count, sizeof(ChannelShard))
        if channel.by_shard == NULL:
            raise MemoryError()
    channel.by_shard[shard].known = True
    return 0


cdef void unjoin(ConnectionState connection) noexcept:
    cdef Room room = connection.join_room
    if room is not None:
        room.gap_bytes += <int64_t> room.joined_bytes
        room.joined_bytes = 0
        room.joining = False
        connection.join_room = None


cdef void reset_content(ChannelState channel) noexcept:
    if channel.content.joins and channel.connection is not None:
        unjoin(channel.connection)
    free(channel.content.data)
    memset(&channel.content, 0, sizeof(Content))


cdef void forget_channel(ChannelState channel) noexcept:
    """Gives back what an ended channel held. Its consumers stay: records for them may be under way."""
    reset_content(channel)
    forget_routes(&channel.routes)
    free_window(&channel.window)
    free_unacked(&channel.unacked)
    free(channel.transaction.data)
    memset(&channel.transaction, 0, sizeof(Transaction))


cdef void free_consumers(ChannelState channel) noexcept:
    cdef Consumer *consumer = channel.consumers
    cdef Consumer *following
    while consumer != NULL:
        following = consumer.next
        if channel.gateway is not None:
            free_handle(&channel.gateway.consumers, consumer.handle)
        free(consumer)
        consumer = following
    channel.consumers = NULL


cdef int list_confirm(ChannelState channel) except -1:
    """Publishes of the channel were answered: acks are due at the end of the call."""
    if not channel.confirm_listed:
        push_handle(&channel.gateway.to_confirm, channel.handle)
        channel.confirm_listed = True
    return 0


cdef int list_settled(ChannelState channel) except -1:
    if channel.notify_settled and not channel.notify_listed:
        push_handle(&channel.gateway.to_notify, channel.handle)
        channel.notify_listed = True
    return 0


cdef int list_credit(ConnectionState connection) except -1:
    """Some of the connection's output has left: credits() is to look at it."""
    if connection.credit != NULL and not connection.credit_listed and not connection.is_closed:
        push_handle(&connection.gateway.to_credit, connection.handle)
        connection.credit_listed = True
    return 0


cdef Batch fresh_output(GatewayState gateway):
    """A batch that no transport holds any more, or a new one."""
    cdef list spares = gateway.spare_outputs
    cdef Batch spare
    cdef Py_ssize_t looks
    for looks in range(min(<Py_ssize_t> len(spares), <Py_ssize_t> SPARE_LOOKS_MAX)):
        spare = <Batch> spares.pop(0)
        if Py_REFCNT(spare) == 1 and spare.exports == 0:
            spare.clear()
            return spare
        spares.append(spare)
    return Batch()


cdef int spare_output(GatewayState gateway, Batch taken) except -1:
    """A transport has it now; it may serve again, unless it has grown large."""
    if taken.capacity <= SPARE_CAPACITY_BYTES_MAX and len(gateway.spare_outputs) < SPARE_OUTPUTS_MAX:
        gateway.spare_outputs.append(taken)
    return 0


cdef uint8_t *reserve_output(ConnectionState connection, size_t n) except NULL:
    """Room for `n` bytes of whole frames in the connection's output."""
    if connection.output is None:
        connection.output = fresh_output(connection.gateway)
    if not connection.output_listed:
        connection.gateway.dirty_connections.append(connection)
        connection.output_listed = True
    return connection.output.reserve(n)
