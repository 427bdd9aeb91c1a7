# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The turn of a gateway: what was read and what came from shards becomes output, which leaves at its end, once.

Compiled, because at low rates a turn carries one message: what it costs is then what the message costs. What else the
gateway does is its subclass's: gateway/gateway.py.
"""
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint32_t

from bus.batch cimport Batch
from bus.ring cimport RingEnd
from gateway.core.deliveries cimport return_credits
from gateway.core.gateway cimport GatewayCore
from gateway.core.lent_output cimport drop_output, keep_lent
from gateway.core.state cimport ConnectionState

QUIET_S = 0.005
"""For so long at most a shard may not hear of acks: short for whoever looks at a queue, long beside a message."""
READ_BUFFER_BYTES = READ_BYTES
EARLY_SEND_BYTES = EARLY_SEND


cdef class GatewayTurn(GatewayCore):
    def __init__(self, uint32_t shard_count, size_t max_message_bytes, loop):
        super().__init__(shard_count, max_message_bytes)
        cdef bytearray room = bytearray(READ_BYTES)
        self.loop = loop
        self.read_buffer = memoryview(room)     # which also keeps it where it is
        self.read_data = <const uint8_t *> PyByteArray_AS_STRING(room)
        self._congested = set()

    def wake(self):
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self.flush)

    cdef int after_read(self, size_t size_bytes) except -1:
        """So much input was handled."""
        self._unsent_bytes += size_bytes
        self._turn_bytes += size_bytes
        if self._unsent_bytes >= EARLY_SEND:
            # The loop reads on as long as a socket fills what it reads to: others, shards among them, go on meanwhile.
            if self.turns is not None:
                self.turns.take()
            self.send()
        if not self._flush_due and self.has_output():
            self._flush_due = True
            self.loop.call_soon(self.flush)
            if self.turns is not None:
                self.turns.began()
        return 0

    cdef bint has_output(self) except -1:
        """Whether there is anything to send: a heartbeat, or a part of a frame, leaves nothing."""
        cdef uint32_t shard
        if self.dirty_connections or self.to_credit.count:
            return True
        for shard in range(self.shard_count):
            if (<Batch> self.batches[shard]).size:
                return True
            if self.rings[shard] is not None and (<RingEnd> self.rings[shard])._laid_bytes:
                return True
        return False

    def flush(self):
        cdef bint few
        try:
            self.end_turn()
        finally:
            few = self._turn_bytes <= FEW_BYTES
            self._turn_bytes = 0
            if self.turns is not None:
                self.turns.rest(few)

    def end_turn(self):
        self._flush_due = False
        self.send()

    cdef int send(self) except -1:
        """Everything that was produced: to the clients, then to the shards."""
        cdef list connections
        cdef ConnectionState connection
        cdef uint32_t shard
        self._unsent_bytes = 0
        if self.dirty_connections:
            connections = self.dirty()
            for connection in connections:
                self.write_out(connection)
        if self.to_credit.count:
            return_credits(self)
        self.hand_over_rings()
        for shard in range(self.shard_count):
            if (<Batch> self.batches[shard]).size:
                if self.shards[shard].quiet_bytes == (<Batch> self.batches[shard]).size:
                    self.send_quietly(shard)
                else:
                    self.send_outgoing(shard)
        return 0

    cdef int write_out(self, ConnectionState connection) except -1:
        """The output of one connection to its socket; nothing that it names elsewhere is named after this.

        Errors of the socket are the transport's. Any other costs this connection alone: the rest of the turn is others'.
        """
        try:
            (<object> connection).wire.flush()
            keep_lent(connection)
        except Exception as error:
            drop_output(connection)
            (<object> connection).on_output_lost(error)
        return 0

    cdef int send_quietly(self, uint32_t shard) except -1:
        """Acks that nobody waits for: the shard learns of them when it next wakes, or soon enough."""
        link = self.links.get(shard)
        if link is None:
            return 0
        link.send_quietly(self.batches[shard])
        self.sent(shard, link.next_batch_number)
        if not self._quiet_due:
            self._quiet_due = True
            self.loop.call_later(QUIET_S, self.end_quiet)
        return 0

    def end_quiet(self):
        cdef uint32_t shard
        self._quiet_due = False
        for shard in range(self.shard_count):
            if self.shards[shard].quiet_count:
                self.shards[shard].quiet_count = 0
                link = self.links.get(shard)
                if link is not None:
                    link.wake_peer()

    def send_outgoing(self, uint32_t shard):
        link = self.links.get(shard)
        if link is None:
            return                      # publishes that wait for it
        link.send(self.batches[shard])
        self.shards[shard].quiet_count = 0
        self.sent(shard, link.next_batch_number)
        if link.congested and shard not in self._congested:
            self._congested.add(shard)
            self.set_congested(shard, True)

    def on_link_batch(self, link, view):
        try:
            self.on_batch(link.peer, view)
        finally:
            if self.lent_connections:
                self.send_lent()
            if self.ended_files:
                self.end_files()

    cdef int send_lent(self) except -1:
        """What the batch has lent goes to the sockets before the batch is given back."""
        cdef ConnectionState connection
        for connection in self.take_lent():
            self.write_out(connection)
        return 0
