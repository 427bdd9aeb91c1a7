"""The compiled queue engine of a shard. One subject per file.

The structures, and what plain queues need

    state           queues, consumers, channels, connections, gateways
    tables          queues by id, handles by slot
    ready_ring      ready messages of a queue, in order
    returned_heap   messages that came back to a queue; message_heap: how they and delayed ones move in their arrays
    unacked_ring    messages that a channel holds
    ingest          records of a batch: publishes, settlements, credit
    expecting       what the next publishes of a batch look at, brought into the cache
    accepting       a message into the log and into its queues
    dispatch        queues to consumers; basic.get
    settling        acked, rejected, requeued
    members         how consumers, channels, connections and gateways come and go
    flood           queues whose consumers cannot follow
    lending         bodies that stay in the log until a gateway has written them; rooms: where gateways read them to
    telling         what gateways are told unasked

Queues with features (Queue.features is not NULL)

    features        settings and state; configuring: from QueueFeatures, also while messages are there
    ready           ready messages, whatever keeps them: lanes of a priority queue, or a ring
    placing         coming, going by time or by limit
    returning       coming back: delivery limits, back-off; redelivery: the header that counts
    timers          when a queue is to be looked at; delayed_heap: messages that are not ready before a time
    single_active   one consumer at a time; consumer_timeout, watch: who holds a message too long
    stream          messages by offset; reading: consumers of one; retaining: what age and size take
    deduplication   messages that a queue has had before; identifier, siphash: their ids; window: those remembered

Messages that leave their queue otherwise

    dying           the one way out of a message that is not acknowledged
    burying         dead letters: routed, written, and done with where the message died; burial_state: their structures
    letter_routes   where they go, remembered
    death           what a dead letter says of its deaths; circles
    relay           messages handed to queues of other shards; relay_window: what is under way to one
    browsing        messages shown and deleted by position; picking: found, taken out, put back
    moving          messages moved by position

    engine          the surface for Python
"""
from bus.bad_record import BadRecord
from shards.engine.engine import EVENT, REQUEST, RESPONSE, Engine, ExclusiveConflict, UnknownQueue

__all__ = ["EVENT", "REQUEST", "RESPONSE", "BadRecord", "Engine", "ExclusiveConflict", "UnknownQueue"]
