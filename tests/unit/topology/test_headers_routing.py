"""The headers exchange: all four modes, and a naive model on random tables."""
import random
from decimal import Decimal
from typing import Any

import pytest

from amqp091.errors import PreconditionFailed
from amqp091.values import Binary, Timestamp
from topology.exchanges.headers import HeadersTable, check_match_arguments
from topology.model import Binding, Destination

SEED = 20_261_121
Q = Destination("queue", "q")


def binding(arguments: dict[str, Any], queue: str = "q") -> Binding:
    return Binding("/", "headers", queue, "queue", "", arguments)


def routed(arguments: dict[str, Any], headers: dict[str, Any] | None) -> bool:
    table = HeadersTable()
    table.add(binding(arguments))
    return Q in table.match("", headers)


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),                 # all is the default
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1}, {"a": 2}, False),
        ({}, {}, True),
        ({}, None, True),
        ({"x-match": "all"}, {"a": 1}, True),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"x-match": "all", "x-a": 1}, {}, True),                           # x- keys do not count
        ({"x-match": "any", "x-a": 1}, {"x-a": 1}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "any-with-x", "x-a": 1, "b": 2}, {"x-a": 1}, True),
        ({"x-match": "all-with-x", "a": 1}, {"a": 1}, True),                # x-match itself never counts
        ({"a": None}, {"a": "whatever"}, True),                             # void: only there
        ({"a": None}, {"b": 1}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": Timestamp(1)}, False),
        ({"a": 5_000_000_000}, {"a": 5_000_000_000}, True),
        ({"a": "x"}, {"a": Binary(b"x")}, False),
        ({"a": b"\xff"}, {"a": b"\xff"}, True),
        ({"a": Decimal("1.50")}, {"a": Decimal("1.50")}, True),
        ({"a": Decimal(1)}, {"a": 1}, False),
        ({"a": {"b": [1, "2"]}}, {"a": {"b": [1, "2"]}}, True),
        ({"a": {"b": [1, "2"]}}, {"a": {"b": [1, 2]}}, False),
        ({"a": [1]}, {"a": [True]}, False),
    ],
)
def test_match(arguments: dict[str, Any], headers: dict[str, Any] | None, expected: bool) -> None:
    assert routed(arguments, headers) is expected


@pytest.mark.parametrize("mode", ["some", 1, True, None, b"\xff", {}])
def test_an_x_match_that_is_none_of_the_four_is_refused(mode: Any) -> None:
    with pytest.raises(PreconditionFailed, match="Invalid x-match field"):
        check_match_arguments({"x-match": mode})


def naive(arguments: dict[str, Any], headers: dict[str, Any]) -> bool:
    mode = arguments.get("x-match", "all")
    outcomes = [
        key in headers and (wanted is None or (type(wanted), wanted) == (type(headers[key]), headers[key]))
        for key, wanted in arguments.items()
        if key != "x-match" and (mode.endswith("-with-x") or not key.startswith("x-"))
    ]
    return all(outcomes) if mode.startswith("all") else any(outcomes)


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_random_bindings_route_as_the_naive_model_does(seed: int) -> None:
    source = random.Random(seed)
    keys = ["a", "b", "c", "x-a", "x-b"]
    values = [1, 2, "1", True, None, 1.5]

    def some(maximum: int) -> dict[str, Any]:
        return {key: source.choice(values) for key in source.sample(keys, source.randrange(maximum))}

    table = HeadersTable()
    bound: dict[Any, Binding] = {}
    for _ in range(300):
        arguments = some(4)
        if source.random() < 0.8:
            arguments["x-match"] = source.choice(["all", "any", "all-with-x", "any-with-x"])
        one = binding(arguments, f"q{source.randrange(10)}")
        if one.identity() in bound:
            table.remove(bound.pop(one.identity()))
        else:
            bound[one.identity()] = one
            table.add(one)
        headers = some(6)
        assert {name for _, name in table.match("", headers)} == {
            one.destination for one in bound.values() if naive(dict(one.arguments), headers)
        }
    for one in bound.values():
        table.remove(one)
    assert not table._by_field and not table._patterns and not table._always
