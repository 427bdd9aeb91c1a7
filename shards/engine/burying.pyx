# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dead letters, at least once: routed, written where they go, and only then done with where the message died.

Once a turn (Engine.dispatch) this goes over the queues in which something died. Of each message:

    all its targets are on this shard   ONE record in the log has an entry for each target and settles the entry that
                                        the message came from, so a crash finds the message in the one or in the others.
                                        If it is a record for the disk, the old entry is acknowledged when that has it.
    some are on other shards            a burial: a slot here remembers which targets are still open. Each is handed
                                        over by the relay; those of this shard come last, in one record as above.
    it has none                         it is dropped, as in RabbitMQ

A target that would have the message go in circles is left out (death.pyx). Where the first message of a queue cannot go
on (a shard is away, a target is full and refuses, the disk is full, too much is under way) the queue waits for that, and
what dies behind it costs its entry of 24 bytes. One that is refused by some of its targets waits as a burial.

After a restart of the process what was not done with is in its queue again, and dies again: handed over twice it may
be, lost it is not.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from amqp091.property_edit cimport Scratch, clear_scratch, put_bytes
from amqp091.scanner cimport ContentHeader, parse_properties
from bus.records cimport PUBLISH_DIED
from log.formats cimport NO_TTL
from log.store cimport Entry, Message, body_of
from shards.engine.accepting cimport ACCEPT_DURABLE, ACCEPT_NO_ROOM, Origin, accept
from shards.engine.burial_state cimport (
    OWN_SHARD, PLACE_DYING, PLACE_NONE, PLACE_WAITING, TARGET_DONE, TARGET_OPEN, TARGET_SENT, TARGET_TAKES, WAITS_NOT,
    WAITS_RELAY, WAITS_SLOT, WAITS_TIME, Burial, BurialTarget, Burying, DeadLetters, LetterRoute, LetterTarget, SettlingItem,
    append_burial, append_queue, free_slot, push_settling, remove_from, reserve_work, take_first, take_slot, targets_of,
)
from shards.engine.death cimport Death, is_cycle, write_death
from shards.engine.features cimport OVERFLOW_REJECT, UNLIMITED
from shards.engine.letter_routes cimport ask_for_message, find_route, forget_routes
from shards.engine.placing cimport is_full
from shards.engine.ready_ring cimport drop_first_ready, first_ready, free_ready
from shards.engine.relay cimport RELAY_LOST, RELAY_REFUSED, RELAY_TAKEN, relay_publish, relay_ready
from shards.engine.tables cimport queue_at

cdef enum:
    # What was refused, by a queue that is full or for want of disk, is tried again after this long, and of what is
    # under way so many at once: a target that has room answers, and each answer brings two more.
    AGAIN_MS = 200
    AGAIN_AT_ONCE_MAX = 256
    # Burials of one queue: a target that refuses for long must not take all the slots there are; and while one
    # refuses, nothing is gained by sending it more.
    BURIALS_PER_QUEUE_MAX = 1 << 13
    BURIALS_REFUSED_MAX = 64
    # Records whose old entries wait for the disk, 32 bytes each. A disk that is slow holds the dead back, too.
    SETTLING_MAX = 1 << 17
    SLOTS_REOPEN = 1 << 15          # who waits for a slot goes on when no more than so many are taken


# -- what is done with

cdef int done_with(EngineState engine, const Entry *entry, bint durable) except -1:
    """The message has a new home."""
    engine.burying.buried[entry.flags & 3] += 1
    return give_up(engine, entry, durable)


cdef int give_up(EngineState engine, const Entry *entry, bint durable) except -1:
    """The old entry of a message that has been written somewhere else: at once, or when the disk has that."""
    cdef uint64_t position = engine.store.appended_position
    if durable and position > engine.store.durable_position:
        return push_settling(&engine.burying.settling, position, entry)
    return engine.store.acked(entry)


cdef int dropped(EngineState engine, const Entry *entry) except -1:
    """Nobody wants it."""
    engine.burying.dropped += 1
    return engine.store.acked(entry)


cdef int settle_up_to(EngineState engine, uint64_t position) except -1:
    cdef Burying *burying = &engine.burying
    cdef SettlingItem *item
    while burying.settling.first != burying.settling.next:
        item = &burying.settling.items[burying.settling.first & (burying.settling.capacity - 1)]
        if item.position > position:
            break
        engine.store.acked(&item.entry)
        burying.settling.first += 1
    return 0


# -- the letter

cdef int write_letter(EngineState engine, Queue *queue, const Entry *entry, const Message *message,
                      const ContentHeader *header, const LetterRoute *route, uint64_t time_s, Message *letter,
                      Death *death) except -1:
    """Into the scratch of the engine: what will be delivered."""
    cdef Scratch *out = &engine.burying.letter
    cdef DeadLetters *letters = queue.features.letters
    cdef const uint8_t *key = message.content + message.exchange_bytes
    cdef const uint8_t *body = body_of(message)
    cdef size_t start
    death.queue, death.queue_bytes = route.source, route.source_bytes
    death.exchange, death.exchange_bytes = message.content, message.exchange_bytes
    death.routing_key, death.routing_key_bytes = key, message.routing_key_bytes
    death.reason = <uint8_t> entry.flags
    death.recorded = message.died
    death.rekeyed = letters.keyed
    death.time_s = time_s
    letter[0] = message[0]
    letter.exchange_bytes = letters.exchange_bytes
    clear_scratch(out)
    if letters.keyed:
        letter.routing_key_bytes = letters.key_bytes
        put_bytes(out, letters.text, <size_t> letters.exchange_bytes + letters.key_bytes)
    else:
        put_bytes(out, letters.text, letters.exchange_bytes)
        put_bytes(out, key, message.routing_key_bytes)
    start = out.used
    write_death(out, &engine.burying.fields, header, death, &letters.template)
    letter.properties_bytes = <uint32_t> (out.used - start)
    put_bytes(out, body, message.body_bytes)
    letter.content = out.data
    letter.content_bytes = out.used
    letter.apart = NULL
    letter.room = NULL
    letter.ttl_ms = NO_TTL
    letter.delayed = False
    letter.died = True
    letter.received_at_ms = engine.now_ms
    return 0


cdef uint32_t choose_targets(EngineState engine, const LetterRoute *route, LetterRoute *told,
                             const ContentHeader *header, const Death *death) except? 0:
    """The targets that are there and make no circle, to burying.targets; returns how many."""
    cdef Burying *burying = &engine.burying
    cdef const LetterTarget *target
    cdef uint32_t i, count = 0
    reserve_work(burying, max(route.target_count, <uint32_t> 1))
    for i in range(route.target_count):
        target = &route.targets[i]
        if target.shard == OWN_SHARD and queue_at(&engine.queues, target.queue_id) == NULL:
            continue
        if is_cycle(header, death, target.name, target.name_bytes):
            if not told.circle_told:
                told.circle_told = True
                engine.letter_router.goes_in_circles(route.queue_id, <bytes> (<const char *> target.name)[
                    :target.name_bytes])
            continue
        burying.targets[count] = target[0]
        count += 1
    return count


# -- on this shard

cdef inline bint refuses(EngineState engine, uint32_t queue_id, const Message *letter) noexcept:
    """Whether a queue of this shard has no room and keeps what it has."""
    cdef Queue *queue = <Queue *> queue_at(&engine.queues, queue_id)
    return queue != NULL and queue.features != NULL and queue.features.overflow == OVERFLOW_REJECT \
        and is_full(queue, letter)


cdef int write_local(EngineState engine, Queue *queue, const Entry *entry, const Message *letter, uint32_t count,
                     bint last, bint durable) except -1:
    """To the queues in burying.local_ids. Answers as accept does.

    `last`: the message is done with; `durable`: not before the disk has what other targets have got.
    """
    cdef Origin origin
    cdef int answer
    if last:
        origin.queue_id = queue.queue_id
        origin.entry_number = engine.store.index_of(entry).entry_number
    answer = accept(engine, letter, engine.burying.local_ids, count, &origin if last else NULL)
    if last and not answer & ACCEPT_NO_ROOM:
        done_with(engine, entry, durable or answer & ACCEPT_DURABLE)
    return answer


# -- burials

cdef int64_t new_burial(EngineState engine, Queue *queue, const Entry *entry, uint64_t time_s, uint32_t count) except -2:
    """A slot for the message and the first `count` of burying.targets, all open; -1: none is free."""
    cdef Burying *burying = &engine.burying
    cdef DeadLetters *letters = queue.features.letters
    cdef BurialTarget *targets = NULL
    cdef Burial *burial
    cdef int64_t slot
    cdef uint32_t i
    if letters.under_way >= <uint32_t> (BURIALS_REFUSED_MAX if letters.refused else BURIALS_PER_QUEUE_MAX):
        return -1
    if count > 1:
        targets = <BurialTarget *> malloc(count * sizeof(BurialTarget))
        if targets == NULL:
            raise MemoryError()
    try:
        slot = take_slot(&burying.burials)
    except MemoryError:
        free(targets)
        raise
    if slot < 0:
        free(targets)
        burying.slots_awaited = True
        return -1
    burial = &burying.burials.slots[slot]
    burial.entry = entry[0]
    burial.queue = queue
    burial.time_s = time_s
    burial.target_count = burial.open = count
    burial.targets = targets
    for i in range(count):
        targets_of(burial)[i].queue_id = burying.targets[i].queue_id
        targets_of(burial)[i].shard = burying.targets[i].shard
        targets_of(burial)[i].state = TARGET_OPEN
    letters.under_way += 1
    return slot


cdef int end_burial(EngineState engine, uint32_t slot) except -1:
    """The slot is free, and whoever waits for one goes on."""
    cdef Burying *burying = &engine.burying
    cdef Queue *queue = <Queue *> burying.burials.slots[slot].queue
    free_slot(&burying.burials, slot)
    if queue != NULL:
        queue.features.letters.under_way -= 1
        if queue.features.letters.waits_for == WAITS_SLOT \
                and queue.features.letters.under_way <= BURIALS_PER_QUEUE_MAX // 2:
            go_on(engine, queue)
    if burying.slots_awaited and burying.burials.used <= SLOTS_REOPEN:
        burying.slots_awaited = False
        go_on_all(engine, WAITS_SLOT)
    return 0


cdef void look_later(EngineState engine, uint32_t slot) noexcept:
    cdef Burying *burying = &engine.burying
    if burying.burials.slots[slot].listed:
        return
    if burying.burials.later.first == 0:
        burying.again_ms = engine.now_ms + AGAIN_MS
    append_burial(&burying.burials, &burying.burials.later, slot)


cdef void look_soon(EngineState engine, uint32_t slot) noexcept:
    if not engine.burying.burials.slots[slot].listed:
        append_burial(&engine.burying.burials, &engine.burying.burials.due, slot)


cdef void look_at_later(EngineState engine, uint32_t count) noexcept:
    """The first of those that wait for a time are looked at now."""
    cdef Burying *burying = &engine.burying
    while count and burying.burials.later.first:
        look_soon(engine, take_first(&burying.burials, &burying.burials.later))
        count -= 1


cdef int hand_over(EngineState engine, uint32_t slot, const Message *letter) except -1:
    """To the open targets on other shards. Returns how many of those are not done, or were not even taken."""
    cdef Burial *burial = &engine.burying.burials.slots[slot]
    cdef BurialTarget *target
    cdef uint32_t i
    cdef bint waits = False
    for i in range(burial.target_count):
        target = targets_of(burial) + i
        if target.shard == OWN_SHARD or target.state != TARGET_OPEN:
            continue
        if relay_publish(engine, target.shard, letter, PUBLISH_DIED, &target.queue_id, 1, <uint64_t> slot << 32 | i):
            target.state = TARGET_SENT
            burial.sent += 1
        else:
            waits = True
    if waits:
        look_later(engine, slot)
    return waits or burial.sent


cdef int finish_here(EngineState engine, uint32_t slot, const Message *letter) except -1:
    """What is left are targets on this shard: those that have room get it now."""
    cdef Burying *burying = &engine.burying
    cdef Burial *burial = &burying.burials.slots[slot]
    cdef BurialTarget *target
    cdef uint32_t i, count = 0, full = 0
    cdef int answer
    reserve_work(burying, burial.target_count)
    for i in range(burial.target_count):
        target = targets_of(burial) + i
        if target.state != TARGET_OPEN:
            continue
        if refuses(engine, target.queue_id, letter):
            full += 1
        else:
            burying.local_ids[count] = target.queue_id
            target.state = TARGET_TAKES
            count += 1
    if count:
        answer = write_local(
            engine, <Queue *> burial.queue, &burial.entry, letter, count, full == 0, burial.durable)
        if full == 0 and not answer & ACCEPT_NO_ROOM:
            return end_burial(engine, slot)
        burial.durable |= answer & ACCEPT_DURABLE != 0
        for i in range(burial.target_count):
            target = targets_of(burial) + i
            if target.state != TARGET_TAKES:
                continue
            if answer & ACCEPT_NO_ROOM:
                target.state = TARGET_OPEN
            else:
                target.state = TARGET_DONE
                burial.open -= 1
    look_later(engine, slot)
    return 0


cdef int continue_burial(EngineState engine, uint32_t slot) except -1:
    """A burial that has open targets, or none at all any more."""
    cdef Burial *burial = &engine.burying.burials.slots[slot]
    cdef Queue *queue = <Queue *> burial.queue
    cdef Entry entry = burial.entry
    cdef LetterRoute *route
    cdef ContentHeader header
    cdef Message message, letter
    cdef Death death
    if burial.open == 0:
        done_with(engine, &entry, burial.durable)
        return end_burial(engine, slot)
    if queue == NULL or not queue.features.letters.wanted or not engine.store.read(&entry, &message) \
            or parse_properties(properties_of(&message), message.properties_bytes, &header):
        if burial.sent == 0:
            dropped(engine, &entry)
            end_burial(engine, slot)
        return 0
    route = find_route(engine, queue, &message, &header)
    write_letter(engine, queue, &entry, &message, &header, route, burial.time_s, &letter, &death)
    if hand_over(engine, slot, &letter):
        return 0
    return finish_here(engine, slot, &letter)


cdef int letter_answered(EngineState engine, uint64_t ticket, int answer) except -1:
    cdef uint32_t slot = <uint32_t> (ticket >> 32)
    cdef Burial *burial = &engine.burying.burials.slots[slot]
    cdef BurialTarget *target = targets_of(burial) + <uint32_t> ticket
    burial.sent -= 1
    if burial.queue != NULL and answer != RELAY_LOST:
        (<Queue *> burial.queue).features.letters.refused = answer == RELAY_REFUSED
    if answer == RELAY_TAKEN or burial.queue == NULL:
        target.state = TARGET_DONE
        burial.open -= 1
        look_at_later(engine, 2)
    else:
        target.state = TARGET_OPEN
        look_later(engine, slot)
    if burial.sent == 0 and not burial.listed:
        if burial.open:
            look_soon(engine, slot)
        else:
            continue_burial(engine, slot)
    return 0


# -- one message

cdef inline const uint8_t *properties_of(const Message *message) noexcept:
    return message.content + message.exchange_bytes + message.routing_key_bytes


cdef int bury(EngineState engine, Queue *queue, const Entry *entry) except -1:
    """The first message of a queue's dying ones; returns what it waits for, or WAITS_NOT where it is taken care of."""
    cdef Burying *burying = &engine.burying
    cdef LetterRoute *route
    cdef LetterRoute *own = NULL
    cdef ContentHeader header
    cdef Message message, letter
    cdef Death death
    cdef uint32_t count
    if not queue.features.letters.wanted or not engine.store.read(entry, &message) \
            or parse_properties(properties_of(&message), message.properties_bytes, &header):
        dropped(engine, entry)
        return WAITS_NOT
    route = find_route(engine, queue, &message, &header)
    if route.target_count == 0 and not route.by_message:
        dropped(engine, entry)
        return WAITS_NOT
    write_letter(
        engine, queue, entry, &message, &header, route, engine.now_ms // 1000, &letter, &death)
    if route.by_message:
        own = ask_for_message(engine, queue, route, &letter)
    try:
        count = choose_targets(engine, route if own == NULL else own, route, &header, &death)
        return place(engine, queue, entry, &letter, death.time_s, count)
    finally:
        free(own)


cdef int place(EngineState engine, Queue *queue, const Entry *entry, const Message *letter, uint64_t time_s,
               uint32_t count) except -1:
    """To the first `count` of burying.targets. Returns as bury does."""
    cdef Burying *burying = &engine.burying
    cdef uint32_t i, elsewhere = 0, ready = 0, takes = 0
    cdef int64_t slot
    for i in range(count):
        if burying.targets[i].shard != OWN_SHARD:
            elsewhere += 1
            ready += relay_ready(engine, burying.targets[i].shard)
        elif not refuses(engine, burying.targets[i].queue_id, letter):
            burying.local_ids[takes] = burying.targets[i].queue_id
            takes += 1
    if count == 0:
        dropped(engine, entry)
        return WAITS_NOT
    if takes == count:
        if write_local(engine, queue, entry, letter, takes, True, False) & ACCEPT_NO_ROOM:
            return WAITS_TIME
        return WAITS_NOT
    if elsewhere and not ready:
        return WAITS_RELAY
    if elsewhere == 0 and takes == 0:
        return WAITS_TIME
    slot = new_burial(engine, queue, entry, time_s, count)
    if slot < 0:
        return WAITS_SLOT
    if not elsewhere or not hand_over(engine, <uint32_t> slot, letter):
        finish_here(engine, <uint32_t> slot, letter)
    return WAITS_NOT


# -- queues

cdef int wait(EngineState engine, Queue *queue, uint8_t waits_for) except -1:
    """The first in `dying` cannot go on now."""
    cdef Burying *burying = &engine.burying
    cdef DeadLetters *letters = queue.features.letters
    remove_from(&burying.dying, queue)
    append_queue(&burying.waiting, queue)
    letters.place = PLACE_WAITING
    letters.waits_for = waits_for
    if waits_for == WAITS_TIME and burying.waiting_until_ms == UNLIMITED:
        burying.waiting_until_ms = engine.now_ms + AGAIN_MS
    return 0


cdef void go_on(EngineState engine, Queue *queue) noexcept:
    """Out of `waiting`."""
    cdef DeadLetters *letters = queue.features.letters
    remove_from(&engine.burying.waiting, queue)
    append_queue(&engine.burying.dying, queue)
    letters.place = PLACE_DYING
    letters.waits_for = WAITS_NOT


cdef void go_on_all(EngineState engine, uint8_t waits_for) noexcept:
    cdef Queue *queue = <Queue *> engine.burying.waiting.first
    cdef Queue *following
    while queue != NULL:
        following = <Queue *> queue.features.letters.next
        if queue.features.letters.waits_for == waits_for:
            go_on(engine, queue)
        queue = following


cdef inline bint disk_keeps_up(const Burying *burying) noexcept:
    return burying.settling.next - burying.settling.first < SETTLING_MAX


cdef bint can_bury(EngineState engine) noexcept:
    """Whether bury_dead has something to do."""
    cdef Burying *burying = &engine.burying
    return (burying.dying.first != NULL or burying.burials.due.first != 0) and disk_keeps_up(burying)


cdef int bury_queue(EngineState engine, Queue *queue, uint32_t *budget) except -1:
    """The first queue in `dying`, until nothing is left, it has to wait or the budget is used up."""
    cdef Burying *burying = &engine.burying
    cdef DeadLetters *letters = queue.features.letters
    cdef Entry entry
    cdef int waits_for
    while letters.dying.count:
        if budget[0] == 0 or not disk_keeps_up(burying):
            # others first, next time
            remove_from(&burying.dying, queue)
            append_queue(&burying.dying, queue)
            return 0
        budget[0] -= 1
        entry = first_ready(&letters.dying)[0]
        waits_for = bury(engine, queue, &entry)
        if waits_for != WAITS_NOT:
            return wait(engine, queue, waits_for)
        drop_first_ready(&letters.dying)
    remove_from(&burying.dying, queue)
    letters.place = PLACE_NONE
    return 0


cdef int bury_dead(EngineState engine, uint32_t *budget) except -1:
    """Once over what is due and the queues in which something died. Only where can_bury says so."""
    cdef Burying *burying = &engine.burying
    cdef uint32_t last
    cdef int64_t version
    if engine.letter_router is None:
        raise RuntimeError("nobody knows where dead letters go")
    version = engine.letter_router.version
    if version != burying.routes_version:
        forget_routes(&burying.routes)
        burying.routes_version = version
    # what does not fit now may fit again: this is not the batch that found the disk full
    engine.refused_bytes[0] = engine.refused_bytes[1] = <size_t> -1
    last = burying.burials.due.last
    while burying.burials.due.first and budget[0]:
        budget[0] -= 1
        if burying.burials.due.first == last:
            last = 0
        continue_burial(engine, take_first(&burying.burials, &burying.burials.due))
        if last == 0:
            break
    while burying.dying.first != NULL and budget[0] and disk_keeps_up(burying):
        bury_queue(engine, <Queue *> burying.dying.first, budget)
    return 0


# -- time, and other shards

cdef uint64_t bury_again_at(EngineState engine) noexcept:
    cdef Burying *burying = &engine.burying
    cdef uint64_t at_ms = burying.waiting_until_ms
    if burying.burials.later.first:
        at_ms = min(at_ms, burying.again_ms)
    return at_ms


cdef inline bint has_come(EngineState engine, uint64_t at_ms) noexcept:
    """A wall clock that was set back holds nothing up."""
    return at_ms <= engine.now_ms or at_ms > engine.now_ms + AGAIN_MS


cdef int bury_again(EngineState engine) except -1:
    """What waits for a time that has come is looked at in the next turn."""
    cdef Burying *burying = &engine.burying
    if burying.burials.later.first and has_come(engine, burying.again_ms):
        look_at_later(engine, AGAIN_AT_ONCE_MAX)
        burying.again_ms = engine.now_ms + AGAIN_MS
    if burying.waiting_until_ms != UNLIMITED and has_come(engine, burying.waiting_until_ms):
        burying.waiting_until_ms = UNLIMITED
        go_on_all(engine, WAITS_TIME)
    return 0


cdef int shard_opened(EngineState engine) except -1:
    """Another shard takes messages (again)."""
    look_at_later(engine, AGAIN_AT_ONCE_MAX)
    go_on_all(engine, WAITS_RELAY)
    return 0


# -- settings

cdef int set_dead_letters(EngineState engine, Queue *queue, exchange, routing_key) except -1:
    """`exchange` is None or a name, and so is the key. What is dying goes by the new ones, or is dropped."""
    cdef DeadLetters *letters = queue.features.letters
    cdef bytes name, key
    cdef uint8_t *text
    if exchange is None:
        if letters != NULL:
            letters.wanted = False
        return 0
    name = exchange.encode("utf-8", "surrogateescape")
    key = b"" if routing_key is None else routing_key.encode("utf-8", "surrogateescape")
    if len(name) > 255 or len(key) > 255:
        raise ValueError("the names of dead-letter exchanges and keys have at most 255 bytes")
    text = <uint8_t *> malloc(len(name) + len(key) + 1)
    if letters == NULL and text != NULL:
        letters = queue.features.letters = <DeadLetters *> calloc(1, sizeof(DeadLetters))
    if letters == NULL:
        free(text)
        raise MemoryError()
    memcpy(text, <const char *> name, len(name))
    memcpy(text + len(name), <const char *> key, len(key))
    free(letters.text)
    letters.text = text
    letters.exchange_bytes = <uint8_t> len(name)
    letters.key_bytes = <uint8_t> len(key)
    letters.keyed = routing_key is not None
    letters.wanted = True
    forget_routes(&engine.burying.routes)
    return 0


cdef int forget_letters(EngineState engine, Queue *queue) except -1:
    """The queue goes, and with it what was dying. What is under way arrives; nobody waits for it."""
    cdef Burying *burying = &engine.burying
    cdef DeadLetters *letters = queue.features.letters
    cdef uint32_t slot
    if letters == NULL:
        return 0
    if letters.place == PLACE_DYING:
        remove_from(&burying.dying, queue)
    elif letters.place == PLACE_WAITING:
        remove_from(&burying.waiting, queue)
    letters.place = PLACE_NONE
    while letters.dying.count:
        engine.store.acked(first_ready(&letters.dying))
        drop_first_ready(&letters.dying)
    if letters.under_way:
        for slot in range(burying.burials.capacity):
            if burying.burials.slots[slot].queue == queue:
                burying.burials.slots[slot].queue = NULL
    return 0


cdef uint64_t letters_count(const Queue *queue) noexcept:
    """Messages that have died and are not buried."""
    cdef const DeadLetters *letters = queue.features.letters if queue.features != NULL else NULL
    return 0 if letters == NULL else letters.dying.count + letters.under_way
