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
    uint32_t attributes
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
    FORMAT_VERSION = 2
    HEADER_BYTES = 4096
    SEAL_OFFSET = 64
    SEAL_MAGIC = 0x4C414553
    SEGMENT_DURABLE = 1
    RECORD_MESSAGE = 1
    RECORD_ROOM = 2
    RECORD_PERSISTENT = 1
    RECORD_COPIED = 2
    RECORD_DELAYED = 4
    RECORD_DIED = 8
    RECORD_IDENTIFIER = 16
    RECORD_APART = 32
    RECORD_QUEUE_TTL_IN_SECONDS = 1 << 30
    RECORD_QUEUE_TTL_MASK = (1 << 30) - 1
    INDEX_COPIED = 1
    INDEX_SETTLED = 2
    INDEX_DELAYED = 4
    INDEX_IDENTIFIER = 8
    IDENTIFIER_BYTES = 16
    ENTRY_REDELIVERED = 1
    ENTRY_EXPIRES = 2
    ENTRY_DELAYED = 4
    ENTRY_RETURNED = 8
    ENTRY_FAILURES_SHIFT = 6
    ENTRY_FAILURES_MAX = 1023
    DELIVERY_COUNT_MAX = 253
    MOVED = 254
    ACKNOWLEDGED = 255
    RECORD_BYTES_MAX = 1 << 30

cdef extern from *:
    """
    #define WARREN_LOG_NO_TTL 0xFFFFFFFFFFFFFFFFULL
    #define WARREN_RECORD_QUEUE_SETTLED 0x80000000U
    """
    const uint64_t NO_TTL "WARREN_LOG_NO_TTL"
    const uint32_t RECORD_QUEUE_SETTLED "WARREN_RECORD_QUEUE_SETTLED"


cdef inline uint32_t ttl_attribute(uint64_t ttl_ms) noexcept nogil:
    """A queue's TTL as the attribute of a record; NO_TTL: none. Rounded up to seconds where it is over twelve days."""
    if ttl_ms == NO_TTL:
        return 0
    if ttl_ms < RECORD_QUEUE_TTL_MASK:
        return <uint32_t> ttl_ms + 1
    ttl_ms = (ttl_ms + 999) // 1000
    if ttl_ms >= RECORD_QUEUE_TTL_MASK:
        return 0                    # over thirty years: never
    return RECORD_QUEUE_TTL_IN_SECONDS | (<uint32_t> ttl_ms + 1)


cdef inline uint64_t ttl_of(const StoredRecord *record, const RecordQueue *queue) noexcept nogil:
    """The lesser of the message's TTL and the queue's, in ms; NO_TTL: none."""
    cdef uint64_t own = queue.attributes & RECORD_QUEUE_TTL_MASK
    if own == 0:
        return record.ttl_ms
    own -= 1
    if queue.attributes & RECORD_QUEUE_TTL_IN_SECONDS:
        own *= 1000
    return own if own < record.ttl_ms else record.ttl_ms


cdef inline uint64_t time_after(uint64_t time_ms, uint64_t span_ms) noexcept nogil:
    """A sum that does not come round: a message may say any number."""
    return time_ms + span_ms if span_ms < NO_TTL - time_ms else NO_TTL - 1
