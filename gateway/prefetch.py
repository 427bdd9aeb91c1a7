"""A channel-wide prefetch over any number of shards.

The gateway owns the limit. A limited channel has no credit at its shards; each asks
for as much as it has to dispatch, gets what is free, and gives back what it could not
use. Exact: the credit that is out plus what the client holds never exceeds the limit.
Counts and decides; sends nothing itself.
"""
from collections.abc import Callable
from typing import Final

NO_LIMIT: Final = 0


class _ShardCredit:
    """One shard's part."""

    __slots__ = ("delivered_at_start", "granted", "returned", "wanted")

    def __init__(self) -> None:
        self.granted = 0
        self.returned = 0
        self.wanted = 0
        self.delivered_at_start: int | None = None      # None: the shard has not answered yet

    def unspent(self, delivered: int) -> int:
        start = delivered if self.delivered_at_start is None else self.delivered_at_start
        return max(0, self.granted - self.returned - (delivered - start))


class ChannelPrefetch:
    """The limit of one channel, or none.

    `delivered_from(shard)` and `held` are the core's counts: deliveries that a shard has sent, and
    deliveries to consumers that the client has not settled. They are given, not kept: nothing here holds the channel.
    """

    __slots__ = ("_shards", "limit")

    def __init__(self) -> None:
        self._shards: dict[int, _ShardCredit] = {}
        self.limit = NO_LIMIT

    @property
    def active(self) -> bool:
        """Whether shards need credit for this channel at all."""
        return self.limit != NO_LIMIT

    def starting(self, shard: int) -> None:
        """The shard is being told that the channel is limited: from then on it has no credit."""
        self._shards[shard] = _ShardCredit()

    def started(self, shard: int, delivered: int) -> None:
        """It has answered: what it delivered before does not count."""
        credit = self._shards.get(shard)
        if credit is not None and credit.delivered_at_start is None:
            credit.delivered_at_start = delivered

    def stopped(self, shard: int) -> None:
        """The channel is not limited there (any more), or the shard is gone with all it had."""
        self._shards.pop(shard, None)

    def wanted(self, shard: int, count: int) -> None:
        """The shard could dispatch so many."""
        credit = self._shards.get(shard)
        if credit is not None:
            credit.wanted = count

    def returned(self, shard: int, count: int) -> None:
        """The shard has nothing to use its credit for."""
        credit = self._shards.get(shard)
        if credit is not None:
            credit.returned += count
            credit.wanted = 0

    def grants(self, delivered_from: Callable[[int], int], held: int) -> list[tuple[int, int]]:
        """(shard, count) to be granted now; they count as granted. Shared out evenly among those that want."""
        if not self.active:
            return []
        wanting = [
            (shard, credit)
            for shard, credit in self._shards.items()
            if credit.wanted > 0 and credit.delivered_at_start is not None
        ]
        if not wanting:
            return []
        # The least wanting first: what one leaves of its even share goes to those behind it, and nothing stays unused.
        wanting.sort(key=lambda item: item[1].wanted)
        unspent = sum(credit.unspent(delivered_from(shard)) for shard, credit in self._shards.items())
        free = self.limit - held - unspent
        granted: list[tuple[int, int]] = []
        for position, (shard, credit) in enumerate(wanting):
            if free <= 0:
                break
            remaining_shards = len(wanting) - position
            count = min(credit.wanted, -(-free // remaining_shards))
            credit.granted += count
            credit.wanted -= count
            free -= count
            granted.append((shard, count))
            # the next one that wants comes first the next time
            del self._shards[shard]
            self._shards[shard] = credit
        return granted
