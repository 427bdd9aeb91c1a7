"""How the broker's CPU time per message grows with the number of things: queues, connections, bindings, messages.

Each row is a ratio: the cost with many of them to the cost with few, for the same messages at the same pace.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from amqp091.methods import QueuePurge, QueuePurgeOk
from bench.footprint.memory import (
    BLOB_MESSAGES,
    bind,
    bindable,
    consume,
    declare,
    fill,
    names,
    scaled,
    started,
)
from bench.footprint.row import Row
from bench.footprint.usage import cpu_s
from bench.footprint.wire import Counter, Wire, publishes
from bench.perf.local_broker import LocalBroker

RATIO_MAX: Final = 1.5
FEW: Final = 10
MESSAGES: Final = 2_000_000
"""Of a run at full scale; no fewer than everything has at least once."""
PACE_PER_S: Final = 2000
PACED_S: Final = 5.0
SLICE_S: Final = 0.005
KEYS: Final = 64
US: Final = 1e6

Cost = tuple[float, float]
"""Microseconds of CPU time per message, messages per second."""


def queues(scale: float) -> list[Row]:
    """Messages to all of the queues in turn, each with a consumer; and to one, beside idle ones."""
    many = scaled(10_000, scale)
    return [
        _ratio("queues", f"{many:,} with a consumer each, on {connections} connections", FEW, many,
               lambda count, connections=connections: _spread(count, connections, scaled(MESSAGES, scale)))
        for connections in (1, FEW)
    ] + [
        _ratio("queues", "1,000 with a consumer each, on one connection", FEW, scaled(1000, scale),
               lambda count: _spread(count, 1, scaled(MESSAGES, scale))),
        _ratio("queues", f"{many:,} idle beside one that is used", FEW, many,
               lambda count: _beside(count, scaled(MESSAGES, scale))),
    ]


def connections(scale: float) -> list[Row]:
    """All publishing slowly, together always the same number of messages a second; and idle ones beside a busy one."""
    many = scaled(10_000, scale)
    return [
        _ratio("connections", f"{many:,} that publish slowly", FEW, many, lambda count: _slowly(count, scale)),
        _ratio("connections", f"{many:,} idle beside one that publishes", FEW, many,
               lambda count: _idle_connections(count, scaled(MESSAGES, scale))),
    ]


def bindings(scale: float) -> list[Row]:
    """Of one topic exchange, with wildcards; with keys that come again and keys that are always new."""
    many = scaled(10_000, scale)
    return [
        _ratio("bindings", f"{many:,} on a topic exchange, {KEYS} keys", FEW, many,
               lambda count: _topic(count, scaled(MESSAGES, scale), new_keys=False)),
        _ratio("bindings", f"{many:,} on a topic exchange, each key new", FEW, many,
               lambda count: _topic(count, scaled(MESSAGES, scale) // 10, new_keys=True)),
    ]


def backlog(scale: float) -> list[Row]:
    """Publishing to the end of a long queue, and consuming from its beginning."""
    deep, some = scaled(10_000_000, scale), scaled(MESSAGES, scale) // 4
    rows = []
    for persistent, kind in ((True, "persistent"), (False, "transient")):
        with started() as broker:
            wire = Wire(broker.url)
            declare(wire, ["backlog"], durable=persistent)
            fill(wire, "backlog", BLOB_MESSAGES, persistent=persistent)         # warm
            wire.call(QueuePurge(queue="backlog"), QueuePurgeOk)
            shallow_in = _timed(broker, some, lambda: fill(wire, "backlog", some, persistent=persistent))
            shallow_out = _timed(broker, some, lambda: _drain(broker, some))
            fill(wire, "backlog", deep, persistent=persistent)
            deep_in = _timed(broker, some, lambda: fill(wire, "backlog", some, persistent=persistent))
            deep_out = _timed(broker, some, lambda: _drain(broker, some))
            wire.close()
        rows.append(_row("backlog", f"publish behind {deep:,} {kind} messages", shallow_in, deep_in))
        rows.append(_row("backlog", f"consume from {deep:,} {kind} messages", shallow_out, deep_out))
    return rows


# -- the cases


def _spread(count: int, connections: int, messages: int) -> Cost:
    with started() as broker:
        publisher = Wire(broker.url)
        queue_names = names(count)
        declare(publisher, queue_names)
        consumers = [Wire(broker.url, f"consumer {number}") for number in range(min(connections, count))]
        for number, wire in enumerate(consumers):
            consume(wire, queue_names[number :: len(consumers)])
        rounds = max(1, messages // count)
        blobs = _blobs("", queue_names)

        def run() -> None:
            shares = [len(queue_names[number :: len(consumers)]) for number in range(len(consumers))]
            counters = [Counter(wire, share * rounds) for wire, share in zip(consumers, shares, strict=True)]
            _publish_rounds(publisher, blobs, rounds)
            for counter in counters:
                counter.join()

        return _timed(broker, rounds * count, run)


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
        for one in idle:
            one.abandon()
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

        cost = _timed(broker, messages, run)
        for wire in publishers:
            wire.abandon()
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


def _drain(broker: LocalBroker, messages: int) -> None:
    """With prefetch, so that the consumer takes no more than it is to."""
    wire = Wire(broker.url, "consumer")
    wire.consume_and_acknowledge("backlog", messages)
    wire.close()


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

    return _timed(broker, messages, run)


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


# -- the figures


def _timed(broker: LocalBroker, messages: int, run: Callable[[], None]) -> Cost:
    cpu_before, began_s = cpu_s(broker), time.monotonic()
    run()
    took_s = time.monotonic() - began_s
    return (cpu_s(broker) - cpu_before) * US / messages, messages / took_s


def _ratio(subject: str, quantity: str, few: int, many: int, cost_of: Callable[[int], Cost]) -> Row:
    return _row(subject, quantity, cost_of(few), cost_of(many))


def _row(subject: str, quantity: str, small: Cost, large: Cost) -> Row:
    return Row(
        f"growth: {subject}", quantity, "x CPU", round(large[0] / small[0], 2), RATIO_MAX,
        {"us of CPU, few": round(small[0], 3), "many": round(large[0], 3),
         "msgs/s, few": round(small[1]), "msgs/s, many": round(large[1])})
