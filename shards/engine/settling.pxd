"""What becomes of delivered messages: acked, rejected, put back. See settling.pyx."""
from libc.stdint cimport uint16_t, uint64_t

from shards.engine.state cimport Channel, EngineState, Queue
from shards.engine.unacked_ring cimport UnackedItem


cdef int settle(EngineState engine, Channel *channel, uint64_t sequence, bint multiple, uint16_t outcome) except -1
cdef int requeue_all(EngineState engine, Channel *channel, uint16_t outcome) except -1
cdef int forget_queue(EngineState engine, Channel *channel, Queue *queue) except -1
