# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Death: a message leaves its queue because it expired, was rejected, had no room or was delivered too often.

The caller has taken it out of the queue (it is neither ready nor unacknowledged).
"""
from libc.stdint cimport uint8_t

from log.store cimport Entry, Message


cdef int die(EngineState engine, Queue *queue, const Entry *entry, uint8_t reason) except -1:
    """A message of the queue, which is in the store."""
    engine.deaths[reason] += 1
    return engine.store.acked(entry)


cdef int die_unstored(EngineState engine, Queue *queue, const Message *message, uint8_t reason) except -1:
    """A message that the queue has not taken, and whose dead letter is wanted all the same."""
    engine.deaths[reason] += 1
    return 0
