# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What a dead letter says of its deaths, in its headers; and whether it goes in circles.

x-death is an array of tables, the latest death first, one for each (queue, reason). When a message dies of the same
reason in the same queue again, its table moves to the front and its count grows; all else in it is of the first
time. Fields, in this order:

    original-expiration  S   the property expiration, where the message had one (the dead letter has none)
    count                l
    reason               S   rejected, expired, maxlen, delivery_limit
    queue                S
    time                 T   seconds
    exchange             S
    routing-keys         A   of S: the key and those of the header CC; those of BCC are left out

x-first-death-reason, -queue and -exchange are written once, x-last-death-* each time. What a client has put there is
replaced at the first death. (rabbit_dead_letter.erl, mc.erl and mc_amqpl.erl of RabbitMQ 4)

Decides neither where a dead letter goes nor when. Takes lengths only after they were checked.
"""
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strlen

from amqp091.property_edit cimport (
    Name, PropertyEdit, Scratch, begin_length, clear_scratch, edit_properties, end_length, extend, free_scratch, put_bytes,
    put_int64_field, put_longstr, put_longstr_field, put_name, store32, store64,
)
from amqp091.scanner cimport (
    PROPERTY_CONTENT_ENCODING, PROPERTY_CONTENT_TYPE, PROPERTY_EXPIRATION, PROPERTY_HEADERS, ContentHeader, Field, find_field, load32, load64, next_field, parse_properties,
)
from shards.engine.dying cimport (
    DEATH_DELIVERY_LIMIT, DEATH_EXPIRED, DEATH_MAXLEN, DEATH_REASONS, DEATH_REJECTED,
)

from amqp091.scanner import scan_error

cdef enum:
    # The oldest deaths beyond this are forgotten: the properties of a message have to fit into one frame, and
    # clients take frames of 128 KiB. A death takes about 150 bytes.
    DEATHS_BYTES_MAX = 64 << 10
    REMOVED_FIELDS = 9
    FIRST_DEATH_FIELDS = 3
    KEY_FIELDS = 2

cdef const char *X_DEATH = "x-death"
cdef const char *COUNT = "count"
cdef const char *REASON = "reason"
cdef const char *QUEUE = "queue"
cdef const char *CC = "CC"
cdef const char *REJECTED = "rejected"

# Kept, where the message died before, are the first FIRST_DEATH_FIELDS; where its keys stay, the last KEY_FIELDS.
cdef Name REMOVED[REMOVED_FIELDS]


cdef void set_name(Name *name, const char *text) noexcept:
    name.text = text
    name.text_bytes = <uint8_t> strlen(text)


set_name(&REMOVED[0], "x-first-death-reason")
set_name(&REMOVED[1], "x-first-death-queue")
set_name(&REMOVED[2], "x-first-death-exchange")
set_name(&REMOVED[3], "x-death")
set_name(&REMOVED[4], "x-last-death-reason")
set_name(&REMOVED[5], "x-last-death-queue")
set_name(&REMOVED[6], "x-last-death-exchange")
set_name(&REMOVED[7], "CC")
set_name(&REMOVED[8], "BCC")


cdef const char *reason_text(uint8_t reason) noexcept nogil:
    if reason == DEATH_EXPIRED:
        return "expired"
    if reason == DEATH_MAXLEN:
        return "maxlen"
    if reason == DEATH_DELIVERY_LIMIT:
        return "delivery_limit"
    return REJECTED


cdef inline bint says(const Field *field, const void *text, size_t text_bytes) noexcept nogil:
    return field.letter == c"S" and field.value_bytes == text_bytes and memcmp(field.value, text, text_bytes) == 0


cdef inline bint field_says(const Field *table, const char *name, const void *text, size_t text_bytes) noexcept nogil:
    """Whether a table within a table or an array has a string field with this text."""
    cdef Field field
    return find_field(table.value - 4, table.value_bytes + 4, name, strlen(name), &field) \
        and says(&field, text, text_bytes)


cdef inline bint is_of(const Field *table, const Death *death) noexcept nogil:
    """Whether an entry of x-death is of this queue and this reason."""
    cdef const char *reason = reason_text(death.reason)
    return table.letter == c"F" and field_says(table, QUEUE, death.queue, death.queue_bytes) \
        and field_says(table, REASON, reason, strlen(reason))


cdef bint earlier_deaths(const ContentHeader *header, const Death *death, Field *deaths) noexcept nogil:
    """The array x-death of this broker, where the message has one."""
    return death.recorded and header.headers != NULL \
        and find_field(header.headers, header.headers_bytes, X_DEATH, strlen(X_DEATH), deaths) \
        and deaths.letter == c"A"


cdef bint is_cycle(const ContentHeader *header, const Death *death, const uint8_t *target,
                   uint8_t target_bytes) noexcept nogil:
    """RabbitMQ's rule: the target is among the queues that it died in, and it was not rejected since."""
    cdef Field deaths, entry
    cdef size_t at = 0
    if death.reason == DEATH_REJECTED:
        return False
    if death.queue_bytes == target_bytes and memcmp(death.queue, target, target_bytes) == 0:
        return True
    if not earlier_deaths(header, death, &deaths):
        return False
    while next_field(deaths.value, deaths.value_bytes, False, &at, &entry):
        if entry.letter != c"F" or field_says(&entry, REASON, REJECTED, strlen(REJECTED)):
            return False
        if field_says(&entry, QUEUE, target, target_bytes):
            return True
    return False


# -- writing

cdef int put_routing_keys(Scratch *out, const ContentHeader *header, const Death *death,
                          DeathTemplate *made) except -1:
    cdef Field keys, key
    cdef size_t start, at = 0
    put_name(out, "routing-keys", c"A")
    start = begin_length(out)
    put_bytes(out, b"S", 1)
    put_longstr(out, death.routing_key, death.routing_key_bytes)
    made.key_at = out.used - death.routing_key_bytes
    if header.headers != NULL and find_field(header.headers, header.headers_bytes, CC, strlen(CC), &keys) \
            and keys.letter == c"A":
        while next_field(keys.value, keys.value_bytes, False, &at, &key):
            if key.letter == c"S":
                put_bytes(out, key.start, key.field_bytes)
    return end_length(out, start)


cdef int put_new_death(Scratch *out, const ContentHeader *header, const Death *death, DeathTemplate *made) except -1:
    """An entry of x-death; `made` hears where in it things are."""
    cdef const char *reason = reason_text(death.reason)
    cdef size_t start
    put_bytes(out, b"F", 1)
    start = made.table_at = begin_length(out)
    if header.expiration != NULL:
        put_longstr_field(out, "original-expiration", header.expiration, header.expiration_bytes)
    put_int64_field(out, COUNT, c"l", 1)
    put_longstr_field(out, REASON, <const uint8_t *> reason, strlen(reason))
    put_longstr_field(out, QUEUE, death.queue, death.queue_bytes)
    put_int64_field(out, "time", c"T", death.time_s)
    made.time_at = out.used - sizeof(uint64_t)
    put_longstr_field(out, "exchange", death.exchange, death.exchange_bytes)
    made.exchange_at = out.used - death.exchange_bytes
    put_routing_keys(out, header, death, made)
    return end_length(out, start)


cdef bint find_death(const Field *deaths, const Death *death, Field *entry, Field *count) noexcept nogil:
    """The entry of an earlier death of this queue and reason, with a count."""
    cdef size_t at = 0
    while next_field(deaths.value, deaths.value_bytes, False, &at, entry):
        if is_of(entry, death):
            return find_field(entry.value - 4, entry.value_bytes + 4, COUNT, strlen(COUNT), count) \
                and count.letter == c"l"
    return False


cdef int put_deaths(Scratch *out, const ContentHeader *header, const Death *death, const Field *deaths,
                    DeathTemplate *made) except -1:
    """x-death with this death in front; `deaths` is the one that the message had, or NULL."""
    cdef Field entry, count
    cdef size_t start, place, at = 0
    put_name(out, X_DEATH, c"A")
    start = begin_length(out)
    if deaths != NULL and find_death(deaths, death, &entry, &count):
        place = out.used + (count.value - entry.start)
        put_bytes(out, entry.start, entry.field_bytes)
        store64(out.data + place, load64(count.value) + 1)
    else:
        put_new_death(out, header, death, made)
    if deaths != NULL:
        while next_field(deaths.value, deaths.value_bytes, False, &at, &entry):
            if is_of(&entry, death):
                continue
            if out.used - start + entry.field_bytes > DEATHS_BYTES_MAX:
                break
            put_bytes(out, entry.start, entry.field_bytes)
    return end_length(out, start)


cdef int put_fields(Scratch *fields, const ContentHeader *header, const Death *death, const Field *deaths,
                    DeathTemplate *made) except -1:
    """All that a letter has more than its message."""
    cdef const char *reason = reason_text(death.reason)
    put_deaths(fields, header, death, deaths, made)
    if deaths == NULL:
        put_longstr_field(fields, "x-first-death-reason", <const uint8_t *> reason, strlen(reason))
        put_longstr_field(fields, "x-first-death-queue", death.queue, death.queue_bytes)
        put_longstr_field(fields, "x-first-death-exchange", death.exchange, death.exchange_bytes)
    put_longstr_field(fields, "x-last-death-reason", <const uint8_t *> reason, strlen(reason))
    put_longstr_field(fields, "x-last-death-queue", death.queue, death.queue_bytes)
    return put_longstr_field(fields, "x-last-death-exchange", death.exchange, death.exchange_bytes)


# -- templates

cdef inline bint is_common(const ContentHeader *header, const Death *death) noexcept nogil:
    """Whether a first death says nothing that the next one in the queue would not say, but for its time and key."""
    cdef Field keys
    return header.expiration == NULL and (
        header.headers == NULL or not find_field(header.headers, header.headers_bytes, CC, strlen(CC), &keys))


cdef inline bint fits(const DeathTemplate *template, const Death *death) noexcept nogil:
    return template.filled and template.reason == death.reason and template.exchange_bytes == death.exchange_bytes \
        and memcmp(template.fields.data + template.exchange_at, death.exchange, death.exchange_bytes) == 0


cdef int keep(DeathTemplate *template, const DeathTemplate *made, const Scratch *fields, const Death *death) except -1:
    """What was just written, for the next ones."""
    clear_scratch(&template.fields)
    template.filled = False
    put_bytes(&template.fields, fields.data, fields.used)
    template.reason = death.reason
    template.exchange_bytes, template.key_bytes = death.exchange_bytes, death.routing_key_bytes
    template.table_at, template.time_at = made.table_at, made.time_at
    template.exchange_at, template.key_at = made.exchange_at, made.key_at
    template.filled = True
    return 0


cdef inline void add_to_length(uint8_t *word, int32_t difference) noexcept nogil:
    store32(word, load32(word) + <uint32_t> difference)


cdef inline void fill_in(uint8_t *fields, const DeathTemplate *template, const Death *death) noexcept nogil:
    """The template with another time and another routing key: filled_bytes of it."""
    cdef size_t rest_at = template.key_at + template.key_bytes
    cdef int32_t longer = <int32_t> death.routing_key_bytes - template.key_bytes
    memcpy(fields, template.fields.data, template.key_at)
    memcpy(fields + template.key_at, death.routing_key, death.routing_key_bytes)
    memcpy(fields + template.key_at + death.routing_key_bytes, template.fields.data + rest_at,
           template.fields.used - rest_at)
    store64(fields + template.time_at, death.time_s)
    if longer:
        # x-death, the entry, routing-keys, the key: each is within the one before it
        add_to_length(fields + template.table_at - 1 - 4, longer)
        add_to_length(fields + template.table_at, longer)
        add_to_length(fields + template.key_at - 4 - 1 - 4, longer)
        add_to_length(fields + template.key_at - 4, longer)


cdef inline size_t filled_bytes(const DeathTemplate *template, const Death *death) noexcept nogil:
    return template.fields.used - template.key_bytes + death.routing_key_bytes


cdef int put_filled(Scratch *out, const ContentHeader *header, const DeathTemplate *template,
                    const Death *death) except -1:
    """The properties of a letter whose message has no headers: they go between the encoding and the rest."""
    cdef const uint8_t *properties = header.properties
    cdef size_t n = header.properties_bytes
    cdef size_t fields_bytes = filled_bytes(template, death)
    cdef uint16_t flags = header.flags | PROPERTY_HEADERS
    cdef size_t at = 2
    cdef uint8_t *to
    if header.flags & PROPERTY_CONTENT_TYPE:
        at += 1 + <size_t> properties[at]
    if header.flags & PROPERTY_CONTENT_ENCODING:
        at += 1 + <size_t> properties[at]
    to = extend(out, n + 4 + fields_bytes)
    to[0] = <uint8_t> (flags >> 8)
    to[1] = <uint8_t> flags
    memcpy(to + 2, properties + 2, at - 2)
    store32(to + at, <uint32_t> fields_bytes)
    fill_in(to + at + 4, template, death)
    memcpy(to + at + 4 + fields_bytes, properties + at, n - at)
    return 0


cdef void free_template(DeathTemplate *template) noexcept:
    free_scratch(&template.fields)
    template.filled = False


cdef int write_death(Scratch *out, Scratch *fields, const ContentHeader *header, const Death *death,
                     DeathTemplate *template) except -1:
    cdef Field found
    cdef const Field *deaths = NULL
    cdef DeathTemplate made
    cdef PropertyEdit edit
    cdef bint common
    cdef int first = 0
    if earlier_deaths(header, death, &found):
        deaths = &found
        first = FIRST_DEATH_FIELDS
    common = deaths == NULL and is_common(header, death)
    if common and header.headers == NULL and fits(template, death):
        return put_filled(out, header, template, death)
    clear_scratch(fields)
    if common and fits(template, death):
        fill_in(extend(fields, filled_bytes(template, death)), template, death)
    else:
        memset(&made, 0, sizeof(DeathTemplate))
        put_fields(fields, header, death, deaths, &made)
        if common:
            keep(template, &made, fields, death)
    edit.removed = PROPERTY_EXPIRATION
    edit.removed_fields = &REMOVED[first]
    edit.removed_field_count = REMOVED_FIELDS - first - (0 if death.rekeyed else KEY_FIELDS)
    edit.added = fields.data
    edit.added_bytes = fields.used
    return edit_properties(out, header, &edit)


# -- for Python: tests

cdef int take_death(Death *death, bytes queue, bytes exchange, bytes routing_key, reason, bint recorded,
                    bint rekeyed, uint64_t time_s) except -1:
    if max(len(queue), len(exchange), len(routing_key)) > 255:
        raise ValueError("a name has at most 255 bytes")
    death.queue, death.queue_bytes = <const uint8_t *> queue, <uint8_t> len(queue)
    death.exchange, death.exchange_bytes = <const uint8_t *> exchange, <uint8_t> len(exchange)
    death.routing_key, death.routing_key_bytes = <const uint8_t *> routing_key, <uint8_t> len(routing_key)
    death.reason = [reason_text(i).decode() for i in range(DEATH_REASONS)].index(reason)
    death.recorded, death.rekeyed, death.time_s = recorded, rekeyed, time_s
    return 0


cdef class Template:
    """DeathTemplate, of one queue."""

    cdef DeathTemplate template

    def __dealloc__(self):
        free_template(&self.template)


def with_death(bytes properties not None, *, bytes queue not None, bytes exchange not None,
               bytes routing_key not None, str reason not None, bint recorded, bint rekeyed, uint64_t time_s,
               Template template=None) -> bytes:
    """The properties of the dead letter."""
    cdef ContentHeader header
    cdef Death death
    cdef Scratch out, fields
    cdef int failed = parse_properties(<const uint8_t *> properties, len(properties), &header)
    if failed:
        raise scan_error(failed)
    take_death(&death, queue, exchange, routing_key, reason, recorded, rekeyed, time_s)
    if template is None:
        template = Template()
    out.data = fields.data = NULL
    out.used = out.capacity = fields.used = fields.capacity = 0
    try:
        write_death(&out, &fields, &header, &death, &template.template)
        return (<const char *> out.data)[:out.used]
    finally:
        free_scratch(&out)
        free_scratch(&fields)


def goes_in_circles(bytes properties not None, *, bytes queue not None, str reason not None, bint recorded,
                    bytes target not None) -> bool:
    """Whether a message that dies in `queue` must not go to `target`."""
    cdef ContentHeader header
    cdef Death death
    cdef int failed = parse_properties(<const uint8_t *> properties, len(properties), &header)
    if failed:
        raise scan_error(failed)
    take_death(&death, queue, b"", b"", reason, recorded, False, 0)
    if len(target) > 255:
        raise ValueError("a name has at most 255 bytes")
    return is_cycle(&header, &death, <const uint8_t *> target, <uint8_t> len(target))
