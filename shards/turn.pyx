# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The part of a shard's turn that runs for every batch: apply, dispatch, send, ask for a commit.

Compiled, because at low rates a batch carries one message: what a batch costs is then what the message costs. Senders,
links that come and go and what happens now and then are its subclass's: shards/shard.py.
"""
from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from log.store cimport Store
from shards.engine.relay cimport relay_has_news
from shards.engine.state cimport EngineState, outgoing_bytes, outgoing_of
from shards.watermarks cimport Watermark

import logging

from shards.engine import BadRecord

logger = logging.getLogger("shards.shard")

cdef enum:
    # What waits for a gateway beyond this leaves before the next batch is looked at: both sides then work at once.
    EARLY_FLUSH = 64 * 1024

EARLY_FLUSH_BYTES = EARLY_FLUSH


def wall_clock_ms():
    """The time that messages carry."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <uint64_t> now.tv_sec * 1000 + <uint64_t> now.tv_nsec // 1000000


cdef class ShardTurn:
    def __init__(self, EngineState engine not None, Store store not None, requests, relay, clock_ms, report_broken):
        self.engine = engine
        self.store = store
        self.requests = requests
        self.relay = relay
        self._clock_ms = clock_ms
        self._report_broken = report_broken
        self._first_shard = engine.sender_count - engine.shard_count
        self._ends = {}
        self._watermarks = {}
        self._broken = set()
        self._alarm_set = False

    def set_clock(self):
        self.engine.now_ms = self._clock_ms()

    def on_batch(self, link, view):
        if self._broken and link in self._broken:
            return
        self.engine.now_ms = self._clock_ms()
        if self.engine.loan_count:
            self._take_back()
        try:
            if link.serving:
                self.receive(self._sender(link), view)
            else:
                self.relay.on_batch(link, view)
        except BadRecord as error:
            logger.error("a batch of %s %d is broken, its link is made anew: %s", link.peer_role, link.peer, error)
            self._broken.add(link)
            self._report_broken(link)
            return
        except:
            # Some of the batch is done, some is not: none that comes later may say that all before it is.
            self._broken.add(link)
            raise
        (<object> self.engine).dispatch()
        self.flush(EARLY_FLUSH)

    cdef int receive(self, uint32_t sender, view) except -1:
        cdef uint64_t position_before = self.store.appended_position
        cdef uint64_t position
        cdef Watermark watermark = self._watermarks[sender]
        self.apply(sender, view)
        position = self.store.appended_position
        # A duplicate is as safe as what it duplicates, which may have come over another link a moment ago.
        if self.engine.leans_on_log or position != position_before:
            watermark.note(
                self.engine.confirm_asked, self.engine.early_confirm_asked,
                position > self.store.durable_position, position)
        else:
            watermark.note(self.engine.confirm_asked, self.engine.confirm_asked, False, 0)
        self.engine.leans_on_log = self.engine.confirm_asked = self.engine.early_confirm_asked = False
        return 0

    cdef int apply(self, uint32_t sender, view) except -1:
        cdef Py_ssize_t end = len(view)
        cdef Py_ssize_t behind, offset = (<object> self.engine).receive(sender, view)
        while offset < end:
            behind = (<object> self.engine).answer_get(sender, view, offset)
            if behind:
                offset = behind
            else:
                kind, request_id, document, offset = (<object> self.engine).read_json(view, offset)
                # A request sees the queues as if every message before it had found its consumer at once.
                (<object> self.engine).dispatch()
                self.requests.handle(sender, kind, request_id, document)
            # one batch may ask for many large messages: what a link takes at once has a limit
            self.flush(EARLY_FLUSH)
            offset = (<object> self.engine).receive(sender, view, offset)
        return 0

    def on_idle(self):
        cdef Watermark watermark
        cdef object engine = self.engine
        if self.engine.loan_count:
            self._take_back()
        if self.store.removed_lent:
            engine.end_loans()
        engine.dispatch()
        for sender, watermark in self._watermarks.items():
            if watermark.take_news():
                engine.watermark(sender, watermark.told_processed, watermark.told_durable)
        self.flush(0)
        if self.store.dirty or self.store.has_chores:
            self.commit.request()
        if not engine.idle:
            self.links.schedule()
        at_ms = engine.next_timer_ms()
        if at_ms is not None or self._alarm_set:
            self._alarm_set = at_ms is not None
            self.alarm.set(at_ms)

    cdef int flush(self, uint64_t minimum_bytes) except -1:
        cdef EngineState engine = self.engine
        cdef uint32_t sender
        for sender in range(engine.sender_count):
            if outgoing_of(&engine.gateways[sender]).size == 0 or outgoing_bytes(&engine.gateways[sender]) < minimum_bytes:
                continue
            link = self._ends.get(sender)
            if link is not None:
                link.send((<object> engine).outgoing(sender))
                if link.congested:
                    (<object> engine).set_congested(sender, True)
            (<object> engine).sent(sender, link)
        if relay_has_news(engine):
            self.relay.flush(minimum_bytes)
        return 0

    def _take_back(self):
        for sender, link in self._ends.items():
            if link.shares_files:
                (<object> self.engine).returned(sender, link.returned_position)

    def _sender(self, link):
        return self._first_shard + link.peer if link.peer_role == "shard" else link.peer
