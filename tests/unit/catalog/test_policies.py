"""Policies through the catalog: set, replaced, cleared, kept, listed, exported, explained."""
from pathlib import Path
from typing import Any

import pytest

from bus.control import ControlError
from tests.unit.catalog.world import World, declare, exchange, run, started
from topology.features import QueueFeatures

Message = dict[str, Any]


def policy(name: str, definition: Any = None, /, **fields: Any) -> Message:
    """The fields of policy.set."""
    return {"vhost": "/", "name": name, "pattern": "", "definition": definition or {"max-length": 1}} | fields


def features(world: World, peer: str, name: str = "q") -> QueueFeatures:
    replica = world.peers[peer].replica
    return replica.features(replica.vhosts["/"].queues[name])


async def listed(world: World, what: str) -> list[Message]:
    items: list[Message] = (await world.peers["gateway-0"].client.request("list", what=what))["items"]
    return items


def test_every_process_has_a_policy_when_setting_it_is_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("queue.declare", **declare("q"))
        assert await client.request("policy.set", **policy("p")) == {"created": True}
        assert await client.request("policy.set", **policy("p")) == {"created": False}
        assert [features(world, peer).max_length for peer in world.peers] == [1] * len(world.peers)
        assert await client.request("policy.set", **policy("p", {"max-length": 2})) == {"created": False}
        await client.request("operator_policy.set", **policy("p", {"expires": 5, "max-length": 9}))
        for peer in world.peers:
            assert (features(world, peer).max_length, features(world, peer).expires_ms) == (2, 5)
        for deleted in (True, False):
            assert await client.request("policy.clear", vhost="/", name="p") == {"deleted": deleted}
        assert features(world, "shard-0").max_length == 9
        assert await client.request("operator_policy.clear", vhost="/", name="p") == {"deleted": True}
        assert features(world, "shard-0").max_length is None

    run(scenario())


def test_policies_outlive_the_catalog_and_not_their_vhost(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("vhost.add", name="v")
        fields = {"pattern": "^a", "priority": 2.5, "apply-to": "queues"}
        await client.request("policy.set", **policy("p", {"max-length": 1, "overflow": "drop-head"}, **fields))
        await client.request("operator_policy.set", **policy("p", priority=-3))
        await client.request("policy.set", **policy("gone", vhost="v"))
        await client.request("operator_policy.set", **policy("gone", vhost="v"))
        assert len(await listed(world, "policies")) == 2
        await client.request("vhost.delete", name="v")
        await client.request("vhost.add", name="v")
        assert not list(world.peers["shard-1"].replica.vhosts["v"].policies)
        await world.kill_catalog()
        topology = world.start_catalog().topology
        assert not list(topology.vhosts["v"].policies)
        own, operator = sorted(topology.vhosts["/"].policies, key=lambda one: one.operator)
        assert (own.name, own.pattern, own.priority, own.apply_to, own.operator) == ("p", "^a", 2.5, "queues", False)
        assert own.definition == {"max-length": 1, "overflow": "drop-head"}
        assert (operator.priority, operator.apply_to, operator.operator) == (-3, "all", True)

    run(scenario())


@pytest.mark.parametrize(("verb", "fields", "code", "text"), [
    ("policy.set", policy("p", {"max-length": -1}), 406, "Validation failed\n\n-1 is not a valid maximum length\n"),
    ("policy.set", policy("p", {"foo": 1}), 406,
     'Validation failed\n\n[{<<"foo">>,1}] are not recognised policy settings\n'),
    ("operator_policy.set", policy("p", {"dead-letter-exchange": "x"}), 406,
     'Validation failed\n\n[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings\n'),
    ("policy.set", policy("p", vhost="none"), 530, "vhost none not found"),
    ("policy.clear", {"vhost": "none", "name": "p"}, 530, "vhost none not found"),
    ("policy.set", policy(""), 406, "the name of a policy has 1 to 255 bytes"),
    ("policy.explain", {"vhost": "/", "name": "none"}, 404, "no queue 'none' in vhost '/'"),
])
def test_refusals_change_nothing(tmp_path: Path, verb: str, fields: Message, code: int, text: str) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        assert world.catalog is not None
        await world.peers["gateway-0"].client.request("policy.set", **policy("p", {"max-length": 7}))
        version = world.catalog.topology.version
        with pytest.raises(ControlError) as refusal:
            await world.peers["gateway-0"].client.request(verb, **fields)
        assert (refusal.value.code, refusal.value.text) == (code, text)
        assert world.catalog.topology.version == version
        assert [one["definition"] for one in await listed(world, "policies")] == [{"max-length": 7}]

    run(scenario())


def test_lists(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("queue.declare", **declare("q"))
        await client.request("exchange.declare", **exchange("x"))
        await client.request("policy.set", **policy("low", {"max-length": 1, "expires": 2}))
        await client.request("policy.set", **policy("high", {"max-length": 3}, priority=1, **{"apply-to": "queues"}))
        await client.request("operator_policy.set", **policy("ops", {"max-length": 2}, pattern="^q"))
        assert await listed(world, "policies") == [
            {"vhost": "/", "name": "high", "pattern": "", "apply-to": "queues", "definition": {"max-length": 3},
             "priority": 1},
            {"vhost": "/", "name": "low", "pattern": "", "apply-to": "all",
             "definition": {"max-length": 1, "expires": 2}, "priority": 0},
        ]
        assert [one["name"] for one in await listed(world, "operator-policies")] == ["ops"]
        (queue,) = await listed(world, "queues")
        assert (queue["policy"], queue["operator_policy"]) == ("high", "ops")
        assert queue["effective_policy_definition"] == {"expires": 2, "max-length": 2}
        assert {one["name"]: one["policy"] for one in await listed(world, "exchanges")}["x"] == "low"
        await client.request("policy.clear", vhost="/", name="low")
        await client.request("policy.clear", vhost="/", name="high")
        await client.request("operator_policy.clear", vhost="/", name="ops")
        (queue,) = await listed(world, "queues")
        assert (queue["policy"], queue["operator_policy"], queue["effective_policy_definition"]) == (None, None, {})

    run(scenario())


def test_the_export_is_rabbitmqs(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        await client.request("policy.set", **policy("p", {"ha-mode": "all"}, pattern="^a", priority=2.5))
        await client.request("operator_policy.set", **policy("ops", {"max-length": 7}, **{"apply-to": "queues"}))
        definitions = await client.request("export")
        assert definitions["policies"] == [
            {"vhost": "/", "name": "p", "pattern": "^a", "apply-to": "all", "definition": {"ha-mode": "all"},
             "priority": 2.5},
        ]
        assert definitions["parameters"] == [
            {"component": "operator_policy", "vhost": "/", "name": "ops",
             "value": {"pattern": "", "apply-to": "queues", "definition": {"max-length": 7}, "priority": 0}},
        ]

    run(scenario())


def test_what_holds_for_a_queue_and_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await started(tmp_path)
        client = world.peers["gateway-0"].client
        arguments = {"x-max-length": 100, "x-overflow": "drop-head", "x-max-priority": 4, "unknown": b"\xff"}
        await client.request("queue.declare", **declare("q", arguments=arguments))
        limits = {"max-length": 3, "overflow": "reject-publish", "message-ttl": 6}
        await client.request("policy.set", **policy("limits", limits, priority=5, pattern="^q"))
        await client.request("policy.set", **policy("base", {"message-ttl": 1, "alternate-exchange": "x"}))
        await client.request("policy.set", **policy("quorum", {"delivery-limit": 1}, priority=-1))
        await client.request("policy.set", **policy("exchanges", **{"apply-to": "exchanges"}))
        await client.request("policy.set", **policy("others", pattern="z"))
        await client.request("operator_policy.set", **policy("ops", {"max-length": 2}))
        answer = await client.request("policy.explain", vhost="/", name="q")
        assert (answer["name"], answer["vhost"], answer["type"]) == ("q", "/", "classic")
        values = {value["key"]: value for value in answer["values"]}
        assert values["max-length"] == {
            "key": "max-length", "value": 2, "source": "operator policy", "name": "ops",
            "lost": [
                {"value": 100, "source": "argument", "name": None}, {"value": 3, "source": "policy", "name": "limits"},
            ],
        }
        assert {key: (value["value"], value["source"], value["name"]) for key, value in values.items()} == {
            "consumer-timeout": (None, "default", None), "dead-letter-exchange": (None, "default", None),
            "dead-letter-routing-key": (None, "default", None), "expires": (None, "default", None),
            "max-length": (2, "operator policy", "ops"), "max-length-bytes": (None, "default", None),
            "max-priority": (4, "argument", None), "message-ttl": (6, "policy", "limits"),
            "overflow": ("drop-head", "argument", None),
        }
        fates = [
            (one["kind"], one["name"], one["wins"], [(lost["key"], lost["to"]["name"]) for lost in one["loses"]],
             one["idle"], one["not_for_type"])
            for one in answer["policies"]
        ]
        assert fates == [
            ("policy", "limits", ["message-ttl"], [("max-length", "ops"), ("overflow", None)], [], []),
            ("policy", "base", [], [("message-ttl", "limits")], ["alternate-exchange"], []),
            ("policy", "quorum", [], [], [], ["delivery-limit"]),
            ("operator policy", "ops", ["max-length"], [], [], []),
        ]

    run(scenario())
