"""The topic exchange: the table of the specification, and a naive model on random keys."""
import random
import time

import pytest

from topology.exchanges.topic import TopicTable
from topology.model import Binding, Destination

SEED = 20_261_121


def binding(pattern: str, queue: str) -> Binding:
    return Binding("/", "topic", queue, "queue", pattern)


def matches(pattern: list[str], words: list[str]) -> bool:
    """The definition, word by word."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(matches(pattern[1:], words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and matches(pattern[1:], words[1:])


def split(key: str) -> list[str]:
    return key.split(".") if key else []


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.", True),            # an empty word is a word
        ("*", "", False),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("", "", True),
        ("", "a", False),
        ("a.#", "a", True),
        ("#.a", "a", True),
        ("#.a.#", "x.a.y", True),
        ("#.#", "", True),
        ("*.#", "", False),
        ("#.*", "a", True),
        ("a..b", "a..b", True),
        ("a.*.b", "a..b", True),
        ("..", "..", True),
        ("a.#.b.#.c", "a.x.b.b.y.c", True),
        ("a*", "ab", False),            # only a whole word is a wildcard
        ("*", "*", True),
        ("#", "#", True),
        ("a.b", "a.*", False),
    ],
)
def test_pattern(pattern: str, key: str, expected: bool) -> None:
    table = TopicTable()
    table.add(binding(pattern, "q"))
    assert (Destination("queue", "q") in table.match(key, None)) is expected


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_random_bindings_route_as_the_naive_model_does(seed: int) -> None:
    source = random.Random(seed)
    words = ["a", "b", "", "*", "#", "#", "*"]
    table = TopicTable()
    bound: dict[tuple[str, str], Binding] = {}
    for _ in range(400):
        pattern = ".".join(source.choice(words) for _ in range(source.randrange(6)))
        queue = f"q{source.randrange(8)}"
        if (pattern, queue) in bound:
            table.remove(bound.pop((pattern, queue)))
        else:
            bound[pattern, queue] = binding(pattern, queue)
            table.add(bound[pattern, queue])
        key = ".".join(source.choice(["a", "b", "", "c"]) for _ in range(source.randrange(7)))
        expected = {queue for pattern, queue in bound if matches(split(pattern), split(key))}
        found = table.match(key, None)
        assert {name for _, name in found} == expected
        assert len(found) == len(expected)
    for one in bound.values():
        table.remove(one)
    assert table._root.children is None and table._root.bound is None


def test_a_key_and_patterns_made_to_backtrack_are_cheap() -> None:
    table = TopicTable()
    for n in range(1, 60):
        table.add(binding("#.a." * n + "b", f"q{n}"))
    started = time.perf_counter()
    assert not table.match(".".join(["a"] * 128), None)
    assert time.perf_counter() - started < 0.5


def test_ten_thousand_bindings_do_not_slow_a_match() -> None:
    table = TopicTable()
    for n in range(10_000):
        table.add(binding(f"site.{n}.*.temperature", f"q{n}"))
    started = time.perf_counter()
    for n in range(1000):
        assert list(table.match(f"site.{n}.x.temperature", None)) == [Destination("queue", f"q{n}")]
    assert time.perf_counter() - started < 0.5


def test_the_same_key_with_other_arguments_leads_there_until_the_last_goes() -> None:
    table = TopicTable()
    first = Binding("/", "topic", "q", "queue", "a.#", {"n": 1})
    second = Binding("/", "topic", "q", "queue", "a.#", {"n": 2})
    table.add(first)
    table.add(second)
    table.remove(first)
    assert list(table.match("a.b", None)) == [Destination("queue", "q")]
    table.remove(second)
    assert not table.match("a.b", None)
