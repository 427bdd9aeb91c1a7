"""New settings of a queue. See configuring.pyx."""
from shards.engine.state cimport EngineState, Queue


cdef int configure(EngineState engine, Queue *queue, features) except -1
