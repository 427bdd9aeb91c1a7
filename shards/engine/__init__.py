"""The compiled queue engine of a shard. One subject per file:

    state           the structures: queues, consumers, channels, connections, gateways
    tables          queues by id, handles by slot
    ready_ring      ready messages of a queue, in order
    returned_heap   messages that came back to a queue
    unacked_ring    messages that a channel holds
    ingest          records of a batch: publishes, settlements, credit
    accepting       a message into the log and into its queues
    dispatch        queues to consumers; basic.get
    settling        acked, rejected, requeued
    picking         messages found and taken out by position
    browsing        messages shown and deleted by position
    deduplication   messages that a queue has had before
    identifier      the id of a message, from its properties
    window          the ids that a queue remembers
    siphash         the hash of an id
    relay           messages handed to queues of other shards
    dying           the way out of a message that is not acknowledged
    burying         dead letters: routed, written, and done with where the message died
    letter_routes   where they go, remembered
    burial_state    their structures
    death           what a dead letter says of its deaths; circles
    members         how consumers, channels, connections and gateways come and go
    engine          the surface for Python
"""
from shards.engine.engine import EVENT, REQUEST, RESPONSE, Engine, ExclusiveConflict, UnknownQueue
from shards.engine.ingest import BadRecord

__all__ = ["EVENT", "REQUEST", "RESPONSE", "BadRecord", "Engine", "ExclusiveConflict", "UnknownQueue"]
