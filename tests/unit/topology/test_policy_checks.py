"""Which policies may be set, and what a refusal says: RabbitMQ's words, all faults at once."""
from typing import Any

import pytest

from amqp091.errors import PreconditionFailed
from topology.arguments import KNOWN_ARGUMENTS
from topology.policy_checks import checked_policy
from topology.policy_keys import KEYS

GOOD: dict[str, Any] = {"pattern": "^q", "definition": {"max-length": 1}}
OPERATORS_OF_BEHAVIOUR = {
    "expires", "message-ttl", "max-length", "max-length-bytes", "max-in-memory-length", "max-in-memory-bytes",
    "delivery-limit", "queue-version", "overflow", "target-group-size",
}


def faults(fields: dict[str, Any], operator: bool = False) -> list[str]:
    with pytest.raises(PreconditionFailed) as refusal:
        checked_policy("/", "p", fields, operator=operator)
    first, empty, *texts, end = refusal.value.text.split("\n")
    assert (first, empty, end) == ("Validation failed", "", "")
    return texts


def fault(definition: Any, operator: bool = False) -> str:
    (text,) = faults({"pattern": "q", "definition": definition}, operator)
    return text


def test_what_is_missing_has_a_default() -> None:
    policy = checked_policy("/", "p", GOOD, operator=False)
    assert (policy.priority, policy.apply_to, policy.operator) == (0, "all", False)
    assert (policy.vhost, policy.name, policy.pattern, policy.definition) == ("/", "p", "^q", {"max-length": 1})


@pytest.mark.parametrize("fields", [
    {"priority": -7}, {"priority": 2.5}, {"pattern": ""}, {"pattern": "a|(b[c-d]+)$"},
    *({"apply-to": what} for what in ("queues", "exchanges", "all", "classic_queues", "quorum_queues", "streams")),
])
def test_accepted(fields: dict[str, Any]) -> None:
    policy = checked_policy("/", "p", {**GOOD, **fields}, operator=False)
    for name, value in fields.items():
        assert getattr(policy, name.replace("-", "_")) == value


@pytest.mark.parametrize(("definition", "text"), [
    ({"max-length": -1}, "-1 is not a valid maximum length"),
    ({"max-length": "1"}, '<<"1">> is not a valid maximum length'),
    ({"max-length": True}, "true is not a valid maximum length"),
    ({"max-length": 1.5}, "1.5 is not a valid maximum length"),
    ({"max-length": None}, "null is not a valid maximum length"),
    ({"max-length": [1]}, "[1] is not a valid maximum length"),
    ({"max-length": {}}, "#{} is not a valid maximum length"),
    ({"max-length": 1 << 63}, "9223372036854775808 is not a valid maximum length"),
    ({"max-length-bytes": -1}, "-1 is not a valid maximum length in bytes"),
    ({"max-in-memory-length": -1}, "-1 is not a valid maximum memory in bytes"),
    ({"expires": 0}, "0 is not a valid queue expiry"),
    ({"message-ttl": -2}, "-2 is not a valid message TTL"),
    ({"delivery-limit": "x"}, '<<"x">> is not a valid delivery limit'),
    ({"overflow": "foo"}, '<<"foo">> is not a valid overflow value'),
    ({"queue-version": 3}, "3 is not a valid queue-version value"),
    ({"queue-version": True}, "true is not a valid queue-version value"),
    ({"queue-mode": "x"}, '<<"x">> is not a valid queue-mode value'),
    ({"queue-leader-locator": "x"}, '<<"x">> is not a valid queue leader locator value'),
    ({"queue-master-locator": "x"}, '<<"x">> is not a valid master locator'),
    ({"initial-cluster-size": -1}, "-1 is not a valid cluster size"),
    ({"target-group-size": 0}, "0 is not a valid qq target count value"),
    ({"alternate-exchange": 1}, "1 is not a valid alternate exchange name"),
    ({"dead-letter-exchange": [1, "a", True, None, {"b": 2.5}]},
     '[1,<<"a">>,true,null,#{<<"b">> => 2.5}] is not a valid dead letter exchange name'),
    ({"dead-letter-routing-key": "k" * 256}, f'<<"{"k" * 256}">> is not a valid dead letter routing key'),
    ({"dead-letter-strategy": "x"}, '<<"x">> is not a valid dead letter strategy'),
    ({"consumer-timeout": -1}, "-1 is not a valid consumer timeout"),
    ({"max-age": "7"}, '<<"7">> is not a valid max age'),
    ({"stream-max-segment-size-bytes": 3_000_000_001}, "3000000001 is not a valid segment size"),
    ({"stream-filter-size-bytes": 15}, "15 is not a valid filter size. Valid range is 16-255"),
    ({"delayed-retry-type": "some"},
     '<<"some">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled'),
    ({"delayed-retry-type": "all"}, "delayed-retry-min is required when delayed-retry-type is all"),
    ({"delayed-retry-min": 5, "delayed-retry-max": 4},
     "delayed-retry-max (4) must not be smaller than delayed-retry-min (5)"),
    ({"federation-upstream": 5}, "5 is not a valid federation upstream name"),
    ({"federation-upstream": "a", "federation-upstream-set": "b"},
     "cannot specify federation-upstream, federation-upstream-set or federation-upstream-pattern together"),
    ({"redelivery-backoff-min": 0}, "0 is not a valid minimum redelivery backoff"),
    ({"redelivery-backoff-min": 5, "redelivery-backoff-max": 4},
     "redelivery-backoff-max (4) must not be smaller than redelivery-backoff-min (5)"),
    ({"redelivery-backoff-factor": 0.5}, "0.5 is not a valid redelivery backoff factor. Valid range is 1-1000"),
    ({"foo": [1], "bar": 2}, '[{<<"bar">>,2},{<<"foo">>,[1]}] are not recognised policy settings'),
    ({"x-max-length": 2}, '[{<<"x-max-length">>,2}] are not recognised policy settings'),
    ({}, "no policy provided"),
    ([], "no policy provided"),
    (None, 'Key "definition" not found in p'),
    ("abc", 'definition must be a dictionary: <<"abc">>'),
    ([1], "definition must be a dictionary: [1]"),
    ([["max-length"]], 'definition must be a dictionary: [[<<"max-length">>]]'),
    ([["max-length", 1], ["max-length", 2]], '[<<"max-length">>] duplicate keys not allowed'),
])
def test_a_definition_that_is_refused(definition: Any, text: str) -> None:
    assert fault(definition) == text


def test_the_first_wrong_key_is_named_and_unknown_ones_only_where_all_others_are_right() -> None:
    assert fault({"max-length": -1, "foo": 1, "message-ttl": -3, "expires": 0}) == "0 is not a valid queue expiry"


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert faults({"pattern": "(", "definition": {"max-length": -1}, "priority": "foo", "apply-to": "zz"}) == [
        "-1 is not a valid maximum length",
        "apply-to 'zz' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', "
        "'exchanges', or 'all'",
        "pattern should be regular expression but is invalid: missing ), unterminated subpattern at position 0",
        'priority should be a number, actually was <<"foo">>',
    ]


@pytest.mark.parametrize(("fields", "text"), [
    ({"pattern": None}, 'Key "pattern" not found in p'),
    ({"pattern": 5}, "pattern should be a binary but was 5"),
    ({"priority": True}, "priority should be a number, actually was true"),
])
def test_a_field_that_is_refused(fields: dict[str, Any], text: str) -> None:
    assert faults({**GOOD, **fields}) == [text]


def test_an_operator_policy_bounds_and_names_no_exchange() -> None:
    assert {key for key in OPERATORS_OF_BEHAVIOUR if KEYS[key].operator is None} == set()
    text = fault({"dead-letter-exchange": "d"}, operator=True)
    assert text == '[{<<"dead-letter-exchange">>,<<"d">>}] are not recognised policy settings'
    assert fault({"max-length": -1}, operator=True) == "-1 is not a valid maximum length"
    assert checked_policy("/", "p", {"pattern": "", "definition": {"overflow": "drop-head"}}, operator=True).operator


def test_an_exported_list_of_pairs_is_a_definition() -> None:
    policy = checked_policy("/", "p", {"pattern": "", "definition": [["max-length", 7]]}, operator=True)
    assert policy.definition == {"max-length": 7}


def test_mirroring_is_accepted_as_it_comes() -> None:
    definition = {"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic", "ha-promote-on-failure": "always"}
    assert checked_policy("/", "p", {"pattern": "", "definition": definition}, operator=False).definition == definition


def test_every_argument_that_a_policy_can_give_has_its_key() -> None:
    by_argument_only = {
        "x-queue-type", "x-max-priority", "x-single-active-consumer", "x-quorum-initial-group-size",
        "x-message-deduplication", "x-deduplication-header", "x-cache-size", "x-cache-ttl",
    }
    arguments = {argument for known in KNOWN_ARGUMENTS.values() for argument in known} - by_argument_only
    assert {argument for argument in arguments if argument.removeprefix("x-") not in KEYS} == set()
