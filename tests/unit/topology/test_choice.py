"""One destination out of several: shares by weight, what moves when destinations come and go, what is hashed."""
import math
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from amqp091.tables import encode_table
from amqp091.values import Binary, Timestamp
from tests.unit.gateway_core import frames
from topology.choice import Choice
from topology.model import Destination

# where key-0 to key-39 go, see the test
FIXED = [
    "0424346045130446440464501413313211140416",
    "6454346645230456446464535413313511145616",
    "4452313053050142033562125001660022323600",
]
KEYS = [b"key-%d" % n for n in range(20_000)]


def queues(*names: str) -> list[Destination]:
    return [Destination("queue", name) for name in names]


def taken(choice: Choice) -> list[str]:
    """Where each of the keys goes."""
    names = [name for _, name in choice.destinations]
    return [names[choice.index(key)] for key in KEYS]


def assert_shares(counts: Counter[str], shares: dict[str, float]) -> None:
    """Within five standard deviations of what is to be expected."""
    total = sum(shares.values())
    number = sum(counts.values())
    for name, share in shares.items():
        expected = number * share / total
        assert abs(counts[name] - expected) < 5 * math.sqrt(expected), (name, counts)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 2, 3, 4], [1, 1, 50, 1], [1_000_000, 1_000_000, 1, 500_000]])
def test_each_destination_gets_its_share(weights: list[int]) -> None:
    names = ["a", "b", "c", "d"]
    counts = Counter(taken(Choice(queues(*names), weights=weights)))
    assert_shares(counts, dict(zip(names, map(float, weights), strict=True)))


@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1], [3, 1, 4, 1, 5]])
def test_a_destination_that_goes_gives_away_its_own_and_nothing_else_moves(weights: list[int]) -> None:
    names = ["a", "b", "c", "d", "e"]
    before = taken(Choice(queues(*names), weights=weights))
    after = taken(Choice(queues(*names[:2], *names[3:]), weights=[*weights[:2], *weights[3:]]))
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert moved and len(moved) == before.count("c") and "c" not in after
    shares = {name: float(weight) for name, weight in zip(names, weights, strict=True) if name != "c"}
    assert_shares(Counter(moved), shares)


def test_a_weight_that_grows_takes_from_the_others_and_nothing_else_moves() -> None:
    """Also from equal weights, which are compared without the logarithm."""
    names = ["a", "b", "c"]
    for before_weights, after_weights in (([1, 1, 1], [1, 3, 1]), ([2, 3, 4], [2, 6, 4])):
        before = taken(Choice(queues(*names), weights=before_weights))
        after = taken(Choice(queues(*names), weights=after_weights))
        assert {new for old, new in zip(before, after, strict=True) if old != new} == {"b"}


def test_the_order_of_destinations_does_not_matter() -> None:
    assert taken(Choice(queues("a", "b", "c"), weights=[1, 2, 3])) == taken(
        Choice(queues("c", "a", "b"), weights=[3, 1, 2])
    )


def test_a_queue_and_an_exchange_of_one_name_are_two_destinations() -> None:
    kinds = [Destination("exchange", "a"), Destination("queue", "a")]
    assert_shares(Counter(kinds[Choice(kinds, weights=[1, 1]).index(key)].kind for key in KEYS), {
        "exchange": 1.0, "queue": 1.0})


def test_what_is_chosen_never_changes() -> None:
    """Not in another process, and not in another version: a change moves messages of everybody who upgrades."""
    program = (
        "from topology.choice import Choice\n"
        "from topology.model import Destination\n"
        "places = [Destination('queue', f'q{n}') for n in range(7)]\n"
        "for choice in (Choice(places, weights=[1] * 7), Choice(places, weights=range(1, 8)), Choice(places)):\n"
        "    print(''.join(str(choice.index(b'key-%d' % n)) for n in range(40)))\n"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split() == FIXED


def test_a_remainder_spreads_keys_evenly_and_depends_on_the_key_alone() -> None:
    choice = Choice(queues("a", "b", "c"))
    assert_shares(Counter(taken(choice)), {"a": 1.0, "b": 1.0, "c": 1.0})
    assert taken(choice) == taken(Choice(queues("a", "b", "c")))


def test_a_destination_named_twice_gets_twice_as_much() -> None:
    for choice in (Choice(queues("a", "b", "b")), Choice(queues("a", "b", "b"), random=True)):
        assert_shares(Counter(taken(choice)), {"a": 1.0, "b": 2.0})


def test_at_random_each_message_is_drawn_anew() -> None:
    choice = Choice(queues("a", "b", "c"), random=True)
    first, second = taken(choice), taken(choice)
    assert_shares(Counter(first), {"a": 1.0, "b": 1.0, "c": 1.0})
    same = sum(one == other for one, other in zip(first, second, strict=True))
    assert abs(same - len(KEYS) / 3) < 5 * math.sqrt(len(KEYS) / 3)


def test_out_of_one_that_one() -> None:
    for choice in (Choice(queues("a")), Choice(queues("a"), weights=[3]), Choice(queues("a"), random=True)):
        assert choice.index(b"k") == 0


@pytest.mark.parametrize("weights", [[], [1], [1, 0], [1, -1], [1, 2, 3]])
def test_weights_that_make_no_sense(weights: list[int]) -> None:
    with pytest.raises(ValueError):
        Choice(queues("a", "b"), weights=weights)
    with pytest.raises(ValueError):
        Choice([], weights=weights)


MANY = queues(*(f"q{n}" for n in range(1000)))
# so many that two values seldom share one by accident; those below do not


def by_header(value: Any) -> int:
    properties = frames.properties(headers=encode_table({"other": 1, "h": value}))
    return Choice(MANY, weights=[1] * 1000, hash_header="h").index(b"ignored", properties)


def raw_header(field: bytes) -> int:
    body = b"\x01h" + field
    properties = frames.properties(headers=len(body).to_bytes(4, "big") + body)
    return Choice(MANY, weights=[1] * 1000, hash_header="h").index(b"", properties)


def test_a_header_is_hashed_by_its_value() -> None:
    values = ["5", 5, 5.0, Timestamp(5), Binary(b"\x05"), True, None, [5], {"a": 5}, -5, 6, "55", "", 2**40]
    assert len({by_header(value) for value in values}) == len(values)
    assert all(by_header(value) == by_header(value) for value in values)


def test_integers_of_all_widths_are_the_same() -> None:
    fields = [
        b"b\x05", b"B\x05", b"s\0\x05", b"u\0\x05", b"I\0\0\0\x05", b"i\0\0\0\x05", b"l" + bytes(7) + b"\x05",
        b"L" + bytes(7) + b"\x05",
    ]
    assert {raw_header(field) for field in fields} == {by_header(5)}
    assert raw_header(b"b\xfb") == raw_header(b"l" + b"\xff" * 7 + b"\xfb") == by_header(-5)
    assert raw_header(b"f\x3f\xc0\0\0") == raw_header(b"d\x3f\xf8" + bytes(6)) == by_header(1.5)


def test_messages_without_what_is_hashed_go_one_way() -> None:
    for options in ({"hash_header": "h"}, {"hash_property": "message_id"}, {"hash_property": "timestamp"}):
        choice = Choice(MANY, weights=[1] * 1000, **options)
        found = {choice.index(key) for key in KEYS[:50]}
        found |= {choice.index(key, frames.properties(headers=encode_table({"g": 1}), delivery_mode=2)) for key in KEYS}
        assert len(found) == 1


@pytest.mark.parametrize("name", ["message_id", "correlation_id", "timestamp"])
def test_a_property_is_hashed_wherever_it_stands(name: str) -> None:
    """Among all the others, and alone."""
    bit = {"message_id": 7, "correlation_id": 10, "timestamp": 6}[name]
    choice = Choice(MANY, weights=[1] * 1000, hash_property=name)

    def encoded(value: int, *, alone: bool) -> bytes:
        flags, packed = 0, b""
        for here, kind in zip(range(15, 1, -1), "SSTooSSSSLSSSS", strict=True):
            if alone and here != bit:
                continue
            number = value if here == bit else here
            flags |= 1 << here
            packed += {
                "S": bytes((len(b"%d" % number),)) + b"%d" % number, "T": encode_table({"n": here}), "o": b"\2",
                "L": number.to_bytes(8, "big"),
            }[kind]
        return flags.to_bytes(2, "big") + packed

    found = [choice.index(b"", encoded(value, alone=False)) for value in range(100, 130)]
    assert found == [choice.index(b"x", encoded(value, alone=True)) for value in range(100, 130)]
    assert len(set(found)) > 20


def test_damaged_properties_are_refused_and_never_read_beyond_their_end() -> None:
    dice = random.Random(5)
    choices = [Choice(MANY, weights=[1] * 1000, hash_header="h"), Choice(MANY, hash_property="timestamp")]
    whole = frames.properties(headers=encode_table({"h": [1, {"x": "y"}], "g": "h"}), reply_to=b"r", user_id=b"u")
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        cut = bytes(damaged[: dice.randint(0, len(damaged))])
        for choice in choices:
            try:
                assert 0 <= choice.index(b"", cut) < 1000
            except Exception as error:
                assert type(error).__name__ == "SyntaxError_", error
