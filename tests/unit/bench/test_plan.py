"""The routing plan: all that producers send is expected by the queues it goes to, and by no other."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest

from bench.perf import plan
from bench.perf.board import Board as SharedBoard
from bench.perf.core.board import Board
from bench.perf.core.verifier import Verifier
from bench.perf.load import Load

LOADS: list[dict[str, Any]] = [
    {},
    {"producers": 3, "consumers": 2, "queues": 2},
    {"producers": 2, "consumers": 2, "queues": 5},
    {"producers": 5, "consumers": 1, "queues": 3},
    {"exchange_type": "fanout", "queues": 4, "consumers": 3},
    {"exchange_type": "topic", "queues": 3, "consumers": 2, "routing_keys": 8, "producers": 3},
    {"exchange_type": "direct", "queues": 5, "consumers": 5, "routing_keys": 2, "producers": 2},
    {"exchange_type": "headers", "queues": 2, "producers": 4},
    {"exchange_type": "topic", "queues": 2, "routing_keys": 3, "producers": 7},
]


@pytest.mark.parametrize("options", LOADS, ids=str)
def test_the_verifier_expects_what_the_plan_sends(options: dict[str, Any]) -> None:
    load = Load(**options)
    board = SharedBoard(1)
    queues = list(range(load.queues))
    verifier = Verifier(
        Board(board.memory), 9, load.producers, load.queues, np.array(queues, np.uint32), plan.ranks(load, queues)
    )
    last = np.zeros((load.queues, load.producers), np.uint64)
    expected = 0
    for producer in range(load.producers):
        keys = plan.keys_of_producer(load, producer)
        for sequence in range(3 * len(keys) + 1):
            key = keys[sequence % len(keys)]
            expected += plan.copies(load, key)
            bound = [queue for queue in queues if key in plan.keys_of_queue(load, queue)]
            assert bound == list(plan.queues_of_key(load, key)) and len(bound) == plan.copies(load, key)
            for queue in queues:
                verifier.deliver(queue, producer, sequence, last[queue])
    counted = board.counters()
    tried = sum(len(plan.keys_of_producer(load, producer)) * 3 + 1 for producer in range(load.producers))
    assert counted["misrouted"] == tried * load.queues - expected
    assert not (counted["duplicates"] or counted["out_of_order"] or counted["foreign"])
    board.close()


@pytest.mark.parametrize("options", LOADS, ids=str)
def test_all_consumers_of_a_queue_are_in_one_process(options: dict[str, Any]) -> None:
    load = Load(**options, processes=3)
    shares = plan.shares(load, cores=8)
    assert sorted(one for share in shares for one in share.producers) == list(range(load.producers))
    assert sorted(one for share in shares for one in share.consumers) == list(range(load.consumers))
    assert all(share.producers or share.consumers for share in shares)
    homes = Counter(
        queue for share in shares
        for queue in {queue for one in share.consumers for queue in plan.queues_of_consumer(load, one)}
    )
    assert homes == dict.fromkeys(range(load.queues), 1)


@pytest.mark.parametrize(
    ("cores", "connections", "processes", "found"),
    [(1, 1, None, 1), (1, 9, None, 1), (2, 1, None, 2), (2, 9, None, 2), (16, 9, None, 8), (16, 1, None, 2),
     (1, 9, 4, 4), (1, 2, 9, 4)],
)
def test_processes_by_the_cores(cores: int, connections: int, processes: int | None, found: int) -> None:
    load = Load(producers=connections, consumers=connections, queues=connections, processes=processes)
    assert len(plan.shares(load, cores)) == found


def test_a_producer_and_its_consumer_are_in_different_processes() -> None:
    first, second = plan.shares(Load(), cores=2)
    assert (first.producers, first.consumers, second.producers, second.consumers) == ([0], [], [], [0])


def test_the_count_is_divided_among_the_producers() -> None:
    load = Load(producers=3, count=11)
    assert [plan.quota(load, producer) for producer in range(3)] == [4, 4, 3]


@pytest.mark.parametrize(
    ("exchange_type", "key", "binding"),
    [
        ("direct", "key-2", ("key-2", {})),
        ("topic", "perf.2.event", ("*.2.#", {})),
        ("headers", "key-2", ("", {"x-match": "all", "perf-key": 2})),
    ],
)
def test_a_key_and_its_binding(exchange_type: Any, key: str, binding: tuple[str, dict[str, Any]]) -> None:
    load = Load(exchange_type=exchange_type, queues=3)
    assert plan.routing_key(load, 2) == key
    assert list(islice(plan.bindings(load, 2), 2)) == [binding]


def test_every_consumer_of_a_stream_has_every_message() -> None:
    load = Load(queue_type="stream", consumers=5, queues=2, exchange_type="fanout")
    assert [plan.readers(load, queue) for queue in range(2)] == [3, 2] and plan.copies(load, 0) == 5
    assert plan.copies(Load(queue_type="stream", consumers=1, queues=2), 0) == 1
    assert plan.copies(Load(consumers=5, queues=2), 0) == 1
