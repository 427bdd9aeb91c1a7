# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Death: a message leaves its queue because it expired, was rejected, had no room or was delivered too often.

The caller has taken it out of the queue (it is neither ready nor unacknowledged). Without a dead-letter exchange it is
acknowledged. With one it waits, as an entry of the log that is as good as unacknowledged, until the end of the turn:
burying.pyx writes its dead letter then. So nothing here changes any other queue.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from log.store cimport Entry, Message
from shards.engine.burial_state cimport PLACE_DYING, PLACE_NONE, DeadLetters, append_queue
from shards.engine.ready_ring cimport push_ready


cdef int die(EngineState engine, Queue *queue, const Entry *entry, uint8_t reason) except -1:
    """A message of the queue, which is in the store."""
    cdef DeadLetters *letters
    cdef Entry dying
    engine.deaths[reason] += 1
    letters = queue.features.letters if queue.features != NULL else NULL
    if letters == NULL or not letters.wanted:
        return engine.store.acked(entry)
    dying = entry[0]
    dying.flags = reason
    push_ready(&letters.dying, &dying)
    if letters.place == PLACE_NONE:
        letters.place = PLACE_DYING
        append_queue(&engine.burying.dying, queue)
    return 0


cdef int die_unstored(EngineState engine, Queue *queue, const Message *message, uint8_t reason) except -1:
    """A message that the queue has not taken, and whose dead letter is wanted all the same: it is stored to die."""
    cdef uint32_t queue_id = queue.queue_id
    cdef uint64_t number = queue.next_number
    cdef Entry entry
    if queue.features.letters == NULL or not queue.features.letters.wanted:
        engine.deaths[reason] += 1
        return 0
    try:
        engine.store.append(
            queue.features.keeps_all or queue.durable and message.persistent, message, &queue_id, &number, NULL, 1,
            &entry)
    except OSError:
        engine.deaths[reason] += 1
        return 0                    # its publisher hears that it was refused
    queue.next_number += 1
    return die(engine, queue, &entry, reason)
