"""What a document changes in a topology, what it leaves, and what is refused, in which words."""
from __future__ import annotations

from typing import Any

import pytest

from amqp091.errors import PreconditionFailed
from tests.harness.definitions import PASSWORDS, comparable, everything, hashed
from topology import changes
from topology.definitions import ImportPlan, Origin, export_all, export_vhost, plan_import
from topology.definitions import planned as planned_module
from topology.model import Binding, Exchange, Permission, Queue, User
from topology.passwords import DEFAULT_ALGORITHM, hash_password
from topology.replica import Replica

ORIGIN = Origin("1.2.3", "test")


def replica() -> Replica:
    """A vhost with a user and a few objects."""
    made = Replica()
    made.apply_ops([
        changes.vhost_add("/"),
        changes.user_add(User("guest", hash_password("guest"), DEFAULT_ALGORITHM, ("administrator",))),
        changes.permission_set("guest", "/", Permission(".*", ".*", ".*")),
        changes.exchange_add(Exchange("/", "x", "direct", durable=True)),
        changes.queue_add(Queue(1, "q", "/", durable=True, arguments={"x-max-length": 5})),
        changes.binding_add(Binding("/", "x", "q", "queue", "k"), True),
        changes.queue_add(Queue(2, "own", "/", exclusive=True, owner="g0.1.1")),
    ])
    return made


def apply(topology: Replica, plan: ImportPlan) -> None:
    """As the catalog does."""
    topology.apply_ops(plan.ops)
    for number, queue in enumerate(plan.queues, 1000 + len(topology.queue_ids())):
        op = changes.queue_add(queue)
        topology.apply_ops([{**op, "queue_id": number}])
    topology.apply_ops(changes.binding_add(binding, True) for binding in plan.bindings)


def imported(document: dict[str, Any], topology: Replica | None = None, **options: Any) -> tuple[Replica, ImportPlan]:
    topology = topology or replica()
    plan = plan_import(topology, document, **options)
    apply(topology, plan)
    return topology, plan


def queue(name: str = "new", **fields: Any) -> dict[str, Any]:
    return {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}, **fields}


def exchange(name: str = "new", **fields: Any) -> dict[str, Any]:
    return {**queue(name), "type": "direct", **fields}


def binding(source: str = "x", destination: str = "q", **fields: Any) -> dict[str, Any]:
    return {
        "source": source, "vhost": "/", "destination": destination, "destination_type": "queue", "routing_key": "",
        "arguments": {}, **fields,
    }


def user(name: str = "u", **fields: Any) -> dict[str, Any]:
    return {"name": name, "password_hash": hashed("p", "sha256"), "tags": [], **fields}


def permission(**fields: Any) -> dict[str, Any]:
    return {"user": "guest", "vhost": "/", "configure": "", "write": "", "read": "", **fields}


# what goes in comes out

def test_an_export_is_what_was_imported() -> None:
    topology, plan = imported(everything(), Replica())
    found = comparable(export_all(topology, ORIGIN))
    wanted = everything()
    for one in wanted["users"]:
        one["tags"] = one["tags"].replace(" ", "").split(",") if isinstance(one["tags"], str) else one["tags"]
    assert found == comparable(wanted)
    assert plan.counts == {
        "users": 3, "vhosts": 2, "permissions": 4, "topic_permissions": 1, "parameters": 1, "operator policies": 1,
        "global_parameters": 1, "policies": 2, "exchanges": 7, "queues": 7, "bindings": 11,
    }
    assert plan.warnings == []
    for name, password in PASSWORDS.items():
        assert topology.authenticate(name, password) is not None


def test_importing_an_export_changes_nothing() -> None:
    topology, _ = imported(everything())
    assert plan_import(topology, export_all(topology, ORIGIN)) == ImportPlan()


def test_a_vhost_goes_into_another() -> None:
    topology, _ = imported(everything())
    document = export_vhost(topology.vhosts["shöp"], ORIGIN)
    assert document["rabbitmq_definition_format"] == "single_virtual_host"
    assert document["original_vhost_name"] == "shöp"
    assert document["limits"] == {"max-connections": 100, "max-queues": 50}
    topology.apply_ops([changes.vhost_add("copy")])
    apply(topology, plan_import(topology, document, "copy"))
    copy = export_vhost(topology.vhosts["copy"], ORIGIN)
    for key in ("parameters", "policies", "queues", "exchanges", "bindings", "limits"):
        assert copy[key] == document[key]
    assert topology.vhosts["copy"].permissions == {}


def test_a_vhost_takes_what_is_a_vhosts_of_any_document() -> None:
    topology = replica()
    topology.apply_ops([changes.vhost_add("v")])
    document = {
        "users": [user()], "permissions": [permission(user="nobody")], "vhosts": [{"name": "w"}],
        "queues": [queue(vhost="elsewhere")], "exchanges": [exchange()], "bindings": [binding("new", "new")],
    }
    imported(document, topology, vhost="v")
    assert list(topology.vhosts["v"].queues) == ["new"] and "new" in topology.vhosts["v"].exchanges
    assert set(topology.vhosts) == {"/", "v"} and set(topology.users) == {"guest"}
    assert "new" not in topology.vhosts["/"].queues


def test_exclusive_queues_and_predeclared_exchanges_are_not_exported() -> None:
    topology = replica()
    topology.apply_ops([changes.binding_add(Binding("/", "x", "own", "queue", "k"), False)])
    document = export_all(topology, ORIGIN)
    assert [item["name"] for item in document["queues"]] == ["q"]
    assert [item["name"] for item in document["exchanges"]] == ["x"]
    assert [item["destination"] for item in document["bindings"]] == ["q"]
    assert (document["product_name"], document["product_version"]) == ("Warren", "1.2.3")


# what exists

def test_queues_and_exchanges_that_exist_stay_and_a_difference_is_told() -> None:
    topology, plan = imported({
        "exchanges": [exchange("x"), exchange("x", type="fanout")],
        "queues": [queue("q", arguments={"x-max-length": 5}), queue("q"), queue("own")],
        "bindings": [binding(routing_key="k")],
    })
    assert plan.ops == [] and plan.queues == [] and plan.bindings == []
    assert [text.partition(":")[0] for text in plan.warnings] == ["exchanges[1]", "queues[1]", "queues[2]"]
    assert "inequivalent arg 'type' for exchange 'x' in vhost '/'" in plan.warnings[0]
    assert plan.warnings[0].endswith("; the existing one stays")
    assert topology.vhosts["/"].queues["q"].arguments == {"x-max-length": 5}


def test_what_is_said_twice_is_done_once() -> None:
    _, plan = imported({
        "exchanges": [exchange("twice"), exchange("twice")], "queues": [queue("twice"), queue("twice", durable=False)],
        "bindings": [binding("twice", "twice"), binding("twice", "twice")],
    })
    assert (plan.counts["exchanges"], plan.counts["queues"], plan.counts["bindings"]) == (1, 1, 1)
    assert len(plan.warnings) == 1 and "inequivalent arg 'durable'" in plan.warnings[0]


def test_users_permissions_parameters_and_policies_are_replaced() -> None:
    topology, _ = imported({
        "users": [user("guest", tags="monitoring,  policymaker,,", limits={"max-channels": 3})],
        "permissions": [permission(read="^r")],
        "parameters": [{"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 9}}],
        "policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": {"max-length": 1}}],
    })
    imported({
        "users": [user("guest", limits={"max-connections": 2})],
        "parameters": [{"vhost": "/", "component": "vhost-limits", "name": "limits", "value": [["max-queues", 8]]}],
        "policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": {"max-length": 2}}],
    }, topology)
    guest = topology.users["guest"]
    assert guest.tags == () and guest.limits == {"max-channels": 3, "max-connections": 2}
    assert topology.authenticate("guest", "p") and not topology.authenticate("guest", "guest")
    assert topology.vhosts["/"].permissions["guest"].read == "^r"
    assert topology.vhosts["/"].limits == {"max-queues": 8}
    policy = topology.vhosts["/"].policies.get(False, "p")
    assert policy is not None and policy.definition == {"max-length": 2}


def test_metadata_of_vhosts_from_either_place() -> None:
    topology, _ = imported({"vhosts": [
        {"name": "a", "description": "top", "tags": "x,y", "metadata": {"description": "below", "tags": ["z"]}},
        {"name": "b", "metadata": {"description": "below", "tags": ["z"], "default_queue_type": "quorum", "other": 1}},
        {"name": "c", "metadata": {"default_queue_type": "undefined"}, "tracing": False},
        {"name": "/", "limits": {"max-queues": 4}},
    ]})
    described = {name: vhost.vhost for name, vhost in topology.vhosts.items()}
    assert (described["a"].description, described["a"].tags) == ("top", ("x", "y"))
    assert (described["b"].description, described["b"].tags) == ("below", ("z",))
    assert described["b"].default_queue_type == "quorum" and described["c"].default_queue_type is None
    assert topology.vhosts["/"].limits == {"max-queues": 4}


def test_the_parameter_counts_where_limits_of_a_vhost_stand_in_two_places() -> None:
    topology, plan = imported({
        "vhosts": [{"name": "v", "limits": [["max-queues", 1]]}],
        "parameters": [{"vhost": "v", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 2}}],
    })
    assert topology.vhosts["v"].limits == {"max-queues": 2} and plan.counts["parameters"] == 1


# users

def test_passwords() -> None:
    before = replica()
    kept = before.users["guest"].password_hash
    topology, _ = imported({"users": [
        {"name": "guest", "password": "guest", "tags": ""},
        {"name": "clear", "password": "secret", "tags": ""},
        {"name": "blank", "password": "", "tags": ""},
        {"name": "none", "tags": ""},
        {"name": "empty", "password_hash": "", "tags": ""},
        {"name": "old", "password_hash": hashed("p", "md5"), "administrator": True},
    ], "rabbit_version": "3.5.7"}, before)
    assert topology.users["guest"].password_hash == kept                    # it is that password
    assert topology.authenticate("clear", "secret")
    assert topology.users["clear"].hashing_algorithm == DEFAULT_ALGORITHM
    for name in ("blank", "none", "empty"):
        assert topology.users[name].password_hash == "" and not topology.authenticate(name, "")
    assert topology.authenticate("old", "p") and topology.users["old"].tags == ("administrator",)
    imported({"users": [{"name": "clear", "tags": "x"}]}, topology)
    assert not topology.authenticate("clear", "secret")                     # as in RabbitMQ: the password is cleared


# what is skipped

def test_reserved_names_and_exclusive_queues_are_skipped_with_their_bindings() -> None:
    _, plan = imported({
        "exchanges": [exchange("amq.mine"), exchange(""), exchange("amq.direct", type="fanout")],
        "queues": [queue("amq.gen-abc"), queue("mine", exclusive=True)],
        "bindings": [
            binding("x", "amq.gen-abc"), binding("amq.direct", "q"), binding("amq.mine", "q"), binding("x", "mine"),
            binding("", "q", routing_key="q"),
        ],
    })
    assert plan.ops == [] and plan.queues == []
    assert [one.source for one in plan.bindings] == ["amq.direct"]
    assert plan.warnings[0] == "Skipping import of an exchange whose name begins with 'amq.', name: amq.mine"
    assert "Skipping import of a queue whose name begins with 'amq.', name: amq.gen-abc" in plan.warnings
    assert "bindings[0]: skipped, as queue 'amq.gen-abc' in vhost '/' is missing" in plan.warnings
    assert len(plan.warnings) == 9


def test_bindings_of_what_is_missing_are_skipped_on_request() -> None:
    document = {"bindings": [binding("x", "gone"), binding("gone", "q"), binding("x", "q", routing_key="new")]}
    with pytest.raises(PreconditionFailed, match=r"bindings\[0\]: no queue 'gone' in vhost '/'"):
        plan_import(replica(), document)
    plan = plan_import(replica(), document, skip_missing=True)
    assert len(plan.bindings) == 1 and len(plan.warnings) == 2


def test_parameters_without_effect_are_kept_and_told() -> None:
    topology, plan = imported({
        "parameters": [{"vhost": "/", "component": "shovel", "name": "s", "value": {"src-uri": "amqp://"}}] * 2,
        "global_parameters": [
            {"name": "cluster_name", "value": "rabbit@h"}, {"name": "mqtt", "value": [["a", 1]]},
            {"name": "internal_cluster_id", "value": "x"}, {"name": "imported_definition_hash_value", "value": "x"},
        ],
    })
    assert plan.warnings == ["parameters of the component 'shovel' are kept and have no effect"]
    document = export_all(topology, ORIGIN)
    assert document["parameters"] == [
        {"vhost": "/", "component": "shovel", "name": "s", "value": {"src-uri": "amqp://"}}
    ]
    assert document["global_parameters"] == [
        {"name": "cluster_name", "value": "rabbit@h"}, {"name": "mqtt", "value": [["a", 1]]},
    ]


def test_unknown_fields_and_categories_are_ignored() -> None:
    _, plan = imported({"bananas": 5, "queues": [queue(node="rabbit@h", policy="p", type="classic")]})
    assert plan.counts == {"queues": 1} and plan.warnings == []


def test_warnings_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned_module, "WARNINGS_MAX", 3)
    _, plan = imported({"queues": [queue("q")] * 10})
    assert len(plan.warnings) == 4 and plan.warnings[-1] == "there are more warnings"


def test_queues_get_the_default_type_of_their_vhost() -> None:
    topology, _ = imported({
        "vhosts": [{"name": "v", "metadata": {"default_queue_type": "quorum"}}],
        "queues": [queue(vhost="v"), queue("t", vhost="v", durable=False)],
    })
    assert {name: one.arguments for name, one in topology.vhosts["v"].queues.items()} == {
        "new": {"x-queue-type": "quorum"}, "t": {"x-queue-type": "classic"},
    }


def test_values_that_look_like_our_own_encoding_are_plain_values() -> None:
    strange = {"$": "bytes", "value": "00ff", "deep": [{"$": "table", "value": 5}]}
    topology, _ = imported({"queues": [queue(arguments={"x": strange})]})
    assert topology.vhosts["/"].queues["new"].arguments == {"x": strange}
    assert export_all(topology, ORIGIN)["queues"][1]["arguments"] == {"x": strange}


def test_limits_that_come_with_the_document_do_not_count_for_its_own_queues() -> None:
    limits = {"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 1}}
    topology, _ = imported({"parameters": [limits], "queues": [queue("a"), queue("b")]})
    with pytest.raises(PreconditionFailed) as refusal:
        plan_import(topology, {"queues": [queue("a"), queue("c")]})
    assert refusal.value.text == (
        'Adding 1 queue(s) to virtual host "/" would exceed the limit of 1 queue(s).\n\n'
        "This virtual host currently has 4 queue(s) defined.\n\nImport aborted!"
    )


# what is refused

def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


REFUSALS: list[tuple[Any, str]] = [
    ([], "not_json: the definitions are not a JSON object"),
    ({"queues": {"a": 1}}, "queues is not a list"),
    ({"users": "abc"}, "users is not a list"),
    ({"users": None}, "users is not a list"),
    ({"queues": ["a"]}, "queues[0]: not an object"),
    ({"queues": [without(queue(), "name")]}, "queues[0]: name is missing"),
    ({"queues": [queue(), queue("")]}, "queues[1]: name is empty"),
    ({"queues": [queue("n" * 256)]}, "queues[0]: name is longer than 255 bytes"),
    ({"queues": [queue(5)]}, "queues[0]: name is not a text"),  # type: ignore[arg-type]
    ({"queues": [without(queue(), "vhost")]}, "are missing the virtual host field"),
    ({"bindings": [binding(vhost=None)]}, "are missing the virtual host field"),
    ({"queues": [queue(vhost="nov")]}, 'queues[0]: Please create virtual host "nov" prior to importing definitions.'),
    ({"queues": [queue(durable="yes")]}, "queues[0]: durable is not true or false"),
    ({"queues": [queue(auto_delete=0)]}, "queues[0]: auto_delete is not true or false"),
    ({"queues": [queue(arguments="foo")]}, "queues[0]: arguments is not an object"),
    ({"queues": [queue(arguments=[1])]}, "queues[0]: arguments is not an object"),
    ({"queues": [queue(arguments={"a": [1 << 63]})]}, "queues[0]: arguments has a number that does not fit 64 bits"),
    ({"queues": [queue(arguments={"a": {"n" * 256: 1}})]}, "queues[0]: arguments has a name that is longer than 255"),
    (
        {"queues": [queue(arguments={"x-max-length": "a"})]},
        "queues[0]: invalid arg 'x-max-length' for queue 'new' in vhost '/': \"expected integer, got longstr\"",
    ),
    ({"queues": [queue(arguments={"x-queue-type": "fast"})]}, "queues[0]: invalid arg 'x-queue-type'"),
    ({"queues": [queue(durable=False, arguments={"x-queue-type": "quorum"})]}, "invalid property 'non-durable'"),
    ({"exchanges": [exchange(type="foo")]}, "exchanges[0]: unknown exchange type 'foo'"),
    ({"exchanges": [without(exchange(), "type")]}, "exchanges[0]: type is missing"),
    ({"exchanges": [exchange(arguments={"alternate-exchange": 5})]}, "exchanges[0]: invalid type 'signedint' for arg"),
    (
        {"exchanges": [exchange(type="x-delayed-message")]},
        "exchanges[0]: Invalid argument, 'x-delayed-type' must be an existing exchange type",
    ),
    (
        {"exchanges": [exchange(type="x-consistent-hash")], "bindings": [binding("new", routing_key="many")]},
        "bindings[0]: The binding key must be an integer",
    ),
    ({"bindings": [binding(destination="noq")]}, "bindings[0]: no queue 'noq' in vhost '/'"),
    ({"bindings": [binding("nox")]}, "bindings[0]: no exchange 'nox' in vhost '/'"),
    ({"bindings": [binding(destination_type="foo")]}, "bindings[0]: destination_type is neither 'queue' nor"),
    ({"bindings": [binding(destination_type="exchange")]}, "bindings[0]: no exchange 'q' in vhost '/'"),
    ({"bindings": [binding(routing_key="k" * 256)]}, "bindings[0]: routing_key is longer than 255 bytes"),
    ({"bindings": [binding("amq.headers", arguments={"x-match": "most"})]}, "bindings[0]: Invalid x-match field value"),
    ({"permissions": [permission(user="nobody")]}, "permissions[0]: no user 'nobody'"),
    ({"permissions": [permission(vhost="nov")]}, 'permissions[0]: Please create virtual host "nov"'),
    ({"permissions": [permission(configure="(")]}, "permissions[0]: configure: invalid regular expression '('"),
    ({"permissions": [without(permission(), "read")]}, "permissions[0]: read is missing"),
    ({"topic_permissions": [permission(user="nobody", exchange="e")]}, "topic_permissions[0]: no user 'nobody'"),
    ({"topic_permissions": [permission()]}, "topic_permissions[0]: exchange is missing"),
    ({"users": [without(user(), "tags")]}, "users[0]: tags_not_present"),
    ({"users": [user(tags=5)]}, "users[0]: the tags of a user are a list of words"),
    ({"users": [user(tags=[str(n) for n in range(33)])]}, "users[0]: too_many_tags"),
    ({"users": [user(password="p")]}, "users[0]: both_password_and_password_hash_are_provided"),
    ({"users": [user(password_hash="???")]}, "users[0]: password_hash is not a hash of rabbit_password_hashing_sha256"),
    ({"users": [user(password_hash="aGVsbG8=")]}, "users[0]: password_hash is not a hash of"),
    ({"users": [user(hashing_algorithm="foo")]}, "users[0]: password_hash is not a hash of foo"),
    ({"users": [user(hashing_algorithm="rabbit_password_hashing_md5")]}, "users[0]: password_hash is not a hash of"),
    ({"users": [user(limits={"max-x": 1})]}, 'users[0]: Unrecognised terms [{<<"max-x">>,1}] in user-limits'),
    ({"users": [user("")]}, "users[0]: name is empty"),
    ({"vhosts": [{}]}, "vhosts[0]: name is missing"),
    ({"vhosts": [{"name": ""}]}, "vhosts[0]: name is empty"),
    ({"vhosts": [{"name": "v", "default_queue_type": "fast"}]}, "vhosts[0]: fast is not a valid queue type"),
    ({"vhosts": [{"name": "v", "limits": {"max-x": 1}}]}, "vhosts[0]: Unrecognised terms"),
    (
        {"parameters": [{"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": "x"}}]},
        'parameters[0]: max-queues should be a number, actually was <<"x">>',
    ),
    (
        {"parameters": [{"vhost": "/", "component": "policy", "name": "p", "value": {}}]},
        "parameters[0]: policies may not be set using this method",
    ),
    (
        {"parameters": [{"vhost": "/", "component": "operator_policy", "name": "p", "value": {"pattern": "("}}]},
        "parameters[0]: Validation failed",
    ),
    ({"policies": [{"vhost": "/", "name": "p", "pattern": "("}]}, "policies[0]: Validation failed"),
    ({"policies": [{"vhost": "nov", "name": "p"}]}, 'policies[0]: Please create virtual host "nov"'),
    ({"global_parameters": [{"value": 1}]}, "global_parameters[0]: name is missing"),
]


@pytest.mark.parametrize(("document", "text"), REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(document: Any, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refusal:
        plan_import(replica(), document)
    assert text in refusal.value.text


def test_a_vhost_to_import_into_has_to_be_there() -> None:
    with pytest.raises(PreconditionFailed, match='Please create virtual host "nov"'):
        plan_import(replica(), {}, "nov")


JUNK: list[Any] = [None, True, -1, 1.5, "", "text", "n" * 300, [], [[]], [1, "a"], {}, {"a": None}, [["a", 1]]]


@pytest.mark.parametrize("category", [
    "users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies", "queues",
    "exchanges", "bindings",
])  # fmt: skip
def test_any_value_in_any_field_is_taken_or_refused(category: str) -> None:
    """Never another error, whatever stands where."""
    whole = everything()
    refused = 0
    for value in JUNK:
        for row in whole[category][:3]:
            for key in row:
                refused += _takes({**whole, category: [{**row, key: value}]})
        refused += _takes({**whole, category: [value]}) + _takes({**whole, category: value})
    assert refused > len(JUNK)


def _takes(document: dict[str, Any]) -> bool:
    """Whether it is refused."""
    try:
        plan_import(replica(), document)
    except PreconditionFailed:
        return True
    return False

