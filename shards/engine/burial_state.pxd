"""What the engine keeps for dead letters: per queue, per route, per letter that is under way. See burial_state.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from amqp091.property_edit cimport Scratch
from log.store cimport Entry
from shards.engine.death_template cimport DeathTemplate
from shards.engine.ready_ring cimport ReadyRing

cdef enum:
    # DeadLetters.place
    PLACE_NONE = 0
    PLACE_DYING = 1                 # in the list of queues that have something to bury
    PLACE_WAITING = 2               # in the list of those whose first one cannot be buried now

    # DeadLetters.waits_for
    WAITS_NOT = 0
    WAITS_RELAY = 1                 # a shard that does not take messages
    WAITS_TIME = 2                  # a queue that is full, or the disk
    WAITS_SLOT = 3                  # too many letters are under way

    # LetterTarget.shard, BurialTarget.shard
    OWN_SHARD = 0x7FFFFFFF

    # BurialTarget.state
    TARGET_OPEN = 0                 # to be handed over
    TARGET_SENT = 1                 # handed over to another shard, which has not answered
    TARGET_TAKES = 2                # gets it in the record that is being written
    TARGET_DONE = 3


# Queues, in a list; the links are in their DeadLetters.
cdef struct QueueList:
    void *first                     # Queue
    void *last


cdef struct LetterRoute


# Of a queue that has a dead-letter exchange, or had one while something was dying.
cdef struct DeadLetters:
    bint wanted                     # there is an exchange
    bint keyed                      # there is a dead-letter-routing-key
    uint8_t exchange_bytes
    uint8_t key_bytes
    uint8_t *text                   # exchange and key
    ReadyRing dying                 # their flags are the reason
    DeathTemplate template
    LetterRoute *recent             # of the last letter; good while `routes_made` is that of the routes
    uint64_t routes_made
    uint32_t under_way              # burials
    bint refused                    # the last answer of another shard was a refusal
    uint8_t place
    uint8_t waits_for
    void *next                      # Queue
    void *previous


cdef struct LetterTarget:
    uint32_t queue_id
    uint32_t shard
    const uint8_t *name
    uint8_t name_bytes


# Where letters from one queue with the same routing keys go. One piece of memory, with targets, names and keys.
cdef struct LetterRoute:
    uint32_t hash
    uint32_t queue_id               # that they die in
    uint32_t target_count
    uint32_t remote_count           # of these, how many are on other shards
    bint by_message                 # it depends on more than the keys: asked for each message, and kept for none
    bint circle_told
    size_t keys_bytes
    size_t size_bytes
    const uint8_t *keys
    const uint8_t *source           # the name of that queue
    uint8_t source_bytes
    LetterTarget targets[1]         # as many as target_count says


cdef struct LetterRoutes:
    uint64_t made                   # grows when all are forgotten
    LetterRoute **places            # open addressing
    uint32_t capacity               # a power of two, or 0
    uint32_t count
    size_t bytes


cdef struct BurialTarget:
    uint32_t queue_id
    uint32_t shard
    uint8_t state


# A letter that is not buried in one go: it has targets on other shards, or some that do not take it now.
cdef struct Burial:
    Entry entry
    void *queue                     # Queue; NULL: gone
    uint64_t time_s                 # of the death
    uint32_t next                   # in a list: slot + 1, or 0
    bint listed                     # in `due` or `later`
    bint durable                    # some target's record counted for a commit
    uint32_t target_count
    uint32_t open                   # targets that are not done
    uint32_t sent                   # targets that have not answered
    BurialTarget *targets           # NULL: `single` is the only one
    BurialTarget single


cdef struct BurialList:
    uint32_t first                  # slot + 1, or 0
    uint32_t last


cdef struct BurialTable:
    Burial *slots
    uint32_t capacity
    uint32_t used
    uint32_t free                   # slot + 1, or 0
    BurialList due                  # to be looked at
    BurialList later                # when Burying.again_ms has come


# Entries that are done with as soon as the log is on the disk up to a position.
cdef struct SettlingItem:
    uint64_t position
    Entry entry


cdef struct SettlingRing:
    SettlingItem *items
    uint64_t first
    uint64_t next
    uint64_t capacity               # a power of two, or 0


cdef struct Burying:
    QueueList dying
    QueueList waiting
    uint64_t waiting_until_ms       # for those that wait for a time
    bint slots_awaited
    uint64_t again_ms               # for burials in `later`, where there are some
    LetterRoutes routes
    int64_t routes_version
    BurialTable burials
    SettlingRing settling
    Scratch letter                  # content of the letter in hand
    Scratch fields
    Scratch keys
    uint32_t work_capacity          # of these two: as long as the largest route seen
    uint32_t *local_ids
    LetterTarget *targets
    uint64_t buried[4]              # by reason
    uint64_t dropped                # without a route


cdef void append_queue(QueueList *list, void *queue) noexcept
cdef void remove_from(QueueList *list, void *queue) noexcept
cdef void free_letters(DeadLetters *letters) noexcept
cdef void free_burying(Burying *burying) noexcept
cdef int reserve_work(Burying *burying, uint32_t targets) except -1

# A free slot, or -1 where there are BURIALS_MAX. Pointers to burials are good until the next call.
cdef int64_t take_slot(BurialTable *table) except -2
cdef void free_slot(BurialTable *table, uint32_t slot) noexcept
cdef void append_burial(BurialTable *table, BurialList *list, uint32_t slot) noexcept
cdef uint32_t take_first(BurialTable *table, BurialList *list) noexcept

cdef int push_settling(SettlingRing *ring, uint64_t position, const Entry *entry) except -1

cdef inline BurialTarget *targets_of(Burial *burial) noexcept:
    return &burial.single if burial.targets == NULL else burial.targets
