"""Handing messages over to queues of another shard, at least once: what the rest of the engine calls.

Who hands over (dead letters, moves) names each message by a ticket of its own, keeps the message, and hears one
answer for each ticket. In the engine's code:

    if relay_publish(engine, shard, &message, flags, queue_ids, queue_count, ticket):
        ...                             # its bytes are copied; relayed() comes later, exactly once
    else:
        ...                             # down or full: nothing was taken; relay_opened() comes

    Engine.relayed(shard, ticket, RELAY_TAKEN)      the target has it, on its disk if it is durable there: let go
    Engine.relayed(shard, ticket, RELAY_REFUSED)    the target did not keep it, and does not have it
    Engine.relayed(shard, ticket, RELAY_LOST)       its link went down: it may have it or not; hand it over again

`relayed` and `relay_opened` are cpdef methods of EngineState (state.pxd) that Engine overrides. They may hand over
further messages. During the RELAY_LOST of a link the target is not ready. A queue that does not exist at the target
(any more) counts as taken, as for a gateway. Refusals come before what the target took of later messages; otherwise
the answers of one target come in the order of the hand-overs. A restart of this process forgets all tickets.

What is under way to one target has a limit (RELAY_MESSAGES_MAX, RELAY_BYTES_MAX): nothing piles up for a shard that
is down or slow. Links between shards are made when the first message has to cross: asking relay_ready or
relay_publish in vain is what has one made.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from log.store cimport Message
from shards.engine.state cimport EngineState

cdef enum:
    RELAY_TAKEN = 0
    RELAY_REFUSED = 1
    RELAY_LOST = 2

    # Of messages under way to one target: a round trip ends with a sync of the target's disk, and this keeps a fast
    # one busy meanwhile. What a shard that stopped taking costs is this much memory, and the link's.
    RELAY_BYTES_MAX = 4 << 20
    RELAY_MESSAGES_MAX = 1 << 14


# Whether something is to be sent to another shard, or a link to one is wanted.
cdef bint relay_has_news(EngineState engine) noexcept

# Whether relay_publish would take a message now. Where not, Engine.relay_opened(shard) is called when that has changed.
# IndexError: there is no such shard.
cdef bint relay_ready(EngineState engine, uint32_t shard) except -1

# Takes a message for `queue_count` (1 to 65535) queues of the shard, or returns 0 where it is not ready. `flags` are
# those of PUBLISH (bus/records.pxd) beyond those that follow from the message: PUBLISH_PERSISTENT from persistent,
# PUBLISH_DELAYED from delayed (not ready before received_at_ms, at the target too); PUBLISH_CONFIRM is always there.
# The target sets the time of receipt of any other message. One message may go beyond the limits. Copies all that
# it points to.
cdef bint relay_publish(EngineState engine, uint32_t shard, const Message *message, uint8_t flags,
                        const uint32_t *queue_ids, uint32_t queue_count, uint64_t ticket) except -1
