"""Permissions, patterns, passwords, placement, names."""
import base64
import hashlib
import time
from collections import Counter

import pytest

from amqp091.errors import AccessRefused, PreconditionFailed
from topology import changes
from topology.model import Permission, User
from topology.names import check_exchange_deletable, check_not_reserved, check_text, generated, stripped
from topology.passwords import hash_password, is_password_hash, verify_password
from topology.patterns import PATTERN_CHARACTERS_MAX, SEARCH_S_MAX, InvalidPattern, compiled, matches
from topology.permissions import require
from topology.placement import place
from topology.replica import Replica

SHA256 = "rabbit_password_hashing_sha256"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("", "q", False),                           # empty denies
        ("^$", "q", False),
        (".*", "q", True),
        ("b", "abc", True),                         # searched anywhere
        ("^b", "abc", False),
        (r"^amq\.default$", "amq.default", True),
        ("^(a|b)-", "b-1", True),
        ("[[:digit:]]{2}$", "q42", True),
        ("^[^[:alpha:]]", "q42", False),
        ("[]x]", "]", True),
        ("[^]x]", "]", False),
        ("[a[]", "[", True),
        (r"^\Qa.b*\E$", "a.b*", True),
        (r"^\Qa.b", "axb", False),
        (r"a\z", "xa", True),
        (r"^\h$", "\t", True),
        ("(?<word>q)", "q", True),
        ("(?i)^Q", "q", True),
        ("^a++b", "aab", True),
        ("^(?>a+)b", "aab", True),
        (r"^\w+$", "ä", False),                     # classes know ASCII only
        ("é", "café", True),
    ],
)
def test_pattern(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{2,1}", r"(?R)", "x" * (PATTERN_CHARACTERS_MAX + 1)])
def test_what_is_no_pattern_is_refused_when_set_and_matches_nothing(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compiled(pattern)
    assert not matches(pattern, "xxx")


@pytest.mark.parametrize(("pattern", "name"), [
    (r"(a|aa)+$", "a" * 254 + "b"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 255),
    (r"^(a?){200}a{200}b$", "a" * 255),
    (r"^a*a*a*a*a*a*a*b$", "a" * 255),
    (r"(?:a?|b){1,90}(?:a|aa)*c", "a" * 255),
    ("a?" * 100 + "a" * 100 + "b", "a" * 255),
    ("(a|a)" * 100 + "b", "a" * 255),
])
def test_a_pattern_that_would_search_for_ages_ends_and_matches_nothing(pattern: str, name: str) -> None:
    began_s = time.process_time()
    assert not matches(pattern, name)
    assert not matches(pattern, name)
    assert time.process_time() - began_s < 20 * SEARCH_S_MAX


def test_a_pattern_that_was_given_up_matches_nothing_at_once() -> None:
    pattern = r"(b|bb)+$"
    assert matches(pattern, "bbb")
    assert not matches(pattern, "b" * 254 + "c")
    assert not matches(pattern, "bbb")


@pytest.mark.parametrize(("pattern", "name", "expected"), [
    (r"^(orders|jobs)(\.[a-z]+)*$", "orders.eu.north", True),
    (r"^(orders|jobs)(\.[a-z]+)*$", "orders.eu.", False),
    (r"^(.*)\.(.*)\.(.*)$", "a.b.c", True),
    (r"^(?!amq\.).*$", "amq.direct", False),
    (r"^(?!amq\.).+.*.*$", "orders", True),
    (r"(?i)^(Or+d+e+r+s)$", "oRDERS", True),
    (r"^([[:alpha:]]+-)+[[:digit:]]{2}$", "a-b-12", True),
    (r"(ab)\1+c*d*", "ababd", True),
    (r"\Qa+b*c{\E(x)+", "a+b*c{x", True),
    (r"^[a\]+*{]+$", "]+*{", True),
])
def test_patterns_with_many_repeats_match_what_they_say(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def replica_with(configure: str, write: str, read: str) -> Replica:
    replica = Replica()
    replica.apply_ops([
        changes.vhost_add("/"),
        changes.user_add(User("u", hash_password("secret"), SHA256)),
        changes.permission_set("u", "/", Permission(configure, write, read)),
    ])
    return replica


def test_permissions_by_kind() -> None:
    replica = replica_with("^c", "", ".*")
    assert replica.permitted("u", "/", "configure", "c1")
    assert not replica.permitted("u", "/", "configure", "x")
    assert not replica.permitted("u", "/", "write", "c1")
    assert replica.permitted("u", "/", "read", "anything")
    assert not replica.permitted("u", "other", "read", "anything")
    assert not replica.permitted("nobody", "/", "read", "anything")
    assert replica.has_access("u", "/") and not replica.has_access("u", "other")


def test_the_default_exchange_is_checked_as_amq_default() -> None:
    assert replica_with("", r"^amq\.default$", "").permitted("u", "/", "write", "")
    replica = replica_with("", "^q", "")
    with pytest.raises(AccessRefused) as refusal:
        require(replica, "u", "/", "write", "exchange", "")
    assert refusal.value.text == "write access to exchange 'amq.default' in vhost '/' refused for user 'u'"
    with pytest.raises(AccessRefused) as refusal:
        require(replica, "u", "/", "configure", "queue", "q")
    assert refusal.value.text == "configure access to queue 'q' in vhost '/' refused for user 'u'"
    require(replica, "u", "/", "write", "queue", "q")


def test_a_revoked_right_is_gone_at_once() -> None:
    replica = replica_with(".*", ".*", ".*")
    assert replica.permitted("u", "/", "read", "q")
    replica.apply_ops([changes.permission_set("u", "/", Permission("", "", ""))])
    assert not replica.permitted("u", "/", "read", "q")
    assert replica.has_access("u", "/")
    replica.apply_ops([changes.permission_clear("u", "/")])
    assert not replica.has_access("u", "/")
    replica.apply_ops([changes.permission_set("u", "/", Permission(".*", "", "")), changes.user_delete("u")])
    assert not replica.permitted("u", "/", "configure", "q")


def test_authentication() -> None:
    replica = replica_with("", "", "")
    found = replica.authenticate("u", "secret")
    assert found is not None and found.name == "u"
    assert replica.authenticate("u", "wrong") is None
    assert replica.authenticate("u", "") is None
    assert replica.authenticate("nobody", "") is None


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [(SHA256, "sha256"), ("rabbit_password_hashing_sha512", "sha512"), ("rabbit_password_hashing_md5", "md5")],
)
def test_password_hashes_have_rabbitmqs_form(algorithm: str, digest: str) -> None:
    made = hash_password("päss", algorithm, salt=b"salt")
    assert made == base64.b64encode(b"salt" + hashlib.new(digest, b"salt" + "päss".encode()).digest()).decode()
    assert verify_password(made, algorithm, "päss")
    assert not verify_password(made, algorithm, "pass")
    assert is_password_hash(made, algorithm)
    assert hash_password("p", algorithm) != hash_password("p", algorithm)


def test_the_example_of_rabbitmqs_documents() -> None:
    assert hash_password("test12", SHA256, salt=bytes.fromhex("908DC60A")) == (
        "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    )


@pytest.mark.parametrize("kept", ["", "!", "AAAA", "kI3G", None])
def test_what_is_no_hash_lets_nobody_in(kept: str | None) -> None:
    assert not verify_password(kept or "", SHA256, "test12")
    assert not verify_password(hash_password("p"), "unknown", "p")


def test_placement_is_even_stable_and_moves_few_queues_when_a_shard_is_added() -> None:
    names = [f"queue-{n}" for n in range(4000)]
    four = [place("/", name, 4) for name in names]
    assert four == [place("/", name, 4) for name in names]
    assert all(800 < count < 1200 for count in Counter(four).values())
    five = [place("/", name, 5) for name in names]
    assert all(new in (old, 4) for old, new in zip(four, five, strict=True))
    assert place("a", "b", 64) != place("ab", "", 64) or place("a", "bc", 64) != place("ab", "c", 64)
    with pytest.raises(ValueError, match="no shard"):
        place("/", "q", 0)


def test_names() -> None:
    made = generated("amq.gen-")
    assert len(made) == len("amq.gen-") + 22 and made != generated("amq.gen-")
    assert stripped("a\r\nb\n") == "ab"
    with pytest.raises(AccessRefused, match=r"queue name 'amq\.q' contains reserved prefix"):
        check_not_reserved("queue", "amq.q")
    check_not_reserved("queue", "amqq")
    with pytest.raises(AccessRefused, match=r"deletion of system exchange 'amq\.topic' in vhost '/' not allowed"):
        check_exchange_deletable("amq.topic", "/")
    with pytest.raises(PreconditionFailed):
        check_text("a\udcff")
    check_text("ä")
