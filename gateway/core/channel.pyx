# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The channel as the Python side subclasses it: modes, consumers, gets, the end.

Documented in channel.pyi. Publishes, settles and deliveries do not pass here; they work on the
channel's state directly (publishing.pyx, settling.pyx, deliveries.pyx).
"""
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from gateway.core.handles cimport free_handle, handle_value, take_handle
from gateway.core.outgoing cimport append_get
from gateway.core.settling cimport commit_settles, requeue_all
from gateway.core.state cimport (
    ChannelState, ConnectionState, Consumer, enter_channel, forget_channel, free_consumers, know_shard, list_confirm,
)
from gateway.core.transactions cimport commit_publishes, forget_publishes
from gateway.core.unacked cimport release_held

cdef enum:
    TAG_BYTES_MAX = 255


cdef class ChannelCore(ChannelState):
    def __init__(self, ConnectionState connection not None, int number):
        if self.handle:
            raise RuntimeError("the channel has been initialised before")
        if connection.is_closed:
            raise RuntimeError("the connection is closed")
        if not 0 < number <= 0xFFFF:
            raise ValueError(f"channel {number} cannot be opened")
        enter_channel(connection, self, <unsigned short> number)
        self.connection = connection
        self.gateway = connection.gateway
        self.ack_slack = 0xFFFFFFFF
        self.number = <unsigned short> number
        self.handle = take_handle(&self.gateway.channels, <void *> <PyObject *> self)
        Py_INCREF(self)

    cdef int check_initialised(self) except -1:
        if self.handle == 0:
            raise RuntimeError("ChannelCore.__init__ was not called")
        return 0

    @property
    def closed(self):
        return self.is_closed

    @property
    def confirming(self):
        return self.is_confirming

    @property
    def transactional(self):
        return self.is_transactional

    @property
    def unacked_count(self):
        return self.unacked.count - self.unacked.held

    @property
    def consumer_unacked_count(self):
        return self.unacked.count - self.unacked.gets

    @property
    def unconfirmed_count(self):
        return self.window.next - self.window.base

    @property
    def uncommitted_publishes(self):
        return self.transaction.publishes

    @property
    def uncommitted_settles(self):
        return self.unacked.held

    def delivered_from(self, uint32_t shard):
        self.check_initialised()
        if self.by_shard == NULL or shard >= self.gateway.shard_count:
            return 0
        return self.by_shard[shard].delivered

    # modes

    def confirm_select(self):
        if self.is_transactional:
            raise RuntimeError("the channel is transactional")
        if not self.is_confirming:
            self.is_confirming = True
            self.window.base = self.window.next = 1

    def tx_select(self):
        if self.is_confirming:
            raise RuntimeError("the channel is in confirm mode")
        if not self.is_transactional:
            self.is_transactional = True
            self.window.base = self.window.next = 1

    def tx_commit(self):
        self.check_initialised()
        if not self.is_transactional or self.transaction.committing:
            raise RuntimeError("there is no transaction to commit")
        if self.is_closed:
            return True
        commit_publishes(self)
        commit_settles(self)
        if self.window.base == self.window.next:
            return True
        self.transaction.committing = True
        list_confirm(self)
        return False

    def tx_rollback(self):
        if not self.is_transactional or self.transaction.committing:
            raise RuntimeError("there is no transaction to roll back")
        forget_publishes(self)
        release_held(&self.unacked)

    # consumers and gets

    def add_consumer(self, bytes tag not None, uint32_t shard, bint no_ack):
        cdef Consumer *consumer
        cdef Py_ssize_t tag_bytes = len(tag)
        cdef const char *octets = tag
        self.check_initialised()
        if self.is_closed:
            raise RuntimeError("the channel is closed")
        if tag_bytes > TAG_BYTES_MAX:
            raise ValueError("a consumer tag has at most 255 bytes")
        know_shard(self, shard)
        consumer = <Consumer *> malloc(sizeof(Consumer) + tag_bytes)
        if consumer == NULL:
            raise MemoryError()
        try:
            consumer.handle = take_handle(&self.gateway.consumers, consumer)
        except:
            free(consumer)
            raise
        consumer.channel = <void *> <PyObject *> self
        consumer.shard = shard
        consumer.next_offset = 0
        consumer.no_ack = no_ack
        consumer.tag_bytes = <unsigned char> tag_bytes
        memcpy(consumer.tag, octets, tag_bytes)
        consumer.next = self.consumers
        self.consumers = consumer
        return consumer.handle

    def remove_consumer(self, uint32_t handle):
        cdef Consumer *consumer
        cdef Consumer **link = &self.consumers
        self.check_initialised()
        while link[0] != NULL:
            consumer = link[0]
            if consumer.handle == handle:
                link[0] = consumer.next
                free_handle(&self.gateway.consumers, handle)
                free(consumer)
                return
            link = &consumer.next

    def next_offset(self, uint32_t handle):
        cdef Consumer *consumer = self.consumers
        self.check_initialised()
        while consumer != NULL:
            if consumer.handle == handle:
                return consumer.next_offset
            consumer = consumer.next
        return 0

    def expect_get(self, uint32_t shard, uint32_t request_id, bint no_ack):
        self.check_initialised()
        know_shard(self, shard)
        self.gateway.expected_gets[request_id] = (self, shard, no_ack)

    def ask_get(self, uint32_t shard, uint32_t request_id, uint32_t queue_id, bint no_ack):
        self.expect_get(shard, request_id, no_ack)
        append_get(self.gateway, shard, request_id, queue_id, self.handle, self.connection.handle, no_ack)

    def shards(self):
        cdef uint32_t shard
        self.check_initialised()
        if self.by_shard == NULL:
            return []
        return [shard for shard in range(self.gateway.shard_count) if self.by_shard[shard].known]

    def recover(self):
        self.check_initialised()
        requeue_all(self)
        return []

    # end

    def close(self):
        cdef bint committing = self.transaction.committing
        self.is_closed = True
        self.closing = True
        forget_channel(self)
        if committing:
            self.on_tx_committed(False)

    def release(self):
        """Handles become free; only for a closed channel. Idempotent."""
        cdef uint32_t handle = self.handle
        if not self.is_closed:
            raise RuntimeError("the channel is not closed")
        if handle == 0 or handle_value(&self.gateway.channels, handle) != <void *> <PyObject *> self:
            return
        free_consumers(self)
        free_handle(&self.gateway.channels, handle)
        Py_DECREF(self)
