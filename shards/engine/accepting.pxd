"""A message for queues of this shard: into the log once, then into each of them. See accepting.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from log.store cimport Message
from shards.engine.state cimport EngineState

cdef enum:
    # What accept answers: bits. None: all the queues took it.
    ACCEPT_NOBODY = 1               # not one of the queues exists
    ACCEPT_REFUSED = 2              # a queue does not take it; the others have it
    ACCEPT_NO_ROOM = 4              # the log has no room for it: no queue has it that keeps messages
    ACCEPT_DURABLE = 8              # it counts for the next commit


# The entry whose message this one was until now: it is done with as soon as this one is in the log.
cdef struct Origin:
    uint32_t queue_id
    uint64_t entry_number           # as the log knows it


cdef int accept(EngineState engine, const Message *message, const uint32_t *queue_ids, uint32_t queue_count,
                const Origin *origin) except -1
