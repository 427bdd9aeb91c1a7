# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One destination out of several for each message: by the hash of something in it, or at random.

What consistent-hash, modulus-hash and random exchanges have in common, compiled because it is done per message.

Hashes have a seed that never changes, so every gateway, and every one to come, chooses alike. By weight means rendezvous
hashing: each destination draws a number for the message, from its own name and the message's hash, and the lowest one
after division by the weight gets it. So a destination that comes takes messages from the others in proportion, one
that goes gives its own to the others in proportion, and nothing else moves. It costs a draw per destination.

Knows no exchange and no binding, and keeps nothing from one message to the next but the state of the random numbers.
"""
from libc.math cimport log
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import hashlib
import os

from amqp091.scanner cimport (
    PROPERTY_CORRELATION_ID, PROPERTY_MESSAGE_ID, PROPERTY_TIMESTAMP, ContentHeader, Field, find_field, find_property,
    integer_of, load32, load64, parse_properties,
)

from amqp091.scanner import scan_error

cdef enum:
    CHOOSE_AT_RANDOM = 0
    CHOOSE_BY_REMAINDER = 1
    CHOOSE_BY_WEIGHT = 2

    HASH_ROUTING_KEY = 0
    HASH_HEADER = 1
    HASH_MESSAGE_ID = 2
    HASH_CORRELATION_ID = 3
    HASH_TIMESTAMP = 4

    # What is hashed in front of a value, so that values of different kinds differ; a part of what must never change.
    KIND_ABSENT = 0
    KIND_TEXT = 1
    KIND_INTEGER = 2
    KIND_FLOAT = 3
    KIND_TIMESTAMP = 4
    KIND_OTHER = 16             # plus the letter

cdef extern from *:
    """
    #define WARREN_HASH_START UINT64_C(0x243F6A8885A308D3)      /* pi */
    #define WARREN_HASH_FACTOR UINT64_C(0x9E3779B97F4A7C15)     /* golden ratio; both never to be changed */
    #define WARREN_UNIT (1.0 / 9007199254740992.0)              /* 2 ** -53 */
    """
    const uint64_t HASH_START "WARREN_HASH_START"
    const uint64_t HASH_FACTOR "WARREN_HASH_FACTOR"
    const double UNIT "WARREN_UNIT"

cdef dict PROPERTIES = {
    "message_id": HASH_MESSAGE_ID,
    "correlation_id": HASH_CORRELATION_ID,
    "timestamp": HASH_TIMESTAMP,
}

cdef uint64_t random_state = int.from_bytes(os.urandom(8), "little")


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    """Every bit of the result depends on every bit of the value (the end of splitmix64)."""
    value = (value ^ value >> 30) * <uint64_t> 0xBF58476D1CE4E5B9
    value = (value ^ value >> 27) * <uint64_t> 0x94D049BB133111EB
    return value ^ value >> 31


cdef uint64_t hashed(uint8_t kind, const uint8_t *data, size_t n) noexcept nogil:
    cdef uint64_t value = mixed(HASH_START + kind + n * HASH_FACTOR)
    cdef uint64_t word
    while n >= 8:
        word = load64(data)
        value = mixed((value ^ word) * HASH_FACTOR)
        data += 8
        n -= 8
    word = 0
    while n:
        word = word << 8 | data[0]
        data += 1
        n -= 1
    return mixed((value ^ word) * HASH_FACTOR)


cdef uint64_t hashed_number(uint8_t kind, uint64_t number) noexcept nogil:
    return mixed((mixed(HASH_START + kind) ^ number) * HASH_FACTOR)


cdef uint64_t hashed_field(const Field *field) noexcept nogil:
    """By value: integers of all widths alike, floats of both."""
    cdef int64_t integer
    cdef double real
    cdef float single
    cdef uint32_t bits32
    cdef uint64_t bits
    if integer_of(field, &integer):
        return hashed_number(KIND_INTEGER, <uint64_t> integer)
    if field.letter == c"S" or field.letter == c"x":
        return hashed(KIND_TEXT, field.value, field.value_bytes)
    if field.letter == c"T":
        return hashed_number(KIND_TIMESTAMP, load64(field.value))
    if field.letter == c"d":
        return hashed_number(KIND_FLOAT, load64(field.value))
    if field.letter == c"f":
        bits32 = load32(field.value)
        memcpy(&single, &bits32, 4)
        real = single
        memcpy(&bits, &real, 8)
        return hashed_number(KIND_FLOAT, bits)
    return hashed(KIND_OTHER + field.letter, field.value, field.value_bytes)


cdef class Choice:
    def __cinit__(self, destinations, *, weights=None, str hash_property=None, str hash_header=None, bint random=False):
        cdef uint32_t i
        self.destinations = tuple(destinations)
        self.count = <uint32_t> len(self.destinations)
        if self.count == 0:
            raise ValueError("a choice out of nothing")
        self.subject = HASH_ROUTING_KEY
        if hash_header is not None:
            self.header = hash_header.encode("utf-8", "surrogateescape")
            self.subject = HASH_HEADER
        elif hash_property is not None:
            self.subject = PROPERTIES[hash_property]
        self.method = CHOOSE_AT_RANDOM if random else CHOOSE_BY_REMAINDER
        if weights is None:
            return
        self.method = CHOOSE_BY_WEIGHT
        weights = list(weights)
        if len(weights) != self.count or min(weights) <= 0:
            raise ValueError("a weight above 0 for every destination")
        self.seeds = <uint64_t *> malloc(self.count * sizeof(uint64_t))
        if self.seeds == NULL:
            raise MemoryError()
        for i in range(self.count):
            kind, name = self.destinations[i]
            self.seeds[i] = seed_of(kind, name)
        if min(weights) == max(weights):
            return
        self.weights = <double *> malloc(self.count * sizeof(double))
        if self.weights == NULL:
            raise MemoryError()
        for i in range(self.count):
            self.weights[i] = weights[i]

    def __dealloc__(self):
        free(self.seeds)
        free(self.weights)

    cdef uint64_t hash_of(
        self, const uint8_t *routing_key, size_t routing_key_bytes, const ContentHeader *header
    ) noexcept:
        """Of the routing key, the header or the property; messages without it have one hash in common."""
        cdef const uint8_t *value
        cdef size_t n
        cdef Field field
        cdef uint16_t flag
        if self.subject == HASH_ROUTING_KEY:
            return hashed(KIND_TEXT, routing_key, routing_key_bytes)
        if self.subject == HASH_HEADER:
            if header.headers != NULL and find_field(
                    header.headers, header.headers_bytes, <const char *> self.header, len(self.header), &field):
                return hashed_field(&field)
            return hashed_number(KIND_ABSENT, 0)
        if self.subject == HASH_MESSAGE_ID:
            flag = PROPERTY_MESSAGE_ID
        elif self.subject == HASH_CORRELATION_ID:
            flag = PROPERTY_CORRELATION_ID
        else:
            flag = PROPERTY_TIMESTAMP
        if find_property(header.properties, header.properties_bytes, flag, &value, &n):
            return hashed_number(KIND_TIMESTAMP, load64(value)) if flag == PROPERTY_TIMESTAMP else hashed(
                KIND_TEXT, value, n)
        return hashed_number(KIND_ABSENT, 0)

    cdef uint32_t lowest(self, uint64_t hash_value) noexcept:
        """The destination whose draw, an exponential variable with its weight as rate, is the lowest."""
        cdef uint32_t i, best = 0
        cdef uint64_t drawn, highest = 0
        cdef double uniform, score, best_score = 0
        if self.weights == NULL:
            for i in range(self.count):         # the same order without the logarithm, which falls
                drawn = mixed(hash_value ^ self.seeds[i])
                if drawn >= highest:
                    highest = drawn
                    best = i
            return best
        for i in range(self.count):
            uniform = (<double> (mixed(hash_value ^ self.seeds[i]) >> 11) + 0.5) * UNIT
            if i and 1 - uniform >= best_score * self.weights[i]:
                continue                        # as -log(x) is never below 1 - x; few are left to be compared
            score = -log(uniform) / self.weights[i]
            if i == 0 or score < best_score:
                best_score = score
                best = i
        return best

    cdef uint32_t index_of(
        self, const uint8_t *routing_key, size_t routing_key_bytes, const ContentHeader *header
    ) noexcept:
        global random_state
        if self.count == 1:
            return 0
        if self.method == CHOOSE_AT_RANDOM:
            random_state += HASH_FACTOR
            return <uint32_t> ((mixed(random_state) >> 32) * self.count >> 32)
        if self.method == CHOOSE_BY_REMAINDER:
            return <uint32_t> (self.hash_of(routing_key, routing_key_bytes, header) % self.count)
        return self.lowest(self.hash_of(routing_key, routing_key_bytes, header))

    def index(self, bytes routing_key not None, bytes properties not None=b"\0\0"):
        cdef ContentHeader header
        cdef int failed = parse_properties(<const uint8_t *> properties, len(properties), &header)
        if failed:
            raise scan_error(failed)
        return self.index_of(<const uint8_t *> routing_key, len(routing_key), &header)


cdef uint64_t seed_of(str kind, str name) except? 0:
    """From the name alone: the same wherever and whenever."""
    digest = hashlib.blake2b(f"{kind}:{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
