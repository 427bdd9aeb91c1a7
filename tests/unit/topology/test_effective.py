"""What a queue does when arguments, policies and operator policies ask for different things, and whose value it is."""
from typing import Any

import pytest

from topology.arguments import EXPIRY_MS_MAX
from topology.effective import Resolved, Source, defaults, effective_arguments, effective_features, merged, resolved
from topology.features import PLAIN, features_of
from topology.model import Policy

Values = dict[str, Any]


def policies(*definitions: Values, operator: bool = False) -> list[Policy]:
    """In order of strength, named a, b, c ... (operator policies A, B, C ...)."""
    first = "A" if operator else "a"
    return [
        Policy("/", chr(ord(first) + n), "", definition, operator=operator) for n, definition in enumerate(definitions)
    ]


def holds(
    key: str, *, argument: Any = None, policy: Any = None, operator: Any = None, queue_type: str = "classic"
) -> tuple[str, Any]:
    """Whose value of one key holds, and which."""
    arguments: Values = {"x-queue-type": queue_type} | ({f"x-{key}": argument} if argument is not None else {})
    values = resolved(
        arguments, policies({key: policy}) if policy is not None else [],
        policies({key: operator}, operator=True) if operator is not None else [],
    )
    return values[key].source.kind, values[key].value


def test_each_key_comes_from_the_strongest_policy_that_has_it() -> None:
    strong, weak = {"max-length": 1, "overflow": "reject-publish"}, {"max-length": 2, "message-ttl": 3, "expires": 4}
    values = merged(policies(strong, weak, {"expires": 5}), [])
    assert {key: (value.value, value.source.name) for key, value in values.items()} == {
        "expires": (4, "b"), "max-length": (1, "a"), "message-ttl": (3, "b"), "overflow": ("reject-publish", "a"),
    }
    assert values["expires"].lost == (Source("policy", "c", 5),)
    assert values["max-length"].lost == (Source("policy", "b", 2),)


def test_a_single_policy_is_its_definition() -> None:
    definition = {"max-length": 1, "ha-mode": "all", "federation-upstream-set": "all"}
    assert {key: value.value for key, value in merged(policies(definition), []).items()} == definition


@pytest.mark.parametrize("key", [
    "expires", "message-ttl", "max-length", "max-length-bytes", "max-in-memory-length", "max-in-memory-bytes",
    "delivery-limit",
])
def test_of_policy_and_operator_policy_the_lower_limit_holds(key: str) -> None:
    assert holds(key, policy=1, operator=2, queue_type="quorum") == ("policy", 1)
    assert holds(key, policy=2, operator=1, queue_type="quorum") == ("operator policy", 1)
    assert holds(key, operator=3, queue_type="quorum") == ("operator policy", 3)


@pytest.mark.parametrize(("key", "policy", "operator", "holder"), [
    ("overflow", "drop-head", "reject-publish", "operator policy"),
    ("overflow", "reject-publish", "drop-head", "operator policy"),
    ("queue-version", 1, 2, "operator policy"),
    ("target-group-size", 3, 5, "operator policy"),
    ("target-group-size", 5, 3, "policy"),
    ("delivery-limit", -1, 5, "operator policy"),       # RabbitMQ: without limit counts as the lowest, and loses
    ("delivery-limit", 5, -1, "policy"),
    ("delayed-retry-min", 1, 5, "operator policy"),
    ("delayed-retry-max", 1, 5, "policy"),
])
def test_other_keys_of_operator_policies(key: str, policy: Any, operator: Any, holder: str) -> None:
    values = merged(policies({key: policy}), policies({key: operator}, operator=True))
    assert values[key].source.kind == holder


@pytest.mark.parametrize("key", [
    "expires", "message-ttl", "max-length", "max-length-bytes", "consumer-timeout",
])
def test_of_argument_and_policy_the_lower_number_holds(key: str) -> None:
    for queue_type in ("classic", "quorum"):
        assert holds(key, argument=1, policy=2, queue_type=queue_type) == ("argument", 1)
        assert holds(key, argument=2, policy=1, queue_type=queue_type) == ("policy", 1)
        assert holds(key, argument=0, policy=1, queue_type=queue_type) == ("argument", 0)


@pytest.mark.parametrize(("argument", "policy", "holder"), [
    (3, 5, "argument"), (5, 3, "policy"), (-1, 5, "policy"), (5, -1, "argument"),
])
def test_the_delivery_limit_of_argument_and_policy(argument: int, policy: int, holder: str) -> None:
    assert holds("delivery-limit", argument=argument, policy=policy, queue_type="quorum")[0] == holder


@pytest.mark.parametrize(("key", "argument", "policy"), [
    ("dead-letter-exchange", "x", "y"), ("dead-letter-routing-key", "x", "y"), ("queue-mode", "lazy", "default"),
    ("overflow", "drop-head", "reject-publish"), ("queue-version", 2, 1), ("queue-leader-locator", "random", "balanced")
])
def test_the_argument_holds_against_a_policy(key: str, argument: Any, policy: Any) -> None:
    assert holds(key, argument=argument, policy=policy) == ("argument", argument)


@pytest.mark.parametrize(("queue_type", "key", "argument", "policy"), [
    ("quorum", "overflow", "drop-head", "reject-publish"),
    ("stream", "max-length-bytes", 1, 2),
    ("stream", "max-age", "1h", "2h"),
])
def test_where_rabbitmq_lets_a_policy_go_before_the_argument(
    queue_type: str, key: str, argument: Any, policy: Any
) -> None:
    assert holds(key, argument=argument, policy=policy, queue_type=queue_type) == ("policy", policy)


def test_an_operator_policy_holds_against_the_argument_where_it_is_lower() -> None:
    values = resolved(
        {"x-max-length": 100}, policies({"max-length": 3}),
        policies({"max-length": 2}, {"max-length": 1}, operator=True),
    )
    assert values["max-length"] == Resolved(
        Source("operator policy", "A", 2),
        (Source("argument", None, 100), Source("policy", "a", 3), Source("operator policy", "B", 1)),
    )


def test_an_argument_that_no_queue_type_knows_is_no_value() -> None:
    values = resolved({"x-ha-mode": "text", "x-target-group-size": "text"}, policies({"target-group-size": 3}), [])
    assert values["target-group-size"] == Resolved(Source("policy", "a", 3), ())
    assert "ha-mode" not in values


def test_features_come_from_what_holds() -> None:
    arguments = {"x-max-length": 5, "x-dead-letter-exchange": "own", "x-max-priority": 3}
    features = effective_features(
        arguments, policies({"max-length": 9, "message-ttl": 7, "dead-letter-exchange": "theirs"}),
        policies({"expires": 8, "message-ttl": 6}, operator=True),
    )
    assert features == features_of({**arguments, "x-message-ttl": 6, "x-expires": 8})


def test_without_policies_and_arguments_a_queue_is_plain() -> None:
    assert effective_features({}, [], []) is PLAIN
    assert effective_features({}, policies({"ha-mode": "all", "alternate-exchange": "x"}), []) == PLAIN


def test_numbers_beyond_what_arguments_may_be_are_brought_down() -> None:
    beyond = policies({"message-ttl": 1 << 62, "expires": 1 << 62, "delivery-limit": -7})
    arguments = effective_arguments({}, resolved({"x-queue-type": "quorum"}, beyond, []))
    assert arguments == {"x-message-ttl": EXPIRY_MS_MAX, "x-expires": EXPIRY_MS_MAX, "x-delivery-limit": -1}


def test_a_key_without_effect_on_the_queue_type_gives_it_none() -> None:
    """RabbitMQ applies the policy to a classic queue, which then does not look at it."""
    retry = policies({"delayed-retry-type": "all", "delayed-retry-min": 5, "max-length": 1})
    assert resolved({}, retry, []).keys() == {"max-length"}
    assert effective_features({}, retry, []).backoff is None
    assert effective_features({"x-queue-type": "quorum"}, retry, []).backoff is not None
    own = effective_features({}, policies({"redelivery-backoff-min": 5}, {"redelivery-backoff-factor": 3}), []).backoff
    assert own is not None and (own.min_ms, own.factor) == (5, 3.0)


def test_an_alternate_exchange_is_none_of_a_queue() -> None:
    assert resolved({}, policies({"alternate-exchange": "x", "max-length": 1}), []).keys() == {"max-length"}


def test_a_key_that_a_later_program_has_stored_is_left_out() -> None:
    assert merged(policies({"of-the-future": 1}), policies({"of-the-future": 1}, operator=True)) == {}


def test_defaults_are_what_an_undecorated_queue_does() -> None:
    assert defaults("classic")["overflow"] == "drop-head"
    assert defaults("classic")["max-length"] is None
    assert "delivery-limit" not in defaults("classic") and "delivery-limit" in defaults("quorum")
