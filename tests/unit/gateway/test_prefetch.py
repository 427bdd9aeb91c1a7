"""The credit of a channel-wide prefetch never exceeds its limit, whatever the order of things."""
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from gateway.prefetch import ChannelPrefetch


class Shards:
    """Two shards that deliver only on credit, and a client that acks what it likes."""

    def __init__(self, limit: int) -> None:
        self.credit = [0, 0]
        self.delivered = [5, 0]         # the first delivered before the channel was limited
        self.held = 0
        self.prefetch = ChannelPrefetch()
        self.prefetch.limit = limit
        for shard in (0, 1):
            self.prefetch.starting(shard)
            self.prefetch.started(shard, self.delivered[shard])

    def grant(self) -> None:
        for shard, count in self.prefetch.grants(lambda shard: self.delivered[shard], self.held):
            self.credit[shard] += count

    def deliver(self, shard: int) -> None:
        if self.credit[shard]:
            self.credit[shard] -= 1
            self.delivered[shard] += 1
            self.held += 1

    def give_back(self, shard: int) -> None:
        count, self.credit[shard] = self.credit[shard], 0
        self.prefetch.returned(shard, count)


STEPS = st.lists(st.tuples(st.sampled_from(("want", "deliver", "return", "ack")), st.sampled_from((0, 1))), max_size=60)


@given(st.integers(1, 5), STEPS)
def test_credit_and_what_the_client_holds_stay_below_the_limit(limit: int, steps: Iterable[tuple[str, int]]) -> None:
    shards = Shards(limit)
    for step, shard in steps:
        if step == "want":
            shards.prefetch.wanted(shard, 3)
        elif step == "deliver":
            shards.deliver(shard)
        elif step == "return":
            shards.give_back(shard)
        elif shards.held:
            shards.held -= 1
        shards.grant()
        assert sum(shards.credit) + shards.held <= limit


@given(st.integers(1, 5), STEPS)
def test_nobody_starves(limit: int, steps: Iterable[tuple[str, int]]) -> None:
    shards = Shards(limit)
    for step, shard in steps:
        if step == "deliver":
            shards.deliver(shard)
        shards.grant()
    for _ in range(2):
        for shard in (0, 1):
            before = shards.delivered[shard]
            shards.held = 0
            shards.give_back(1 - shard)
            shards.prefetch.wanted(shard, 1)
            shards.grant()
            shards.deliver(shard)
            assert shards.delivered[shard] == before + 1


def test_no_credit_before_the_shard_has_answered() -> None:
    prefetch = ChannelPrefetch()
    prefetch.limit = 4
    prefetch.starting(0)
    prefetch.wanted(0, 2)
    assert prefetch.grants(lambda shard: 0, 0) == []
    prefetch.started(0, 0)
    assert prefetch.grants(lambda shard: 0, 0) == [(0, 2)]


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_nothing_that_is_free_and_wanted_stays_unused(limit: int, first: int, second: int) -> None:
    """A client that waits until it holds its whole limit would wait for ever."""
    shards = Shards(limit)
    shards.prefetch.wanted(0, first)
    shards.prefetch.wanted(1, second)
    shards.grant()
    assert sum(shards.credit) == min(limit, first + second)
