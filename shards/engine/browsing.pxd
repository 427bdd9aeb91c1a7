"""Messages of a queue shown and deleted by position. See browsing.pyx."""
from libc.stdint cimport uint32_t, uint64_t

from shards.engine.state cimport EngineState, Queue


cdef tuple positions_of(EngineState engine, Queue *queue, uint64_t first, uint64_t last, uint32_t states,
                        uint32_t count_max)
cdef tuple browse(EngineState engine, Queue *queue, uint64_t first, uint64_t last, uint32_t states, uint32_t count_max,
                  uint64_t bytes_max, uint32_t payload_bytes_max, tuple texts, tuple properties_texts)
cdef object delete_at(EngineState engine, Queue *queue, positions)
