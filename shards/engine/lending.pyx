# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lending: large bodies stay in the log, and a delivery says where (bus/records.pxd: LentBody).

A gateway that shares files with this shard maps them for reading (bus/lent.pyx). It is told of a file before the first
body in it, by an event in the same batch, and of its end:

    {"event": "lend", "file": 7, "path": "/dev/shm/.../00000007.data", "bytes": 67112960, "beginning": "57524e..."}
    {"event": "lend_end", "file": 7}

A batch that names bodies is a loan of their segments until the gateway has given it back to its link, whatever has
become of the messages meanwhile: a segment that is lent (`Segment.lent`) is neither used again nor removed. What was
lent over a link that is gone is given back at once, but nothing else is ever written there (`Segment.spoiled`): where
the link was damaged, its gateway lives, and may be sending just that to a client. Its mapping outlives the file.
Copies of the same file under another name do not exist, so a number means the same file as long as this process lives.
The next process may use it again: a gateway that hears late of a file knows by its first bytes that it is another one.
"""
import json
from collections import deque

from libc.stdint cimport uint64_t

from bus.records cimport KIND_EVENT, LentBody
from log.segment cimport Segment
from log.store cimport Entry, Message
from shards.engine.state cimport EngineState, Gateway
from shards.engine.telling cimport tell

cdef enum:
    # Each costs a gateway a descriptor and a mapping; a deep backlog is read through a few of its files at a time.
    LENT_FILES_MAX = 32


cdef class Loans:
    """What one gateway has of this shard's log."""

    def __cinit__(self):
        self.files = {}
        self.current = []
        self.under_way = deque()
        self.rooms = {}


cdef int announce(EngineState engine, Gateway *gateway, Segment segment) except -1:
    cdef Loans loans = loans_of(gateway)
    cdef Segment oldest
    if len(loans.files) >= LENT_FILES_MAX:
        oldest = next(iter(loans.files))
        end_one(engine, gateway, oldest)
        oldest.borrowers.discard(gateway.index)
    if segment.borrowers is None:
        segment.borrowers = set()
    segment.borrowers.add(gateway.index)
    loans.files[segment] = None
    event = {
        "event": "lend", "file": segment.number, "path": segment.paths()[0], "bytes": segment.data_mapped_bytes,
        "beginning": segment.beginning.hex(),
    }
    return tell(engine, gateway, KIND_EVENT, 0, json.dumps(event).encode())


cdef int end_one(EngineState engine, Gateway *gateway, Segment segment) except -1:
    cdef dict files = loans_of(gateway).files
    if segment in files:
        del files[segment]
        event = {"event": "lend_end", "file": segment.number}
        tell(engine, gateway, KIND_EVENT, 0, json.dumps(event).encode())
    return 0


cdef bint lend(EngineState engine, Gateway *gateway, const Entry *stored, const Message *message,
               LentBody *body) except -1:
    """Lends the body of a stored message with the outgoing batch; False where it has to be copied."""
    cdef Loans loans = loans_of(gateway)
    cdef uint64_t position = 0
    cdef Segment segment = engine.store.place_of_body(stored, message, &position)
    if segment is None:
        return False
    if segment.borrowers is None or gateway.index not in segment.borrowers:
        announce(engine, gateway, segment)
    if segment not in loans.current:
        loans.current.append(segment)
        segment.lent += 1
    gateway.lent_bytes += message.body_bytes
    body.file = segment.number
    body.position = position
    return True


cdef int hand_back(EngineState engine, list segments) except -1:
    for segment in segments:
        engine.store.give_back(<Segment> segment)
    return 0


cdef int prepare_loans(Gateway *gateway) except -1:
    """Before the batch is sent: what it names is in the files. OSError where it cannot be written."""
    for segment in loans_of(gateway).current:
        (<Segment> segment).flush()
    return 0


cdef int loans_sent(EngineState engine, Gateway *gateway, uint64_t position) except -1:
    """The outgoing batch was sent; it is given back when the link has returned so much."""
    cdef Loans loans = loans_of(gateway)
    gateway.lent_bytes = 0
    if loans.current:
        loans.under_way.append((position, loans.current))
        loans.current = []
        engine.loan_count += 1
    return 0


cdef int loans_returned(EngineState engine, Gateway *gateway, uint64_t position) except -1:
    """The gateway has given back what lies before this position of its link."""
    cdef Loans loans = loans_of(gateway)
    while loans.under_way and loans.under_way[0][0] <= position:
        engine.loan_count -= 1
        hand_back(engine, loans.under_way.popleft()[1])
    return 0


cdef int loans_dropped(EngineState engine, Gateway *gateway) except -1:
    """The outgoing batch goes nowhere."""
    cdef Loans loans = loans_of(gateway)
    cdef list segments = loans.current
    gateway.lent_bytes = 0
    loans.current = []
    return hand_back(engine, segments)


cdef int forget_loans(EngineState engine, Gateway *gateway) except -1:
    """The link is gone. The gateway may still be reading what it has named."""
    cdef Loans loans = loans_of(gateway)
    cdef Segment segment
    for _, segments in loans.under_way:
        for other in segments:
            segment = <Segment> other
            segment.spoiled = True
    for other in loans.files:
        segment = <Segment> other
        segment.borrowers.discard(gateway.index)
    loans.files.clear()
    loans_returned(engine, gateway, <uint64_t> -1)
    return loans_dropped(engine, gateway)


cdef int end_loans(EngineState engine) except -1:
    """The gateways hear of files that are gone: a mapping would keep their pages."""
    cdef list segments = engine.store.removed_lent
    cdef Segment segment
    for other in segments:
        segment = <Segment> other
        for index in segment.borrowers:
            end_one(engine, &engine.gateways[<uint64_t> index], segment)
        segment.borrowers = None
    segments.clear()
    return 0
