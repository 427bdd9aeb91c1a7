# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""How far a shard has come with the batches of one gateway: applied, and on the disk.

A state machine: it is told what was applied and what was synchronised, and says what the
gateway may hear. A batch without anything for the disk is durable as soon as all before
it are. Batches are counted from 1 per link.

The gateway hears of batches that ask for a confirm, and of others along with them: early, as soon as they are applied,
where something asks for that, otherwise when they are durable. Nobody waits to hear of a batch of acknowledgements:
saying so would wake the gateway for nothing.
"""
from libc.stdint cimport uint64_t

from collections import deque


cdef class Watermark:
    def __init__(self):
        self.processed = 0
        self._asked = self._next_asked = self._asked_early = 0
        self._waiting = deque()         # batch, position in the log that it needs
        self.told_processed = self.told_durable = 0

    cdef uint64_t durable_batch(self) except? 0:
        return <uint64_t> self._waiting[0][0] - 1 if self._waiting else self.processed

    @property
    def durable(self):
        return self.durable_batch()

    @property
    def settled(self):
        return not self._waiting and not self._next_asked

    def applied(self, position, asked=True, early=True):
        self.note(asked, asked and early, position is not None, 0 if position is None else position)

    cdef int note(self, bint asked, bint early, bint waits, uint64_t position) except -1:
        self.processed += 1
        if asked:
            self._asked = self.processed
            if not self._next_asked:
                self._next_asked = self.processed
        if early:
            self._asked_early = self.processed
        if waits:
            self._waiting.append((self.processed, position))
        return 0

    def durable_up_to(self, uint64_t position):
        while self._waiting and <uint64_t> self._waiting[0][1] <= position:
            self._waiting.popleft()

    cdef bint take_news(self) except -1:
        cdef uint64_t durable
        if not self._next_asked:
            return False
        durable = self.durable_batch()
        if durable < self._next_asked and self.told_processed >= self._asked_early:
            return False
        self.told_processed = self.processed
        self.told_durable = durable
        self._next_asked = 0 if durable >= self._asked else durable + 1
        return True

    def news(self):
        return (self.told_processed, self.told_durable) if self.take_news() else None
