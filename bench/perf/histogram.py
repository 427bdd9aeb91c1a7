"""Reading the histograms that the compiled core writes (core/histogram.pyx): quantiles, mean, the whole spectrum."""
from __future__ import annotations

from typing import Any, Final

import numpy as np

from bench.perf.core import histogram as core

Words = np.ndarray[Any, np.dtype[np.uint64]]

SPECTRUM: Final = (
    0.0, *(tenth / 20 for tenth in range(1, 19)), 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995,
    0.9965, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999, 0.999999, 1.0,
)
"""The quantiles that a result keeps for plots."""


def _middles() -> np.ndarray[Any, np.dtype[np.float64]]:
    """The middle of each bucket, for values below 2 ** 64."""
    index = np.arange(core.BUCKET_COUNT, dtype=np.uint64)
    shift = np.maximum(index >> np.uint64(core.SUB_BITS), np.uint64(1)) - np.uint64(1)
    sub_buckets = np.uint64(1 << core.SUB_BITS)
    low = np.where(index < sub_buckets, index, (sub_buckets + (index & (sub_buckets - np.uint64(1)))) << shift)
    width = np.uint64(1) << shift
    middles: np.ndarray[Any, np.dtype[np.float64]] = low.astype(np.float64) + (width.astype(np.float64) - 1.0) / 2.0
    return middles


MIDDLES: Final = _middles()


class Histogram:
    """Counts of values in nanoseconds."""

    def __init__(self, words: Words | None = None) -> None:
        """A copy of words as they are on the board."""
        self.counts: Words = np.zeros(core.BUCKET_COUNT, np.uint64)
        self.max_ns = 0
        if words is not None:
            self.add(words)

    def add(self, words: Words) -> None:
        """The counts of another one, too."""
        self.counts += words[core.FIRST_BUCKET_WORD : core.FIRST_BUCKET_WORD + core.BUCKET_COUNT]
        self.max_ns = max(self.max_ns, int(words[0]))

    def since(self, earlier: Histogram) -> Histogram:
        """What came after an earlier state of the same histogram; its maximum is as exact as a bucket."""
        later = Histogram()
        later.counts = self.counts - earlier.counts
        used = np.flatnonzero(later.counts)
        later.max_ns = min(self.max_ns, int(MIDDLES[used[-1]])) if len(used) else 0
        return later

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean_ns(self) -> float:
        return float(self.counts @ MIDDLES) / self.count if self.count else 0.0

    def quantiles_ns(self, quantiles: tuple[float, ...]) -> list[float]:
        """The values below which such parts of the counts are; at most the highest value that was recorded."""
        total = self.count
        if not total:
            return [0.0] * len(quantiles)
        cumulated = np.cumsum(self.counts)
        ranks = np.clip(np.ceil(np.array(quantiles) * total), 1, total).astype(np.uint64)
        places = np.searchsorted(cumulated, ranks, side="left")
        return [min(float(MIDDLES[place]), float(self.max_ns)) for place in places]
