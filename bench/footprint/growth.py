"""How the broker's CPU time per message grows with the number of things: queues, connections, bindings.

Each row is a ratio: the cost with many of them to the cost with few, for the same messages at the same pace.
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from bench.footprint.backlog import BLOB_MESSAGES
from bench.footprint.cost import FEW, MESSAGES, Cost, compared, ratio, timed
from bench.footprint.memory import bind, bindable, consume, declare, names, scaled, started
from bench.footprint.row import Row
from bench.footprint.wire import Churn, Counter, Wire, hang_up, publishes
from bench.perf.local_broker import LocalBroker

PACE_PER_S: Final = 2000
PACED_S: Final = 5.0
SLICE_S: Final = 0.005
KEYS: Final = 64
CHURN_PER_S: Final = 500


def queues(scale: float) -> list[Row]:
    """Messages to all of the queues in turn, each with a consumer; and to one, beside idle ones."""
    many = scaled(10_000, scale)
    return [
        ratio("queues", f"{many:,} with a consumer each, on {words}", FEW, many,
              partial(_spread, connections=connections, messages=scaled(MESSAGES, scale)))
        for connections, words in ((1, "1 connection"), (FEW, f"{FEW} connections"))
    ] + [
        ratio("queues", f"{scaled(1000, scale):,} with a consumer each, on 1 connection", FEW, scaled(1000, scale),
              lambda count: _spread(count, 1, scaled(MESSAGES, scale))),
        ratio("queues", f"{many:,} idle beside one that is used", FEW, many,
              lambda count: _beside(count, scaled(MESSAGES, scale))),
    ]


def churn(scale: float) -> list[Row]:
    """Messages to queues in turn, alone and beside other queues that come and go all the time."""
    count = scaled(1000, scale)
    alone, beside = _beside_churn(count, scaled(MESSAGES, scale))
    row = compared("queues", f"{count:,} beside {CHURN_PER_S} a second that come and go", alone, beside)
    return [replace(row, target=None)]          # there is no goal: what comes and goes takes its own


def connections(scale: float) -> list[Row]:
    """All publishing slowly, together always the same number of messages a second; and idle ones beside a busy one."""
    many = scaled(10_000, scale)
    return [
        ratio("connections", f"{many:,} that publish slowly", FEW, many, lambda count: _slowly(count, scale)),
        ratio("connections", f"{many:,} idle beside one that publishes", FEW, many,
              lambda count: _idle_connections(count, scaled(MESSAGES, scale))),
    ]


def bindings(scale: float) -> list[Row]:
    """Of one topic exchange, with wildcards; with keys that come again and keys that are always new."""
    many = scaled(10_000, scale)
    return [
        ratio("bindings", f"{many:,} on a topic exchange, {KEYS} keys", FEW, many,
              lambda count: _topic(count, scaled(MESSAGES, scale), new_keys=False)),
        ratio("bindings", f"{many:,} on a topic exchange, each key new", FEW, many,
              lambda count: _topic(count, scaled(MESSAGES, scale) // 10, new_keys=True)),
    ]


# -- the cases


def _spread(count: int, connections: int, messages: int) -> Cost:
    with started() as broker:
        publisher = Wire(broker.url)
        queue_names = names(count)
        declare(publisher, queue_names)
        consumers = [Wire(broker.url, f"consumer {number}") for number in range(min(connections, count))]
        for number, wire in enumerate(consumers):
            consume(wire, queue_names[number :: len(consumers)])
        blobs = _blobs("", queue_names)

        def run(rounds: int) -> None:
            shares = [len(queue_names[number :: len(consumers)]) for number in range(len(consumers))]
            counters = [Counter(wire, share * rounds) for wire, share in zip(consumers, shares, strict=True)]
            _publish_rounds(publisher, blobs, rounds)
            for counter in counters:
                counter.join()

        run(1)                                          # so that the channel knows its ways, as in the other cases
        rounds = max(1, messages // count)
        return timed(broker, rounds * count, lambda: run(rounds))


def _beside_churn(count: int, messages: int) -> tuple[Cost, Cost]:
    """Alone; and beside, with what those that come and go take themselves."""
    with started() as broker:
        wire, consumer = Wire(broker.url), Wire(broker.url, "consumer")
        declare(wire, names(count))
        consume(consumer, names(count))
        blobs, rounds = _blobs("", names(count)), max(1, messages // count)

        def run() -> None:
            counter = Counter(consumer, rounds * count)
            _publish_rounds(wire, blobs, rounds)
            counter.join()

        run()                                           # so that every route is known
        alone = timed(broker, rounds * count, run)
        coming = Churn(Wire(broker.url, "churn"), CHURN_PER_S)
        beside = timed(broker, rounds * count, run)
        coming.stop()
        return alone, beside


def _beside(count: int, messages: int) -> Cost:
    with started() as broker:
        wire, consumer = Wire(broker.url), Wire(broker.url, "consumer")
        declare(wire, names(count))
        return _through(broker, wire, consumer, _blobs("", names(1) * BLOB_MESSAGES), names(1), messages)


def _idle_connections(count: int, messages: int) -> Cost:
    with started() as broker:
        idle = [Wire(broker.url) for _ in range(count)]
        wire, consumer = Wire(broker.url), Wire(broker.url, "consumer")
        declare(wire, names(1))
        cost = _through(broker, wire, consumer, _blobs("", names(1) * BLOB_MESSAGES), names(1), messages)
        hang_up(idle)
        return cost


def _slowly(count: int, scale: float) -> Cost:
    messages = scaled(int(PACE_PER_S * PACED_S), scale)
    with started() as broker:
        consumer = Wire(broker.url, "consumer")
        declare(consumer, names(1))
        consume(consumer, names(1))
        publishers = [Wire(broker.url) for _ in range(count)]
        frames = publishes("", names(1))
        for wire in publishers:                         # once each, so that every channel knows its way
            wire.send(frames)
        consumer.count(count)

        def run() -> None:
            counter = Counter(consumer, messages)
            per_slice = int(PACE_PER_S * SLICE_S)
            next_s = time.monotonic()
            for number in range(messages):
                publishers[number % count].send(frames)
                if number % per_slice == 0:
                    next_s += SLICE_S
                    time.sleep(max(0.0, next_s - time.monotonic()))
            counter.join()

        cost = timed(broker, messages, run)
        hang_up(publishers)
        return cost


def _topic(count: int, messages: int, *, new_keys: bool) -> Cost:
    with started() as broker:
        wire, consumer = Wire(broker.url), Wire(broker.url, "consumer")
        bindable(wire, "topic")
        bind(wire, [f"*.event.{number:05}.#" for number in range(count)])
        keys = messages if new_keys else KEYS
        blobs = _blobs("bound", [f"region-{key % 50}.event.{key % count:05}.{key}" for key in range(keys)]
                       * (1 if new_keys else BLOB_MESSAGES // KEYS))
        return _through(broker, wire, consumer, blobs, ["bound"], messages)


def _through(
    broker: LocalBroker, wire: Wire, consumer: Wire, blobs: Sequence[tuple[bytes, int]], queue_names: Sequence[str],
    messages: int,
) -> Cost:
    """Published by one, taken by another."""
    consume(consumer, queue_names)
    rounds = max(1, messages // sum(count for _, count in blobs))
    messages = rounds * sum(count for _, count in blobs)

    def run() -> None:
        counter = Counter(consumer, messages)
        _publish_rounds(wire, blobs, rounds)
        counter.join()

    return timed(broker, messages, run)


def _blobs(exchange: str, keys: Sequence[str]) -> list[tuple[bytes, int]]:
    groups = [keys[start : start + BLOB_MESSAGES] for start in range(0, len(keys), BLOB_MESSAGES)]
    return [(publishes(exchange, group), len(group)) for group in groups]


def _publish_rounds(wire: Wire, blobs: Sequence[tuple[bytes, int]], rounds: int) -> None:
    """Rounds of one small blob are joined, so that every case has as much under way."""
    (first, count), *rest = blobs
    if not rest and count < BLOB_MESSAGES:
        factor = min(rounds, BLOB_MESSAGES // count)
        full, left = divmod(rounds, factor)
        for _ in range(full):
            wire.publish(first * factor, count * factor)
        if left:
            wire.publish(first * left, count * left)
        return
    for _ in range(rounds):
        for frames, number in blobs:
            wire.publish(frames, number)
