"""Policies by the command line: set, listed, explained, cleared, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.client import Client, connect
from tests.harness.warren import Warren

QUEUE = "explained-orders"


@pytest.fixture
def warren(warren_session: Warren) -> Warren:
    """The broker of the session."""
    return warren_session


@pytest.fixture
def queue(warren: Warren) -> Iterator[str]:
    """A queue with policies that fit it."""
    arguments = {"x-max-length": 100, "x-overflow": "drop-head"}
    limits = {"max-length": 3, "overflow": "reject-publish"}
    with connect(warren.endpoint) as client:
        client.channel().declare(QUEUE, arguments=arguments)
        warren.command("set-policy", "--priority", "5", "limits", "^explained", json.dumps(limits))
        base = {"message-ttl": 60000, "max-length": 9, "alternate-exchange": "x"}
        warren.command("set-policy", "-p", "/", "--apply-to", "queues", "base", "^explained", json.dumps(base))
        warren.command("set-policy", "strange", "^explained", '{"delivery-limit": 3}')
        warren.command("set-operator-policy", "ops", "^explained", '{"max-length": 2}')
        yield QUEUE
        for name in ("limits", "base", "strange"):
            warren.command("clear-policy", name)
        warren.command("clear-operator-policy", "ops")
        _delete(client)


def _delete(client: Client) -> None:
    client.channel(9).delete(QUEUE)


def lines(text: str) -> list[list[str]]:
    """The cells of tables, two blanks or more apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_policies_are_listed(warren: Warren, queue: str) -> None:
    assert [(row["name"], row["priority"], row["apply-to"]) for row in warren.listing("policies")] == [
        ("limits", 5, "all"), ("base", 0, "queues"), ("strange", 0, "all"),
    ]
    assert warren.listing("operator-policies", "-p", "/") == [
        {"vhost": "/", "name": "ops", "pattern": "^explained", "apply-to": "all", "definition": {"max-length": 2},
         "priority": 0},
    ]
    assert ["/", "limits", "^explained", "all", '{"max-length":3,"overflow":"reject-publish"}', "5"] in lines(
        warren.command("list", "policies")
    )


def test_queues_are_listed_with_their_policies(warren: Warren, queue: str) -> None:
    row = next(row for row in warren.listing("queues") if row["name"] == queue)
    assert (row["policy"], row["operator_policy"]) == ("limits", "ops")
    assert row["effective_policy_definition"] == {
        "alternate-exchange": "x", "max-length": 2, "message-ttl": 60000, "overflow": "reject-publish",
    }
    assert "effective policy definition" in warren.command("list", "queues")


def test_show_policy_tells_where_each_value_is_from(warren: Warren, queue: str) -> None:
    shown = lines(warren.command("show-policy", queue))
    lost = "100 (argument); 3 (policy 'limits'); 9 (policy 'base')"
    assert ["max-length", "2", "operator policy 'ops'", lost] in shown
    assert ["overflow", "drop-head", "argument", "reject-publish (policy 'limits')"] in shown
    assert ["message-ttl", "60000", "policy 'base'"] in shown
    assert ["expires", "-", "default"] in shown
    assert ["policy", "limits", "5", "^explained", "all",
            "max-length lost to operator policy 'ops'; overflow lost to argument"] in shown
    assert ["policy", "base", "0", "^explained", "queues",
            "sets message-ttl; max-length lost to operator policy 'ops'; "
            "alternate-exchange without effect on a classic queue"] in shown
    assert ["policy", "strange", "0", "^explained", "all",
            "does not apply: a classic queue knows no delivery-limit"] in shown


def test_show_policy_as_json(warren: Warren, queue: str) -> None:
    answer: dict[str, Any] = json.loads(warren.command("show-policy", queue, "--format", "json"))
    assert (answer["name"], answer["type"], answer["policy"]) == (queue, "classic", "limits")
    values = {value["key"]: (value["value"], value["source"], value["name"]) for value in answer["values"]}
    assert values["max-length"] == (2, "operator policy", "ops")
    assert [policy["name"] for policy in answer["policies"]] == ["limits", "base", "strange", "ops"]


def test_a_policy_of_a_vhost_goes_with_it(warren: Warren) -> None:
    warren.command("add-vhost", "of-policies")
    warren.command("set-policy", "-p", "of-policies", "p", "", '{"max-length": 1}')
    assert len(warren.listing("policies", "-p", "of-policies")) == 1
    warren.command("delete-vhost", "of-policies")
    warren.command("add-vhost", "of-policies")
    assert warren.listing("policies", "-p", "of-policies") == []
    warren.command("delete-vhost", "of-policies")


def test_clearing_what_is_not_there_says_so(warren: Warren) -> None:
    assert warren.command("clear-policy", "missing") == "not there\n"


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("set-policy", "p", "(", '{"max-length": 1}'), "pattern should be regular expression but is invalid"),
        (("set-policy", "p", "", '{"max-length": -1}'), "Validation failed\n\n-1 is not a valid maximum length"),
        (("set-policy", "p", "", '{"foo": 1}'), '[{<<"foo">>,1}] are not recognised policy settings'),
        (("set-policy", "p", "", "{max"), "JSON decoding error"),
        (("set-policy", "p", "", '{"max-length": 1}', "--apply-to", "some"), "apply-to 'some' unrecognised"),
        (("set-policy", "p", "", '{"max-length": 1}', "--priority", "nan"), "the priority must be a number"),
        (("set-policy", "p", "", '{"max-length": 1}', "-p", "missing"), "vhost missing not found"),
        (("set-operator-policy", "p", "", '{"dead-letter-exchange": "x"}'), "are not recognised policy settings"),
        (("show-policy", "missing"), "no queue 'missing' in vhost '/'"),
    ],
)
def test_mistakes(warren: Warren, arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(RuntimeError) as mistake:
        warren.command(*arguments)
    assert text in str(mistake.value)
    assert warren.listing("policies") == [] and warren.listing("operator-policies") == []
