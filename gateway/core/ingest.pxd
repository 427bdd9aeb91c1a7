"""From a connection's bytes to what they ask for. See ingest.pyx."""
from libc.stdint cimport uint8_t

from gateway.core.state cimport ConnectionState


cdef int ingest(ConnectionState connection, const uint8_t *data, size_t n, size_t *consumed) except -1
