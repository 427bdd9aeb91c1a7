"""The board as the coordinator and a worker's Python see it: memory without a name, shared by its descriptor."""
from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from typing import Final

import numpy as np

from bench.perf.core import board as core
from bench.perf.core import histogram as core_histogram
from bench.perf.histogram import Histogram, Words

WORD_BYTES: Final = 8
LATEST: Final = frozenset({"last_publish_ns", "last_confirm_ns", "last_delivery_ns", "last_cycle_ns", "last_reply_ns"})
"""Counters of which the highest counts, not the sum."""
NEVER_NS: Final = 2**64 - 1


class Board:
    """Owns the memory and its descriptor."""

    def __init__(self, workers: int, descriptor: int | None = None) -> None:
        """A new one, or that of a descriptor."""
        words = core.HEAD_COUNT + workers * core.WORKER_WORDS
        if descriptor is None:
            descriptor = os.memfd_create("warren-perf-board", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, words * WORD_BYTES)
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, words * WORD_BYTES)
        self._words: Words = np.frombuffer(self.memory, np.uint64)
        self._workers = self._words[core.HEAD_COUNT :].reshape(workers, core.WORKER_WORDS)

    def set_window(self, started_ns: int, start_ns: int, end_ns: int) -> None:
        """Before the phase of running."""
        for name, value in (("started_ns", started_ns), ("window_start_ns", start_ns), ("window_end_ns", end_ns)):
            self._words[core.HEAD[name]] = value

    @property
    def phase(self) -> int:
        return int(self._words[core.HEAD["phase"]])

    @phase.setter
    def phase(self, phase: int) -> None:
        self._words[core.HEAD["phase"]] = phase

    def counter(self, name: str) -> int:
        """The sum over all workers, or the latest."""
        return self.counters((name,))[name]

    def counters(self, names: Iterable[str] = core.COUNTERS) -> dict[str, int]:
        """All of them, or some, in one look."""
        counted = self._workers[:, : core.COUNTER_COUNT]
        sums, latest = counted.sum(axis=0).tolist(), counted.max(axis=0).tolist()
        return {name: (latest if name in LATEST else sums)[core.COUNTERS[name]] for name in names}

    def latency(self) -> Histogram:
        return self._histogram(core.COUNTER_COUNT)

    def confirm_latency(self) -> Histogram:
        return self._histogram(core.COUNTER_COUNT + core_histogram.WORDS)

    def reply_latency(self) -> Histogram:
        return self._histogram(core.COUNTER_COUNT + 2 * core_histogram.WORDS)

    def _histogram(self, offset: int) -> Histogram:
        made = Histogram()
        for worker in self._workers:
            made.add(worker[offset : offset + core_histogram.WORDS])
        return made

    def close(self) -> None:
        """The descriptor; the memory goes with its last user."""
        os.close(self.descriptor)
