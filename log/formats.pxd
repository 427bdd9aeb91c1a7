"""The structures of log/formats.py as compiled code sees them; the offset tables are there."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef packed struct FileHeader:
    char magic[8]
    uint32_t version
    uint32_t header_crc32c
    uint64_t segment_number
    uint32_t salt
    uint32_t flags
    uint64_t created_at_ms
    uint8_t reserved[24]


cdef packed struct Seal:
    uint32_t seal_magic
    uint32_t seal_crc32c
    uint64_t data_bytes
    uint32_t entry_count
    uint32_t entries_crc32c
    uint64_t sealed_at_ms


cdef packed struct StoredRecord:
    uint32_t record_bytes
    uint32_t crc32c
    uint8_t kind
    uint8_t flags
    uint16_t reserved
    uint32_t first_slot
    uint64_t received_at_ms
    uint64_t ttl_ms
    uint32_t properties_bytes
    uint32_t body_bytes
    uint8_t exchange_bytes
    uint8_t routing_key_bytes
    uint8_t priority
    uint8_t reserved2
    uint32_t queue_count


cdef packed struct RecordQueue:
    uint32_t queue_id
    uint32_t reserved
    uint64_t entry_number


cdef packed struct IndexEntry:
    uint32_t position8
    uint32_t record_bytes
    uint32_t queue_id
    uint8_t priority
    uint8_t flags
    uint16_t reserved
    uint64_t entry_number
    uint64_t expires_at_ms


cdef enum:
    FORMAT_VERSION = 1
    HEADER_BYTES = 4096
    SEAL_OFFSET = 64
    SEAL_MAGIC = 0x4C414553
    SEGMENT_DURABLE = 1
    RECORD_MESSAGE = 1
    RECORD_PERSISTENT = 1
    RECORD_COPIED = 2
    INDEX_COPIED = 1
    DELIVERY_COUNT_MAX = 253
    MOVED = 254
    ACKNOWLEDGED = 255
    RECORD_BYTES_MAX = 1 << 30

cdef extern from *:
    """
    #define WARREN_LOG_NO_TTL 0xFFFFFFFFFFFFFFFFULL
    """
    const uint64_t NO_TTL "WARREN_LOG_NO_TTL"
