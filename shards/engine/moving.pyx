# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Moves: what dead letters do (burying.pyx), without a death and to given targets.

To queues of this shard one record of the log has an entry for each target and settles the old one, so a crash finds the
message here or there. To other shards the relay hands it over, and the old entry goes when all of them have it; what
goes to this shard as well is written last, with the end of the old entry.

Unlike a dead letter a moved message does not wait for its targets: where one of them is full, refuses or is lost on the
way, the message goes back to where it was and the move stops. A crash may leave a message that was on its way
to another shard in both queues, never in none.

What is moved keeps its properties, its priority, its delivery mode and, unless they are given, its exchange and routing
key. Its own TTL goes on; that of its queue ends, that of the target begins. It counts as not delivered yet. What
waits for a time goes on waiting.
"""
import array

import numpy as np

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort

from amqp091.property_edit cimport Scratch, clear_scratch, free_scratch, put_bytes
from bus.records cimport PUBLISH_DIED
from log.formats cimport NO_TTL, time_after
from log.store cimport Entry, IndexEntry, Message, body_of
from shards.engine.accepting cimport ACCEPT_DURABLE, ACCEPT_NO_ROOM, ACCEPT_NOBODY, ACCEPT_REFUSED, Origin, accept
from shards.engine.burying cimport give_up
from shards.engine.picking cimport Picked, put_back_at, take_out
from shards.engine.placing cimport is_full
from shards.engine.relay cimport RELAY_REFUSED, RELAY_TAKEN, relay_publish, relay_ready
from shards.engine.tables cimport queue_at

FULL = "a target is full"
NO_ROOM = "the disk is full"
GONE = "no target is there any more"
NOT_READY = "another shard is not ready"
REFUSED = "another shard refused it: a target or its disk is full"
LOST = "another shard went down: it may have got some messages that are still here"

cdef enum:
    ITEM_BITS = 16
    ITEMS_MAX = 1 << ITEM_BITS      # of one move
    NAME_BYTES_MAX = 255


cdef int by_position(const void *one, const void *other) noexcept nogil:
    cdef uint64_t first = (<const Picked *> one).entry.number
    cdef uint64_t second = (<const Picked *> other).entry.number
    return -1 if first < second else first > second


cdef class Move:
    """See the module. Made by move_messages."""

    def __dealloc__(self):
        free(self.items)
        free(self.unanswered)
        free(self.failed)
        free_scratch(&self.content)

    cdef int start(self, Queue *queue, const uint64_t[::1] positions) except -1:
        """Takes the messages out and sends them off, in their order, until one cannot go; that and the rest go back."""
        cdef Message message
        cdef uint32_t i
        self.items = <Picked *> malloc(positions.shape[0] * sizeof(Picked))
        self.unanswered = <uint32_t *> calloc(positions.shape[0], sizeof(uint32_t))
        self.failed = <uint8_t *> calloc(positions.shape[0], 1)
        if self.items == NULL or self.unanswered == NULL or self.failed == NULL:
            raise MemoryError()
        self.count = take_out(self.engine, queue, &positions[0], <uint32_t> positions.shape[0], self.items)
        qsort(self.items, self.count, sizeof(Picked), by_position)
        for i in range(self.count):
            if self.stopped is None and self.remote and not self.ready():
                self.stopped = NOT_READY
            if self.stopped is not None:
                self.put_back(i)
            elif not self.fill(&self.items[i].entry, &message):
                self.engine.store.acked(&self.items[i].entry)       # damaged: the store has said so
            elif self.remote:
                self.hand_over(i, &message)
            else:
                self.stopped = self.write_here(i, &message)
                if self.stopped is not None:
                    self.put_back(i)
        return 0

    cdef bint ready(self) except -1:
        """Whether every other shard takes a message now."""
        for shard, _ in self.remote:
            if not relay_ready(self.engine, shard):
                return False
        return True

    cdef int hand_over(self, uint32_t i, const Message *message) except -1:
        cdef const uint32_t[::1] queue_ids
        self.under_way += 1
        for shard, ids in self.remote:
            queue_ids = ids
            if not relay_publish(
                self.engine, shard, message, PUBLISH_DIED if message.died else 0, &queue_ids[0],
                <uint32_t> queue_ids.shape[0], MOVE_TICKET | self.number << ITEM_BITS | i,
            ):
                # Another one has it already, so it comes back when that has answered.
                self.failed[i] = True
                self.stopped = NOT_READY
                break
            self.unanswered[i] += 1
        if self.unanswered[i] == 0:
            self.finish(i)
        return 0

    cdef int answered(self, uint32_t i, int answer) except -1:
        self.unanswered[i] -= 1
        if answer != RELAY_TAKEN:
            self.failed[i] = True
            self.stopped = REFUSED if answer == RELAY_REFUSED else LOST
        if self.unanswered[i] == 0:
            self.finish(i)
        return 0

    cdef int finish(self, uint32_t i) except -1:
        """All other shards have answered."""
        cdef Message message
        self.under_way -= 1
        if not self.failed[i] and len(self.local):
            if not self.fill(&self.items[i].entry, &message):
                self.engine.store.acked(&self.items[i].entry)
            else:
                why = self.write_here(i, &message)
                if why is not None:
                    self.stopped = why
                    self.put_back(i)
        elif self.failed[i]:
            self.put_back(i)
        else:
            self.engine.store.acked(&self.items[i].entry)
            self.moved += 1
        if self.under_way == 0 and self.number in self.engine.moves:
            del self.engine.moves[self.number]
            self.done()
        return 0

    cdef object write_here(self, uint32_t i, const Message *message):
        """To the targets of this shard, in one record with the end of the old entry. None, or why not."""
        cdef const uint32_t[::1] queue_ids = self.local
        cdef const IndexEntry *index = self.engine.store.index_of(&self.items[i].entry)
        cdef Origin origin
        cdef Queue *target
        cdef uint32_t k
        cdef int answer
        for k in range(<uint32_t> queue_ids.shape[0]):
            target = <Queue *> queue_at(&self.engine.queues, queue_ids[k])
            if target != NULL and target.features != NULL and is_full(target, message):
                return FULL
        origin.queue_id = self.queue_id
        origin.entry_number = index.entry_number
        answer = accept(self.engine, message, &queue_ids[0], <uint32_t> queue_ids.shape[0], &origin)
        if answer & ACCEPT_NO_ROOM:
            return NO_ROOM
        if answer & ACCEPT_NOBODY:
            return GONE
        if answer & ACCEPT_REFUSED:
            return FULL
        give_up(self.engine, &self.items[i].entry, answer & ACCEPT_DURABLE)
        self.moved += 1
        return None

    cdef int put_back(self, uint32_t i) except -1:
        """Where it was, unless the queue has gone meanwhile."""
        cdef Queue *queue = <Queue *> queue_at(&self.engine.queues, self.queue_id)
        self.returned.append(self.items[i].entry.number)
        if queue == NULL:
            return self.engine.store.acked(&self.items[i].entry)
        return put_back_at(self.engine, queue, &self.items[i])

    cdef bint fill(self, const Entry *entry, Message *message) except -1:
        """The message as its targets get it, its content copied: it is written to where it may be lying."""
        cdef Message stored
        cdef uint64_t ends_at_ms, now_ms = self.engine.now_ms
        cdef size_t start
        if not self.engine.store.read(entry, &stored):
            return False
        message[0] = stored
        clear_scratch(&self.content)
        if self.exchange is None:
            put_bytes(&self.content, stored.content, stored.exchange_bytes)
        else:
            message.exchange_bytes = <uint8_t> len(self.exchange)
            put_bytes(&self.content, <const char *> self.exchange, len(self.exchange))
        start = stored.exchange_bytes
        if self.routing_key is None:
            put_bytes(&self.content, stored.content + start, stored.routing_key_bytes)
        else:
            message.routing_key_bytes = <uint8_t> len(self.routing_key)
            put_bytes(&self.content, <const char *> self.routing_key, len(self.routing_key))
        start += stored.routing_key_bytes
        put_bytes(&self.content, stored.content + start, stored.properties_bytes)
        put_bytes(&self.content, body_of(&stored), stored.body_bytes)
        message.content = self.content.data
        message.content_bytes = self.content.used
        message.apart = NULL
        message.room = NULL
        message.handed_over = True
        if stored.delayed and stored.received_at_ms > now_ms:
            return True
        message.delayed = False
        message.received_at_ms = now_ms
        if stored.ttl_ms != NO_TTL:
            ends_at_ms = time_after(stored.received_at_ms, stored.ttl_ms)
            message.ttl_ms = ends_at_ms - now_ms if ends_at_ms > now_ms else 0
        return True


cdef bytes name_of(name):
    """Of an exchange or a routing key; None stays None."""
    if name is not None and len(<bytes> name) > NAME_BYTES_MAX:
        raise ValueError(f"a name has at most {NAME_BYTES_MAX} bytes")
    return name


cdef Move move_messages(EngineState engine, uint32_t queue_id, positions, local, remote, exchange, routing_key, done):
    """Starts to move what is at the positions; see Engine.move_messages."""
    cdef Move move = Move()
    cdef Queue *queue = <Queue *> queue_at(&engine.queues, queue_id)
    cdef const uint64_t[::1] ascending = np.unique(np.asarray(positions, np.uint64))
    if ascending.shape[0] > ITEMS_MAX:
        raise ValueError(f"more than {ITEMS_MAX} messages in one move")
    if queue == NULL or queue.features != NULL and queue.features.stream != NULL:
        raise ValueError(f"queue {queue_id} is a stream, or is not there")
    move.engine = engine
    move.returned = []
    move.queue_id = queue_id
    move.local = array.array("I", local)
    move.remote = [(shard, array.array("I", ids)) for shard, ids in remote]
    if queue_id in move.local or not (move.local or move.remote) or not all(ids for _, ids in move.remote):
        raise ValueError("a message is moved to other queues")
    move.exchange = name_of(exchange)
    move.routing_key = name_of(routing_key)
    move.done = done
    engine.refused_bytes[0] = engine.refused_bytes[1] = <size_t> -1     # this is not the batch that found the disk full
    engine.move_number += 1
    move.number = engine.move_number
    if ascending.shape[0]:
        move.start(queue, ascending)
    if move.under_way:
        engine.moves[move.number] = move
    return move


cdef int move_answered(EngineState engine, uint64_t ticket, int answer) except -1:
    """The relay's word on a message of a move."""
    cdef Move move = <Move?> engine.moves[(ticket & ~MOVE_TICKET) >> ITEM_BITS]
    return move.answered(<uint32_t> (ticket & (ITEMS_MAX - 1)), answer)
