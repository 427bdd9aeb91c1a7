"""Exchange types: what each lets through, one copy per queue, exchange-to-exchange bindings, alternate exchanges."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Names
from tests.harness.channel import ChannelClient
from tests.harness.client import Client
from tests.harness.methods import Properties, Queue

OpenClient = Callable[..., Client]


def routed(channel: ChannelClient, queue: str) -> list[bytes]:
    return channel.get_all(queue)


def test_direct_compares_keys(channel: ChannelClient) -> None:
    first, second = channel.exclusive_queue(), channel.exclusive_queue()
    key = first
    channel.bind(first, "amq.direct", key)
    channel.bind(second, "amq.direct", key + "x")
    for one in (key, key + "x", key.upper(), "", key + ".y", "#", "*"):
        channel.publish("amq.direct", one, one.encode())
    assert routed(channel, first) == [key.encode()]
    assert routed(channel, second) == [(key + "x").encode()]


def test_fanout_ignores_keys(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "fanout")
    queues = [channel.exclusive_queue() for _ in range(4)]
    for number, queue in enumerate(queues):
        channel.bind(queue, names(), str(number))
    channel.publish(names(), "whatever", b"x")
    for queue in queues:
        assert routed(channel, queue) == [b"x"]


TOPIC_CASES = {
    "#": ["", "a", "a.b", "a.b.c", ".", "..", "a..b"],
    "*": ["", "a"],
    "*.*": ["a.b", ".", "a.", ".b"],
    "a.*": ["a.b", "a."],
    "a.#": ["a", "a.b", "a.b.c", "a.", "a..b"],
    "#.b": ["a.b", ".b", "a..b", "b"],
    "*.#": ["", "a", "a.b", "a.b.c", ".", "..", "a..b", "a.", ".b", "b"],
    "#.#": ["", "a", "a.b", "a.b.c", ".", "..", "a..b", "a.", ".b", "b"],
    "a.*.c": ["a.b.c"],
    "a.#.c": ["a.b.c", "a.c", "a.b.b.c"],
    "#.a.#": ["a", "a.b", "a.b.c", "a.", "a..b", "a.c", "a.b.b.c"],
    "a.b": ["a.b"],
    "a..b": ["a..b"],
    "": [""],
    "*.b.*": ["a.b.c"],
    "#.*.b.c": ["a.b.c", "a.b.b.c"],
}
TOPIC_KEYS = ["", "a", "b", "a.b", "a.c", "a.b.c", "a.b.b.c", ".", "..", "a..b", "a.", ".b"]


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """The rule of topic exchanges, written as its definition."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(topic_matches(pattern[1:], words[at:]) for at in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and topic_matches(pattern[1:], words[1:])


@pytest.mark.oracle
def test_topic_patterns(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "topic")
    queues = {pattern: channel.exclusive_queue() for pattern in TOPIC_CASES}
    for pattern, queue in queues.items():
        channel.bind(queue, names(), pattern)
    for key in TOPIC_KEYS:
        channel.publish(names(), key, key.encode())
    for pattern, queue in queues.items():
        expected = [
            key
            for key in TOPIC_KEYS
            if topic_matches(pattern.split(".") if pattern else [], key.split(".") if key else [])
        ]
        assert [body.decode() for body in routed(channel, queue)] == expected, pattern


def test_topic_patterns_in_all_combinations_of_three_words(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "topic")
    patterns = [".".join(words) for words in itertools.product("ab*#", repeat=3)]
    keys = [".".join(words) for length in (1, 2, 3, 4) for words in itertools.product("ab", repeat=length)]
    queues = {}
    for pattern in patterns:
        queues[pattern] = channel.exclusive_queue()
        channel.bind(queues[pattern], names(), pattern)
    channel.publish_many(names(), "a.b", [])
    for key in keys:
        channel.publish(names(), key, key.encode())
    for pattern, queue in queues.items():
        expected = [key for key in keys if topic_matches(pattern.split("."), key.split("."))]
        assert [body.decode() for body in routed(channel, queue)] == expected, pattern


def test_topic_unbinding_leaves_the_other_patterns(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "topic")
    queue = channel.exclusive_queue()
    for pattern in ("a.*", "a.#", "a.b"):
        channel.bind(queue, names(), pattern)
    for gone in ("a.#", "a.b"):
        channel.unbind(queue, names(), gone)
        channel.publish(names(), "a.b", b"x")
        assert routed(channel, queue) == [b"x"]
    channel.unbind(queue, names(), "a.*")
    channel.publish(names(), "a.b", b"x")
    assert routed(channel, queue) == []


HEADERS_CASES: list[tuple[dict[str, Any], dict[str, Any] | None, bool]] = [
    ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "x"}, True),
    ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 5}, True),
    ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1}, False),
    ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "y"}, False),
    ({"a": 1, "b": "x"}, {"a": 1}, False),
    ({"a": 1}, {"a": 1}, True),
    ({"x-match": "any", "a": 1, "b": "x"}, {"a": 1}, True),
    ({"x-match": "any", "a": 1, "b": "x"}, {"b": "x", "a": 9}, True),
    ({"x-match": "any", "a": 1, "b": "x"}, {"a": 2, "b": "y"}, False),
    ({"x-match": "any", "a": 1, "b": "x"}, {}, False),
    ({"x-match": "any", "a": 1, "b": "x"}, None, False),
    ({"x-match": "all"}, {}, True),
    ({"x-match": "all"}, None, True),
    ({}, {"a": 1}, True),
    ({"x-match": "any"}, {"a": 1}, False),
    ({"x-match": "all", "a": None}, {"a": 5}, True),
    ({"x-match": "all", "a": None}, {"b": 5}, False),
    ({"x-match": "all", "a": None}, {"a": None}, True),
    ({"x-match": "all", "x-own": 1, "a": 1}, {"a": 1}, True),
    ({"x-match": "any", "x-own": 1, "a": 1}, {"x-own": 1}, False),
    ({"x-match": "all-with-x", "x-own": 1, "a": 1}, {"a": 1}, False),
    ({"x-match": "all-with-x", "x-own": 1, "a": 1}, {"a": 1, "x-own": 1}, True),
    ({"x-match": "any-with-x", "x-own": 1, "a": 1}, {"x-own": 1}, True),
    ({"x-match": "any-with-x", "x-own": 1, "a": 1}, {"x-own": 2}, False),
    ({"x-match": "all", "a": "1"}, {"a": 1}, False),
    ({"x-match": "all", "a": 1}, {"a": 1000000 - 999999}, True),
    ({"x-match": "all", "a": True}, {"a": True}, True),
    ({"x-match": "all", "a": True}, {"a": False}, False),
    ({"x-match": "all", "a": 300}, {"a": 300}, True),
]


@pytest.mark.oracle
def test_headers_exchange(channel: ChannelClient, names: Names) -> None:
    wrong = []
    for number, (arguments, headers, expected) in enumerate(HEADERS_CASES):
        name = names(str(number))
        channel.declare_exchange(name, "headers")
        queue = channel.exclusive_queue()
        channel.bind(queue, name, "", arguments)
        channel.publish(name, "", b"x", Properties(headers=headers))
        if bool(routed(channel, queue)) != expected:
            wrong.append((arguments, headers, expected))
        channel.delete(queue)
    assert not wrong


@pytest.mark.oracle
@pytest.mark.parametrize("value", ["most", 1, ""])
def test_an_invalid_x_match_fails(channel: ChannelClient, value: object) -> None:
    queue = channel.exclusive_queue()
    channel.send(Queue.Bind(queue=queue, exchange="amq.headers", routing_key="", arguments={"x-match": value}))
    channel.expect_error(406, "PRECONDITION_FAILED")


def test_the_key_does_not_matter_to_a_headers_exchange(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "headers")
    queue = channel.exclusive_queue()
    channel.bind(queue, names(), "bound", {"a": 1})
    channel.publish(names(), "other", b"x", Properties(headers={"a": 1}))
    assert routed(channel, queue) == [b"x"]


def test_headers_of_each_message_are_looked_at(channel: ChannelClient, names: Names) -> None:
    """A remembered route must not be taken for a message with other headers."""
    channel.declare_exchange(names(), "headers")
    queue = channel.exclusive_queue()
    channel.bind(queue, names(), "", {"take": 1})
    for number in range(50):
        channel.publish(names(), "same-key", str(number).encode(), Properties(headers={"take": number % 2}))
    assert routed(channel, queue) == [str(number).encode() for number in range(1, 50, 2)]


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers"])
def test_one_copy_per_queue_however_many_bindings_match(channel: ChannelClient, names: Names, kind: str) -> None:
    channel.declare_exchange(names(), kind)
    queue = channel.exclusive_queue()
    for number in range(5):
        channel.bind(
            queue,
            names(),
            ("k", "#", "*", "k", "k")[number] if kind == "topic" else "k",
            {"n": number, "x-match": "any", "all": 1},
        )
    channel.publish(names(), "k", b"x", Properties(headers={"all": 1, "n": 3}))
    assert routed(channel, queue) == [b"x"]


def test_one_copy_per_queue_over_paths_of_exchanges(channel: ChannelClient, names: Names) -> None:
    for name in ("top", "left", "right"):
        channel.declare_exchange(names(name), "fanout")
    channel.bind_exchange(names("left"), names("top"))
    channel.bind_exchange(names("right"), names("top"))
    queue = channel.exclusive_queue()
    for name in ("top", "left", "right"):
        channel.bind(queue, names(name))
    channel.publish(names("top"), "", b"x")
    assert routed(channel, queue) == [b"x"]


def test_exchange_bindings_match_by_the_type_of_their_source(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("topic"), "topic")
    channel.declare_exchange(names("direct"), "direct")
    channel.bind_exchange(names("direct"), names("topic"), "a.*")
    queue = channel.exclusive_queue()
    channel.bind(queue, names("direct"), "a.b")
    for key in ("a.b", "a.c", "b.b"):
        channel.publish(names("topic"), key, key.encode())
    assert routed(channel, queue) == [b"a.b"]
    channel.unbind_exchange(names("direct"), names("topic"), "a.*")
    channel.publish(names("topic"), "a.b", b"x")
    assert routed(channel, queue) == []


@pytest.mark.oracle
def test_cycles_of_exchanges_end(channel: ChannelClient, names: Names) -> None:
    ring = [names(str(number)) for number in range(4)]
    for name in ring:
        channel.declare_exchange(name, "fanout")
    for number, name in enumerate(ring):
        channel.bind_exchange(ring[(number + 1) % 4], name)
    channel.bind_exchange(ring[0], ring[0])
    queues = [channel.exclusive_queue() for _ in ring]
    for queue, name in zip(queues, ring, strict=True):
        channel.bind(queue, name)
    channel.publish(ring[2], "", b"x")
    assert [routed(channel, queue) for queue in queues] == [[b"x"]] * 4


def test_deleting_an_exchange_takes_its_bindings(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("a"), "fanout")
    channel.declare_exchange(names("b"), "fanout")
    channel.bind_exchange(names("b"), names("a"))
    queue = channel.exclusive_queue()
    channel.bind(queue, names("b"))
    channel.delete_exchange(names("b"))
    channel.publish(names("a"), "", b"x", mandatory=True)
    channel.returned()
    channel.declare_exchange(names("b"), "fanout")
    channel.publish(names("a"), "", b"x", mandatory=True)
    channel.returned()


def test_an_alternate_exchange_takes_what_is_not_routed(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("other"), "fanout")
    channel.declare_exchange(names("first"), "direct", arguments={"alternate-exchange": names("other")})
    routed_queue, unrouted_queue = channel.exclusive_queue(), channel.exclusive_queue()
    channel.bind(routed_queue, names("first"), "k")
    channel.bind(unrouted_queue, names("other"))
    channel.publish(names("first"), "k", b"1", mandatory=True)
    channel.publish(names("first"), "x", b"2", mandatory=True)
    assert routed(channel, routed_queue) == [b"1"]
    message = channel.get(unrouted_queue)
    assert message is not None and (message.body, message.method.exchange, message.method.routing_key) == (
        b"2",
        names("first"),
        "x",
    )


@pytest.mark.oracle
def test_alternate_exchanges_are_chained_and_loops_are_cut(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("a"), "direct", arguments={"alternate-exchange": names("b")})
    channel.declare_exchange(names("b"), "direct", arguments={"alternate-exchange": names("c")})
    channel.declare_exchange(names("c"), "direct", arguments={"alternate-exchange": names("a")})
    queue = channel.exclusive_queue()
    channel.bind(queue, names("c"), "k")
    channel.publish(names("a"), "k", b"1", mandatory=True)
    assert routed(channel, queue) == [b"1"]
    channel.publish(names("a"), "x", b"2", mandatory=True)
    assert channel.returned().body == b"2"


def test_an_alternate_exchange_of_an_inner_exchange_is_used(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names("last"), "fanout")
    channel.declare_exchange(names("inner"), "direct", arguments={"alternate-exchange": names("last")})
    channel.declare_exchange(names("outer"), "fanout")
    channel.bind_exchange(names("inner"), names("outer"))
    queue = channel.exclusive_queue()
    channel.bind(queue, names("last"))
    channel.publish(names("outer"), "k", b"1")
    assert routed(channel, queue) == [b"1"]


def test_one_publish_to_many_queues_on_all_shards(channel: ChannelClient, names: Names) -> None:
    channel.declare_exchange(names(), "fanout")
    queues = [channel.exclusive_queue() for _ in range(60)]
    for queue in queues:
        channel.bind(queue, names())
    channel.confirm()
    bodies = [str(n).encode() * 10 for n in range(20)]
    channel.publish_many(names(), "", bodies)
    channel.wait_confirms(20)
    for queue in queues:
        assert routed(channel, queue) == bodies
