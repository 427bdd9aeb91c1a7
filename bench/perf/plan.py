"""Who sends what where: which keys a producer uses, which queues a key goes to, which process does it.

All of it follows from the options alone, so that coordinator, producers and consumers agree without talking: message
number n of a producer has a known key, and therefore known queues. core/verifier.pyx counts by the same rules.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from bench.perf.load import STREAM, Load

DIRECT_REPLY_TO: Final = "amq.rabbitmq.reply-to"
HEADER_KEY: Final = "perf-key"
"""Of the headers exchange: the header that has the number of the routing key."""


def queue_name(load: Load, queue: int) -> str:
    return load.queue or f"{load.queue_prefix}-{queue}"


def churned_name(load: Load, churner: int, number: int) -> str:
    """Of a queue or an exchange that a churner declares."""
    return f"{load.queue_prefix}-{churner}-{number}"


def reply_queue_name(load: Load, producer: int) -> str:
    """Where the answers for a client come to."""
    return DIRECT_REPLY_TO if load.rpc == "direct" else f"{load.queue_prefix}-reply-{producer}"


def declared_names(load: Load) -> Iterator[str]:
    """The queues that a churn leaves behind: those that it only declares."""
    if load.churn == "declare":
        for churner in range(load.producers):
            for number in range(quota(load, churner) or 0):
                yield churned_name(load, churner, number)


def routing_key(load: Load, key: int) -> str:
    """As published."""
    match load.exchange_type:
        case None:
            return queue_name(load, key)
        case "topic":
            return f"perf.{key}.event"
        case _:
            return f"key-{key}"


def key_headers(load: Load, key: int) -> dict[str, Any]:
    """What a message with that key has in its headers, for the headers exchange."""
    return {HEADER_KEY: key} if load.exchange_type == "headers" else {}


def keys_of_queue(load: Load, queue: int) -> range:
    """The keys that go to a queue: dealt out over the queues, or, with more queues than keys, the other way round."""
    if load.exchange_type is None:
        return range(queue, queue + 1)
    if load.exchange_type == "fanout":
        return range(load.keys)
    if load.keys >= load.queues:
        return range(queue, load.keys, load.queues)
    return range(queue % load.keys, queue % load.keys + 1)


def queues_of_key(load: Load, key: int) -> range:
    """The queues that a message with that key goes to."""
    if load.exchange_type is None:
        return range(key, key + 1)
    if load.exchange_type == "fanout":
        return range(load.queues)
    if load.keys >= load.queues > 0:
        return range(key % load.queues, key % load.queues + 1)
    return range(key, load.queues, load.keys)


def readers(load: Load, queue: int) -> int:
    """How many times a message of a queue is delivered: a stream gives it to each of its consumers."""
    if load.queue_type != STREAM or load.consumers <= load.queues:
        return 1
    return len(range(queue, load.consumers, load.queues))


def copies(load: Load, key: int) -> int:
    """How many deliveries a message with that key leads to, of each queue and each reader."""
    return sum(readers(load, queue) for queue in queues_of_key(load, key))


def bindings(load: Load, queue: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(routing key, arguments) of each binding of a queue; none for the default exchange."""
    match load.exchange_type:
        case None:
            return
        case "fanout":
            yield "", {}
        case "topic":
            for key in keys_of_queue(load, queue):
                yield f"*.{key}.#", {}
        case "headers":
            for key in keys_of_queue(load, queue):
                yield "", {"x-match": "all", **key_headers(load, key)}
        case "direct":
            for key in keys_of_queue(load, queue):
                yield routing_key(load, key), {}


def keys_of_producer(load: Load, producer: int) -> list[int]:
    """In the order in which they are used, again and again."""
    if load.exchange_type is not None:
        return [(producer + slot) % load.keys for slot in range(load.keys)]
    if load.producers >= load.queues:
        return [producer % load.queues]
    return list(range(producer, load.queues, load.producers))


def queues_of_consumer(load: Load, consumer: int) -> list[int]:
    """Several consumers of one queue, or several queues of one consumer."""
    if load.consumers >= load.queues:
        return [consumer % load.queues]
    return list(range(consumer, load.queues, load.consumers))


def consumers_started(load: Load) -> int:
    """How many times a consumer is told consume-ok, over all of them; clients wait for their answers as consumers."""
    clients = load.producers if load.rpc else 0
    return max(load.consumers, load.queues) + clients if load.consumers else 0


def quota(load: Load, producer: int) -> int | None:
    """The producer's part of the count; None: no limit."""
    if load.count is None:
        return None
    return load.count // load.producers + (producer < load.count % load.producers)


def ranks(load: Load, queues: list[int]) -> np.ndarray[Any, np.dtype[np.int32]] | None:
    """[queue][key]: the rank of the key among those bound to the queue, -1 where it is not. None: default exchange."""
    if load.exchange_type is None:
        return None
    table = np.full((len(queues), load.keys), -1, np.int32)
    for row, queue in enumerate(queues):
        for rank, key in enumerate(keys_of_queue(load, queue)):
            table[row, key] = rank
    return table


@dataclass
class Share:
    """What one worker process does."""

    producers: list[int] = field(default_factory=list)
    consumers: list[int] = field(default_factory=list)


def shares(load: Load, cores: int) -> list[Share]:
    """The connections dealt out over the processes of the load: as many as asked for, else half as many as cores.

    Two at least, where there are two cores: a single producer and its consumer are not in the same one. All consumers
    of a queue are in one process, which can thus tell duplicates without asking others.
    """
    by_default = min(cores, max(2, cores // 2))
    processes = min(load.processes or by_default, load.producers + min(load.consumers, load.queues))
    made = [Share() for _ in range(processes)]
    for producer in range(load.producers):
        made[producer % processes].producers.append(producer)
    for consumer in range(load.consumers):
        made[(load.producers + consumer % load.queues) % processes].consumers.append(consumer)
    return [share for share in made if share.producers or share.consumers]
