"""CRC-32C for compiled code; see log/checksum.pyx."""
from libc.stdint cimport uint32_t

# Continues `crc` (0 or a seed to start with) over n bytes.
cdef uint32_t crc32c(uint32_t crc, const void *data, size_t n) noexcept nogil
