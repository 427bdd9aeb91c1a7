"""policy.explain: what holds for a queue, where each value is from, and what became of each policy that fits it."""
from __future__ import annotations

from amqp091.errors import NotFound
from amqp091.tables import to_json
from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import existing_vhost
from broker.catalog.requests.policy import applied_fields
from topology.arguments import known_arguments
from topology.definitions import described_policy
from topology.effective import (
    ARGUMENT,
    ARGUMENT_PREFIX,
    DEFAULT,
    OPERATOR_POLICY,
    POLICY,
    Resolved,
    Source,
    defaults,
)
from topology.model import QUEUE
from topology.names import described
from topology.policies import Applied, Rule, VhostPolicies


async def explain(catalog: Catalog, message: Message) -> Message:
    """Of the queue `name` in `vhost`.

    {"vhost", "name", "type", "policy", "operator_policy", "effective_policy_definition",
     "values": [{"key", "value", "source", "name", "lost": [{"value", "source", "name"}]}],
     "policies": [{"kind", "name", "priority", "pattern", "apply-to", "definition", "wins": [key],
                   "loses": [{"key", "to": {"value", "source", "name"}}], "idle": [key], "not_for_type": [key]}]}

    Policies come in order, strongest first, those of operators last. `idle` keys do nothing for a queue of this type;
    with keys in `not_for_type` a policy fits the queue by its name, but does not apply.
    """
    vhost = existing_vhost(catalog, message)
    queue = vhost.queues.get(message["name"])
    if queue is None:
        raise NotFound(f"no {described(QUEUE, message['name'], vhost.vhost.name)}")
    applied = vhost.policies.of_queue(queue)
    values = _values(applied)
    rules = [*_fitting(vhost.policies, applied, False), *_fitting(vhost.policies, applied, True)]
    return {
        "vhost": queue.vhost, "name": queue.name, "type": applied.queue_type, **applied_fields(applied),
        "values": [
            {"key": key, **_source(value.source), "lost": [_source(one) for one in value.lost]}
            for key, value in values.items()
        ],
        "policies": [_fate(rule, applied, values) for rule in rules],
    }


def _values(applied: Applied) -> dict[str, Resolved]:
    """Every key that somebody set or that does something where nobody does, and the other arguments, in order."""
    arguments = applied.queue.arguments
    values = {
        key: Resolved(Source(DEFAULT, None, value), ()) for key, value in defaults(applied.queue_type).items()
    }
    for argument in known_arguments(arguments):
        if argument in arguments:
            key = argument.removeprefix(ARGUMENT_PREFIX)
            values[key] = Resolved(Source(ARGUMENT, None, arguments[argument]), ())
    values.update(applied.resolved())
    return {key: values[key] for key in sorted(values)}


def _fitting(policies: VhostPolicies, applied: Applied, operator: bool) -> list[Rule]:
    """The rules that mean the queue by its name and its type, whether or not they apply."""
    return [
        rule for rule in policies.rules(operator)
        if applied.queue_type in rule.named_types and rule.fits(applied.queue.name)
    ]


def _fate(rule: Rule, applied: Applied, values: dict[str, Resolved]) -> Message:
    policy = rule.policy
    kind = OPERATOR_POLICY if policy.operator else POLICY
    strangers = rule.strangers(applied.queue_type)
    wins, loses, idle = [], [], []
    for key in () if strangers else sorted(policy.definition):
        value = values.get(key)
        if value is None:
            idle.append(key)
        elif value.source.kind == kind and value.source.name == policy.name:
            wins.append(key)
        else:
            loses.append({"key": key, "to": _source(value.source)})
    return {
        "kind": kind, **described_policy(policy), "wins": wins, "loses": loses, "idle": idle, "not_for_type": strangers,
    }


def _source(source: Source) -> Message:
    return {"value": to_json({"": source.value})[""], "source": source.kind, "name": source.name}
