# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The queue engine of one shard: queues, their messages, their consumers.

Takes batches of records from gateways and leaves records for gateways in `outgoing`
batches. Has no clock, no socket and no thread, and knows no names: queues are numbers,
what gateways own are handles. The worker (shards/worker.py) drives it:

    engine.now_ms = ...
    offset = engine.receive(gateway, view)          stops at each JSON record, and at each GET
    engine.dispatch()                               once after all input, or before a JSON request
    link.send(engine.outgoing(gateway)); engine.sent(gateway)

A message is in exactly one place: ready or returned in its queue, or unacknowledged in a
channel. Its Entry is acknowledged in the store when it leaves the last one.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset

from bus.batch cimport Batch
from bus.records cimport (
    GET_GONE, GET_NO_ACK, KIND_EVENT, KIND_GET, KIND_GET_EMPTY, KIND_REQUEST, KIND_RESPONSE, KIND_WATERMARK,
    OUTCOME_REQUEUE, GetEmptyRecord, GetRecord, JsonRecord, RecordHeader, WatermarkRecord,
)
from log.formats cimport ENTRY_DELAYED, ENTRY_EXPIRES
from log.store cimport Entry
from shards.engine.browsing cimport browse, delete_at, positions_of
from shards.engine.burying cimport (
    BURIED_AT_ONCE_MAX, bury_again, bury_again_at, bury_dead, can_bury, forget_letters, letter_answered, letters_count,
    settle_up_to, shard_opened,
)
from shards.engine.configuring cimport configure
from shards.engine.consumer_timeout cimport look, look_is_due
from shards.engine.deduplication cimport forget_all, load_window
from shards.engine.dispatch cimport dispatch_touched, get_one
from shards.engine.dying cimport DEATH_DELIVERY_LIMIT, DEATH_EXPIRED, DEATH_MAXLEN, DEATH_REJECTED
from shards.engine.features cimport UNLIMITED, features_memory_bytes, new_lanes
from shards.engine.flood cimport watch_flood
from shards.engine.ingest cimport apply_records
from shards.engine.lending cimport (
    end_loans, forget_loans, loans_dropped, loans_returned, loans_sent, prepare_loans,
)
from shards.engine.members cimport (
    add_consumer, channel_for, connection_for, remove_channel, remove_connection, remove_consumer, remove_gateway,
    set_prefetch,
)
from shards.engine.moving cimport MOVE_TICKET, Move, move_answered, move_messages
from shards.engine.placing cimport (
    drop_all_ready, drop_delayed, enforce_limits, features_for, load_entry, now_unused, on_time,
)
from shards.engine.reading cimport messages_ahead, start_offset
from shards.engine.ready_ring cimport drop_first_ready, first_ready, push_ready, ready_memory_bytes
from shards.engine.retaining cimport durable_up_to, loaded
from shards.engine.returned_heap cimport free_returned
from shards.engine.rooms cimport end_room, forget_rooms
from shards.engine.settling cimport forget_queue, requeue_all
from shards.engine.single_active cimport fill_place
from shards.engine.state cimport (
    Channel, Connection, Consumer, EngineState, Gateway, Queue, free_queue, outgoing_bytes, outgoing_of, ready_count, touch, untouch,
    wake,
)
from shards.engine.stream cimport Reader, Stream, free_reader, new_reader, new_stream, stream_memory_bytes
from shards.engine.tables cimport handle_at, put_queue, queue_at, take_queue
from shards.engine.telling cimport tell
from shards.engine.timers cimport clear_timer, lower_timer
from shards.engine.window cimport Window

from bus.bad_record import BadRecord
from topology.arguments import STREAM
from topology.features import PLAIN
from topology.stream_offset import NEXT

REQUEST = KIND_REQUEST
RESPONSE = KIND_RESPONSE
EVENT = KIND_EVENT
cdef enum:
    WANTED_MAX = 65535              # a channel-wide prefetch is never larger
    EXPIRED_AT_ONCE_MAX = 256       # queues whose time has come, before messages have their turn again


class UnknownQueue(KeyError):
    """No queue of this shard has that id."""


class ExclusiveConflict(Exception):
    """The queue has an exclusive consumer, or has consumers and one asked for it alone."""


cdef class Engine(EngineState):
    """See the module."""

    # -- batches from gateways

    def receive(self, uint32_t gateway, const uint8_t[::1] batch not None, size_t offset=0) -> int:
        """Applies records from `offset` on; returns len(batch), or where a JSON record or a GET is. BadRecord where one
        lies."""
        self.refused_bytes[0] = self.refused_bytes[1] = <size_t> -1
        if offset >= <size_t> batch.shape[0]:
            return offset
        return apply_records(self, self.gateway_at(gateway), &batch[0], offset, batch.shape[0])

    def answer_get(self, uint32_t gateway, const uint8_t[::1] batch not None, size_t offset) -> int:
        """The GET that `receive` stopped at is answered by a record; the offset behind it. 0 where it stopped at JSON.

        As a request, it sees the queue as if every message before it had found its consumer at once.
        """
        cdef Gateway *there = self.gateway_at(gateway)
        cdef size_t left = batch.shape[0] - offset
        cdef const GetRecord *record
        cdef Queue *queue
        cdef Channel *of_channel
        if offset > <size_t> batch.shape[0] or left < sizeof(RecordHeader):
            raise BadRecord("a batch ends within a record")
        record = <const GetRecord *> &batch[offset]
        if record.kind != KIND_GET:
            return 0
        if record.record_bytes > left or record.record_bytes < sizeof(GetRecord):
            raise BadRecord("a get without its fields")
        self.dispatch()
        queue = <Queue *> queue_at(&self.queues, record.queue_id)
        if queue == NULL:
            tell_empty(there, record.request_id, GET_GONE)
        else:
            of_channel = channel_for(self, there, record.channel, connection_for(self, there, record.connection))
            if not get_one(self, queue, of_channel, record.request_id, record.flags & GET_NO_ACK != 0):
                tell_empty(there, record.request_id, 0)
        return offset + record.record_bytes

    @staticmethod
    def read_json(const uint8_t[::1] batch not None, size_t offset):
        """The JSON record that `receive` stopped at: (kind, request id, document, offset behind it)."""
        cdef size_t left = batch.shape[0] - offset
        cdef const JsonRecord *record
        if offset > <size_t> batch.shape[0] or left < sizeof(JsonRecord):
            raise BadRecord("a JSON record without its fields")
        record = <const JsonRecord *> &batch[offset]
        if (
            record.record_bytes > left or record.record_bytes < sizeof(JsonRecord)
            or record.json_bytes > record.record_bytes - sizeof(JsonRecord)
        ):
            raise BadRecord(f"a JSON record of {record.record_bytes} bytes for {record.json_bytes}")
        document = <bytes> (<const char *> record + sizeof(JsonRecord))[:record.json_bytes]
        return record.kind, record.request_id, document, offset + record.record_bytes

    cdef Gateway *gateway_at(self, uint32_t gateway) except NULL:
        if gateway >= self.sender_count:
            raise IndexError(f"no gateway {gateway}")
        return &self.gateways[gateway]

    cdef Queue *queue_with(self, uint32_t queue_id) except NULL:
        cdef Queue *queue = <Queue *> queue_at(&self.queues, queue_id)
        if queue == NULL:
            raise UnknownQueue(queue_id)
        return queue

    # -- batches to gateways

    def dispatch(self) -> None:
        """Gives ready messages to consumers as far as these can take them, buries what died, and looks after channels'
        credit."""
        cdef uint32_t budget = BURIED_AT_ONCE_MAX
        wake(self, &self.resting)
        dispatch_touched(self)
        while can_bury(self) and budget:
            bury_dead(self, &budget)
            dispatch_touched(self)
        if self.wanting != NULL or self.credited != NULL:
            self.settle_credit()

    def outgoing(self, uint32_t gateway) -> Batch:
        """What is to be sent to the gateway now; `sent` when it was. OSError where the log cannot be written."""
        cdef Gateway *there = self.gateway_at(gateway)
        if there.lent_bytes:
            prepare_loans(there)
        return self.batches[gateway]

    def pending(self, uint64_t minimum_bytes=0) -> list:
        """The gateways whose outgoing batch is not empty, and brings them so much or more."""
        cdef uint32_t i
        return [
            i for i in range(self.sender_count)
            if outgoing_of(&self.gateways[i]).size and outgoing_bytes(&self.gateways[i]) >= minimum_bytes]

    def sent(self, uint32_t gateway, link=None) -> None:
        """The outgoing batch was given to the link (None: there is none): consumers that waited for that go on."""
        cdef Gateway *there = self.gateway_at(gateway)
        if there.lent_bytes:
            if link is None:
                loans_dropped(self, there)
            else:
                loans_sent(self, there, link.sent_position)
        outgoing_of(there).clear()
        if not there.congested:
            wake(self, &there.waiting)

    def set_congested(self, uint32_t gateway, bint congested) -> None:
        """Nothing is dispatched to the gateway while its link is full."""
        cdef Gateway *there = self.gateway_at(gateway)
        there.congested = congested
        if not congested:
            wake(self, &there.waiting)

    def set_borrowing(self, uint32_t gateway, bint borrows) -> None:
        """Whether the gateway can read the files of the log: large bodies then stay there (lending.pyx)."""
        self.gateway_at(gateway).borrows = borrows

    def returned(self, uint32_t gateway, uint64_t position) -> None:
        """The gateway has given back everything before that position of its link."""
        loans_returned(self, self.gateway_at(gateway), position)

    def end_room(self, uint32_t gateway, uint64_t number, uint64_t body_bytes=0, bint back=False) -> bool:
        """The gateway is done with one of its rooms (rooms.pyx); False where it has none of that number. `body_bytes`: of a
        body that it was too small for. `back`: it has no use for another one now."""
        return end_room(self, self.gateway_at(gateway), number, body_bytes, back)

    def forget_loans(self) -> None:
        """At the end, when all links are closed: nothing is lent any more."""
        cdef uint32_t i
        for i in range(self.sender_count):
            forget_rooms(self, &self.gateways[i])
            forget_loans(self, &self.gateways[i])

    def end_loans(self) -> None:
        """Gateways are told of files that they know and that are gone."""
        if self.store.removed_lent:
            end_loans(self)

    @property
    def idle(self) -> bool:
        """Whether `dispatch` would find nothing to look at."""
        return self.touched_first == NULL and self.resting.first == NULL and not can_bury(self)

    def respond(self, uint32_t gateway, uint32_t request_id, bytes document not None) -> None:
        tell(self, self.gateway_at(gateway), KIND_RESPONSE, request_id, document)

    def event(self, uint32_t gateway, bytes document not None) -> None:
        tell(self, self.gateway_at(gateway), KIND_EVENT, 0, document)

    def watermark(self, uint32_t gateway, uint64_t processed_batch, uint64_t durable_batch) -> None:
        cdef uint8_t *place = outgoing_of(self.gateway_at(gateway)).reserve(sizeof(WatermarkRecord))
        cdef WatermarkRecord *record = <WatermarkRecord *> place
        memset(place, 0, sizeof(WatermarkRecord))
        record.record_bytes = sizeof(WatermarkRecord)
        record.kind = KIND_WATERMARK
        record.processed_batch = processed_batch
        record.durable_batch = durable_batch

    # -- queues

    def add_queue(self, uint32_t queue_id, bint durable, bint auto_delete, uint64_t highest_number=0,
                  features=PLAIN) -> None:
        """A queue whose entries will have numbers above `highest_number`; `features` is a QueueFeatures."""
        cdef Queue *queue
        if queue_at(&self.queues, queue_id) != NULL:
            raise ValueError(f"queue {queue_id} is there already")
        queue = <Queue *> calloc(1, sizeof(Queue))
        if queue == NULL:
            raise MemoryError()
        queue.queue_id = queue_id
        queue.durable = durable
        queue.auto_delete = auto_delete
        queue.next_number = highest_number + 1
        put_queue(&self.queues, queue_id, queue)
        if features != PLAIN:
            if features.max_priority is not None:
                features_for(self, queue).lanes = new_lanes(features.max_priority + 1)
            if features.queue_type == STREAM:
                features_for(self, queue).stream = new_stream(highest_number)
            self.configure(queue_id, features)

    def configure(self, uint32_t queue_id, features) -> None:
        """New features of a queue that may have messages and consumers already. Its type and priorities stay."""
        configure(self, self.queue_with(queue_id), features)

    def has_queue(self, uint32_t queue_id) -> bool:
        return queue_at(&self.queues, queue_id) != NULL

    def load(self, uint32_t queue_id, entries) -> None:
        """Recovered entries (numpy, ENTRY_DTYPE), ascending, into a queue that has had none yet."""
        cdef Queue *queue = self.queue_with(queue_id)
        cdef const uint8_t[::1] raw = entries.view("u1")
        cdef const Entry *entry
        cdef size_t i, count = raw.shape[0] // sizeof(Entry)
        if raw.shape[0] % sizeof(Entry):
            raise ValueError("entries of another size")
        for i in range(count):
            entry = <const Entry *> &raw[i * sizeof(Entry)]
            if queue.features == NULL and entry.flags & (ENTRY_EXPIRES | ENTRY_DELAYED):
                features_for(self, queue)
            if queue.features == NULL:
                push_ready(&queue.ready, entry)
            else:
                load_entry(self, queue, entry)
            if entry.number >= queue.next_number:
                queue.next_number = entry.number + 1
        if queue.features != NULL and queue.features.stream != NULL:
            loaded(self, queue)
        elif queue.features != NULL:
            enforce_limits(self, queue)
            lower_timer(self, queue, self.now_ms)
        if queue.open != NULL and ready_count(queue):
            touch(self, queue)

    def load_identifiers(self, uint32_t queue_id, identifiers, entries, uint64_t highest_number) -> None:
        """Before `load`, for a queue that deduplicates: the ids that recovery has found of it, and its messages (both
        ENTRY_DTYPE, ascending). `highest_number` is the highest of any id of it that the log has."""
        cdef Queue *queue = self.queue_with(queue_id)
        cdef const uint8_t[::1] raw_identifiers = identifiers.view("u1")
        cdef const uint8_t[::1] raw_entries = entries.view("u1")
        cdef size_t identifier_count = len(identifiers), entry_count = len(entries)
        if raw_identifiers.shape[0] != <Py_ssize_t> (identifier_count * sizeof(Entry)) or \
                raw_entries.shape[0] != <Py_ssize_t> (entry_count * sizeof(Entry)):
            raise ValueError("entries of another size")
        if queue.features == NULL or queue.features.window == NULL:
            raise ValueError(f"queue {queue_id} does not deduplicate")
        load_window(
            self, queue, <const Entry *> &raw_identifiers[0] if identifier_count else NULL, identifier_count,
            <const Entry *> &raw_entries[0] if entry_count else NULL, entry_count, highest_number)

    def remove_queue(self, uint32_t queue_id) -> list:
        """The queue goes with all its messages; returns its consumers as [(gateway, handle)]."""
        cdef Queue *queue = self.queue_with(queue_id)
        cdef uint32_t i, slot
        cdef Gateway *gateway
        cdef Channel *channel
        cancelled = []
        if queue.features != NULL:
            queue.features.single_active = False    # nobody follows
        # what was given to its consumers is the likeliest to be found, so these channels come first
        while queue.consumers != NULL:
            channel = queue.consumers.channel
            cancelled.append((channel.gateway.index, queue.consumers.handle))
            remove_consumer(self, queue.consumers, [])
            if queue.unacked:
                forget_queue(self, channel, queue)
        for i in range(self.sender_count):
            gateway = &self.gateways[i]
            for slot in range(gateway.channels.capacity):
                if queue.unacked == 0:
                    break
                if gateway.channels.slots[slot] != NULL:
                    forget_queue(self, <Channel *> gateway.channels.slots[slot], queue)
        self.drop_ready(queue)
        if queue.features != NULL:
            forget_letters(self, queue)
            drop_delayed(self, queue)
            if queue.features.window != NULL:
                forget_all(self, queue.features.window)
            clear_timer(self, queue)
        untouch(self, queue)
        if self.recent == queue:
            self.recent = NULL
        take_queue(&self.queues, queue_id)
        free_queue(queue)
        return cancelled

    def purge(self, uint32_t queue_id) -> int:
        """Drops what is ready; returns how many that were. Never of a stream."""
        cdef Queue *queue = self.queue_with(queue_id)
        cdef uint64_t count
        if queue.features != NULL and queue.features.stream != NULL:
            raise ValueError(f"queue {queue_id} is a stream, which keeps its messages")
        count = self.drop_ready(queue)
        watch_flood(self, queue)
        return count

    cdef uint64_t drop_ready(self, Queue *queue) except? 0:
        cdef uint64_t count = ready_count(queue), i
        if queue.features != NULL:
            return drop_all_ready(self, queue)
        for i in range(queue.returned.count):
            self.store.acked(&queue.returned.entries[i])
        free_returned(&queue.returned)
        while queue.ready.count:
            self.store.acked(first_ready(&queue.ready))
            drop_first_ready(&queue.ready)
        return count

    # -- messages by position

    def last_position(self, uint32_t queue_id) -> int:
        """The position that was given out last; every message of the queue has it or a lower one."""
        return self.queue_with(queue_id).next_number - 1

    def positions(self, uint32_t queue_id, uint64_t first, uint64_t last, uint32_t states, uint32_t count_max) -> tuple:
        """The lowest positions from `first` to `last` whose messages are in one of the states (a sum of READY, UNACKED
        and DELAYED of browsing.pyx), `count_max` at most; and where to go on, None at the end."""
        return positions_of(self, self.queue_with(queue_id), first, last, states, count_max)

    def browse(self, uint32_t queue_id, uint64_t first, uint64_t last, uint32_t states, uint32_t count_max,
               uint64_t bytes_max, uint32_t payload_bytes_max, tuple texts=(), tuple properties_texts=()) -> tuple:
        """The same with the messages (Browsed), of which those without the texts are left out."""
        return browse(self, self.queue_with(queue_id), first, last, states, count_max, bytes_max, payload_bytes_max,
                      texts, properties_texts)

    def delete_messages(self, uint32_t queue_id, positions) -> int:
        """Takes ready and delayed messages out; those that are not there (any more) are left out of the count."""
        return delete_at(self, self.queue_with(queue_id), positions)

    def move_messages(self, uint32_t queue_id, positions, local, remote, exchange, routing_key, done) -> Move:
        """Moves ready and delayed messages to the queues `local` of this shard and `remote` [(shard, queue ids)].

        They get this exchange and routing key; None: they keep theirs. The move is over where nothing is under way;
        else `done` is called when it is. Messages that are not there (any more) are left out.
        """
        self.queue_with(queue_id)
        return move_messages(self, queue_id, positions, local, remote, exchange, routing_key, done)

    def count(self, uint32_t queue_id) -> tuple:
        """(ready messages, consumers)"""
        cdef Queue *queue = self.queue_with(queue_id)
        return ready_count(queue), queue.consumer_count

    # -- streams

    def durable(self, uint64_t position) -> None:
        """Everything up to this position of the log is on the disk: consumers of streams may have it."""
        durable_up_to(self, position)

    def read_next(self, uint32_t gateway, uint32_t consumer):
        """The offset that a consumer of a stream reads next; None where it is none."""
        cdef Consumer *found = <Consumer *> handle_at(&self.gateway_at(gateway).consumers, consumer)
        return None if found == NULL or found.reader == NULL else found.reader.next

    # -- time

    def next_timer_ms(self):
        """When `expire` has something to do next (ms, wall clock), or None."""
        cdef uint64_t at_ms = bury_again_at(self)
        if self.timer_count:
            at_ms = min(at_ms, self.timers[1].features.timer_at_ms)
        if self.watches != NULL:
            at_ms = min(at_ms, self.look_at_ms)
        return None if at_ms == UNLIMITED else at_ms

    def expire(self, uint64_t now_ms, uint32_t queues_max=EXPIRED_AT_ONCE_MAX) -> bool:
        """Does what is due: expires heads, readies delayed messages, looks for deliveries that are not settled in time.
        True where more of it is left."""
        cdef uint32_t i
        self.now_ms = now_ms
        bury_again(self)
        if look_is_due(self, now_ms):
            look(self)
        for i in range(queues_max):
            if self.timer_count == 0 or self.timers[1].features.timer_at_ms > now_ms:
                return False
            on_time(self, self.timers[1])
        return True

    def durable_up_to(self, uint64_t position) -> None:
        """The log is on the disk so far: what has gone from one queue to another there is done with in the first."""
        settle_up_to(self, position)

    cpdef int relayed(self, uint32_t shard, uint64_t ticket, int answer) except -1:
        """Dead letters and moved messages are what is handed over."""
        if ticket & MOVE_TICKET:
            return move_answered(self, ticket, answer)
        return letter_answered(self, ticket, answer)

    cpdef int relay_opened(self, uint32_t shard) except -1:
        return shard_opened(self)

    def take_expired_queues(self) -> list:
        """Ids of queues that have been unused for as long as their x-expires."""
        expired, self.expired_queues = self.expired_queues, []
        return expired

    def take_deserted_queues(self) -> list:
        """Ids of auto-delete queues that a consumer timeout took the last consumer from."""
        deserted, self.deserted_queues = self.deserted_queues, []
        return deserted

    def used(self, uint32_t queue_id) -> None:
        """The queue was declared again: its x-expires counts from now."""
        cdef Queue *queue = self.queue_with(queue_id)
        if queue.features != NULL:
            now_unused(self, queue)

    def queue_ids(self) -> list:
        cdef uint32_t i
        return [
            self.queues.places[i].queue_id for i in range(self.queues.capacity) if self.queues.places[i].queue != NULL
        ]

    def describe(self, uint32_t queue_id) -> dict:
        """The queue's counts, under the names that RabbitMQ lists them by."""
        cdef Queue *queue = self.queue_with(queue_id)
        cdef const Window *window = NULL if queue.features == NULL else queue.features.window
        ready = ready_count(queue)
        if queue.features != NULL and queue.features.stream != NULL:
            return self.describe_stream(queue)
        return {
            "queue_id": queue_id,
            "messages": ready + queue.unacked,
            "messages_delayed": queue.features.delayed.count if queue.features != NULL else 0,
            "messages_ready": ready,
            "messages_unacknowledged": queue.unacked,
            "messages_dlx": letters_count(queue),
            "consumers": queue.consumer_count,
            "publish_count": queue.published,
            "deliver_count": queue.delivered,
            "redeliver_count": queue.redelivered,
            "ack_count": queue.acknowledged,
            "duplicate_count": 0 if window == NULL else window.duplicates,
            "identifiers": 0 if window == NULL else window.count,
            "memory_bytes": (
                sizeof(Queue) + ready_memory_bytes(&queue.ready) + queue.returned.capacity * sizeof(Entry)
                + features_memory_bytes(queue.features)
            ),
        }

    cdef dict describe_stream(self, Queue *queue):
        """As RabbitMQ does: what consumers hold is in the stream all the same, so it is not counted."""
        cdef const Stream *stream = queue.features.stream
        return {
            "queue_id": queue.queue_id,
            "messages": stream.count,
            "messages_delayed": 0,
            "messages_ready": stream.count,
            "messages_unacknowledged": 0,
            "consumers": queue.consumer_count,
            "publish_count": queue.published,
            "deliver_count": queue.delivered,
            "redeliver_count": 0,
            "ack_count": queue.acknowledged,
            "memory_bytes": sizeof(Queue) + stream_memory_bytes(stream),
            "first_offset": stream.first,
            "next_offset": stream.end,
            "message_bytes": stream.size_bytes,
        }

    # -- consumers and channels

    def consume(self, uint32_t gateway, uint32_t queue_id, uint32_t consumer, uint32_t channel, uint32_t connection, *,
                bint no_ack, bint exclusive, uint32_t prefetch, int64_t priority=0, uint64_t arrival=0,
                bint was_active=False, start=NEXT, filters=None, bint match_unfiltered=False) -> None:
        """UnknownQueue, ExclusiveConflict. Asking again with a handle that consumes already changes nothing.

        `arrival` and `was_active`: what `standing` said before a restart, of a consumer that is attached again.
        Of a stream: `start` is a StreamOffset, `filters` a list of bytes or None, and no consumer is without acks.
        """
        cdef Gateway *there = self.gateway_at(gateway)
        cdef Queue *queue = self.queue_with(queue_id)
        cdef Channel *of_channel
        cdef Reader *reader
        if handle_at(&there.consumers, consumer) != NULL:
            return
        if queue.exclusive_consumer != NULL or exclusive and (
                queue.consumer_count or queue.features != NULL and queue.features.single_active):
            raise ExclusiveConflict(queue_id)
        of_channel = channel_for(self, there, channel, connection_for(self, there, connection))
        if queue.features == NULL or queue.features.stream == NULL:
            add_consumer(self, queue, of_channel, consumer, no_ack, exclusive, prefetch, priority, arrival, was_active)
            return
        if no_ack or not prefetch:
            raise ValueError("a consumer of a stream has acks and a prefetch")
        reader = new_reader(start_offset(self, queue, start.start, start.number), filters, match_unfiltered)
        try:
            add_consumer(self, queue, of_channel, consumer, False, False, prefetch, 0, 0, False).reader = reader
        except:
            free_reader(reader)
            raise

    def standing(self, uint32_t gateway, uint32_t consumer):
        """(arrival, active) of a consumer whose queue has one active at a time; None of any other."""
        cdef Consumer *found = <Consumer *> handle_at(&self.gateway_at(gateway).consumers, consumer)
        if found == NULL or found.queue.features == NULL or not found.queue.features.single_active:
            return None
        return found.arrival, found.queue.features.active == found

    def active_consumer(self, uint32_t queue_id):
        """(gateway, handle) of the consumer that is the queue's single active one, or None."""
        cdef Queue *queue = self.queue_with(queue_id)
        cdef Consumer *active
        if queue.features == NULL or queue.features.active == NULL:
            return None
        active = <Consumer *> queue.features.active
        return active.channel.gateway.index, active.handle

    def await_attachments(self) -> None:
        """After a restart: gateways say which consumers they have, and nobody else becomes active until then."""
        self.attaching = True

    def all_attached(self) -> None:
        """They have."""
        cdef uint32_t i
        cdef Queue *queue
        if not self.attaching:
            return
        self.attaching = False
        for i in range(self.queues.capacity):
            queue = <Queue *> self.queues.places[i].queue
            if queue != NULL and queue.features != NULL and queue.features.single_active:
                fill_place(self, queue)

    def cancel(self, uint32_t gateway, uint32_t consumer) -> list:
        """Unknown consumers are none. This and the others below return auto-delete queues that are unused now."""
        cdef Consumer *found = <Consumer *> handle_at(&self.gateway_at(gateway).consumers, consumer)
        unused = []
        if found != NULL:
            remove_consumer(self, found, unused)
        return unused

    def get(self, uint32_t gateway, uint32_t request_id, uint32_t queue_id, uint32_t channel, bint no_ack,
            connection=None) -> bool:
        """basic.get: a GET_OK record, or False where the queue has nothing ready."""
        cdef Gateway *there = self.gateway_at(gateway)
        cdef Queue *queue = self.queue_with(queue_id)
        return get_one(self, queue, self.named_channel(there, channel, connection), request_id, no_ack)

    cdef Channel *named_channel(self, Gateway *gateway, uint32_t channel, connection) except NULL:
        """Where the gateway says whose channel it is, it is found when that connection ends."""
        cdef Connection *of_connection = NULL
        if connection is not None:
            of_connection = connection_for(self, gateway, connection)
        return channel_for(self, gateway, channel, of_connection)

    def qos(self, uint32_t gateway, uint32_t channel, *, bint limited, prefetch=None, bint paused=False,
            connection=None) -> None:
        """`prefetch` for all live consumers, or None. A limited channel starts with no credit each time it is said."""
        cdef Channel *there = self.named_channel(self.gateway_at(gateway), channel, connection)
        if prefetch is not None:
            set_prefetch(self, there, prefetch)
        there.limited = limited
        there.paused = paused
        there.credit = 0
        there.wanted = 0
        there.asking = False
        wake(self, &there.waiting)

    def grant(self, uint32_t gateway, uint32_t channel, uint64_t count) -> None:
        """Credit for a limited channel. None is an answer, too: lower priorities have their turn."""
        cdef Channel *there = <Channel *> handle_at(&self.gateway_at(gateway).channels, channel)
        if there == NULL or not there.limited:
            return
        there.credit += count
        there.wanted -= min(there.wanted, count)
        there.asking = False
        if not there.in_credited:
            there.in_credited = True
            there.credited_next = self.credited
            self.credited = there
        wake(self, &there.waiting)

    cdef int settle_credit(self) except -1:
        """After a dispatch: says what limited channels could use, and gives back what they could not."""
        cdef Channel *channel
        cdef uint64_t demand
        while self.credited != NULL:
            channel = self.credited
            self.credited = channel.credited_next
            channel.in_credited = False
            if channel.limited and channel.credit:
                # before `wanted`: the gateway takes this as the end of what was wanted before
                self.event(channel.gateway.index, b'{"event":"credit_returned","channel":%d,"count":%d}'
                           % (channel.handle, channel.credit))
                channel.credit = 0
                channel.wanted = 0
        while self.wanting != NULL:
            channel = self.wanting
            self.wanting = channel.wanting_next
            channel.in_wanting = False
            if channel.limited and channel.wanted == 0:
                demand = demand_of(channel)
                if demand:
                    channel.wanted = demand
                    channel.asking = True
                    self.event(channel.gateway.index, b'{"event":"credit_wanted","channel":%d,"count":%d}'
                               % (channel.handle, demand))
                else:
                    # others took what there was; the next message asks again
                    wake(self, &channel.waiting)

    def recover(self, uint32_t gateway, uint32_t channel) -> None:
        """Everything the channel holds is ready again."""
        cdef Channel *there = <Channel *> handle_at(&self.gateway_at(gateway).channels, channel)
        if there != NULL:
            requeue_all(self, there, OUTCOME_REQUEUE)

    def close_channel(self, uint32_t gateway, uint32_t channel) -> list:
        cdef Channel *there = <Channel *> handle_at(&self.gateway_at(gateway).channels, channel)
        unused = []
        if there != NULL:
            remove_channel(self, there, unused)
        return unused

    def close_connection(self, uint32_t gateway, uint32_t connection) -> list:
        cdef Connection *there = <Connection *> handle_at(&self.gateway_at(gateway).connections, connection)
        unused = []
        if there != NULL:
            remove_connection(self, there, unused)
        return unused

    def gateway_down(self, uint32_t gateway) -> list:
        """Everything it had goes, what is outgoing to it too."""
        cdef Gateway *there = self.gateway_at(gateway)
        unused = []
        remove_gateway(self, there, unused)
        there.congested = False
        outgoing_of(there).clear()
        there.borrows = False
        forget_rooms(self, there)
        forget_loans(self, there)
        return unused

    # -- figures

    def statistics(self) -> dict:
        cdef uint32_t i
        cdef uint64_t ready = 0, unacknowledged = 0, consumers = 0
        cdef Queue *queue
        for i in range(self.queues.capacity):
            queue = <Queue *> self.queues.places[i].queue
            if queue != NULL:
                ready += ready_count(queue)
                unacknowledged += queue.unacked
                consumers += queue.consumer_count
        return {
            "queues": self.queues.count,
            "messages_ready": ready,
            "messages_unacknowledged": unacknowledged,
            "consumers": consumers,
            "refused": self.refused_count,
            "deaths": {
                "rejected": self.deaths[DEATH_REJECTED], "expired": self.deaths[DEATH_EXPIRED],
                "maxlen": self.deaths[DEATH_MAXLEN], "delivery_limit": self.deaths[DEATH_DELIVERY_LIMIT],
            },
            "dead_lettered": {
                "rejected": self.burying.buried[DEATH_REJECTED], "expired": self.burying.buried[DEATH_EXPIRED],
                "maxlen": self.burying.buried[DEATH_MAXLEN],
                "delivery_limit": self.burying.buried[DEATH_DELIVERY_LIMIT],
            },
            "dead_letters_dropped": self.burying.dropped,
            "dropped": self.dropped_count,
        }


cdef int tell_empty(Gateway *gateway, uint32_t request_id, uint8_t flags) except -1:
    cdef GetEmptyRecord *record = <GetEmptyRecord *> outgoing_of(gateway).reserve(sizeof(GetEmptyRecord))
    record.record_bytes = sizeof(GetEmptyRecord)
    record.kind = KIND_GET_EMPTY
    record.flags = flags
    record.reserved = 0
    record.request_id = request_id
    record.reserved2 = 0
    return 0


cdef uint64_t demand_of(Channel *channel) noexcept:
    """How many messages the channel's consumers that wait for credit could be given."""
    cdef Consumer *first = channel.waiting.first
    cdef Consumer *consumer = first
    cdef uint64_t demand = 0, count
    while consumer != NULL:
        count = ready_count(consumer.queue) if consumer.reader == NULL else messages_ahead(consumer)
        if not consumer.no_ack:
            if consumer.prefetch:
                count = min(count, <uint64_t> (consumer.prefetch - min(consumer.unacked, consumer.prefetch)))
            demand += count
        consumer = consumer.next
        if consumer == first:
            break
    return min(demand, <uint64_t> WANTED_MAX)
