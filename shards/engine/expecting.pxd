"""What the publishes of a batch will look at. See expecting.pyx."""
from libc.stdint cimport uint8_t

from shards.engine.state cimport EngineState


# Looks at some of the records that begin at `position`; returns where it stopped. Nothing in them needs to be true.
cdef size_t expect_queues(EngineState engine, const uint8_t *data, size_t position, size_t end) noexcept
