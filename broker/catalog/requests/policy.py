"""policy.set, policy.clear, operator_policy.set, operator_policy.clear."""
from __future__ import annotations

from broker.catalog.core import Catalog, Message
from broker.catalog.requests.checks import existing_vhost, new_name
from topology import changes
from topology.policies import Applied, plain
from topology.policy_checks import checked_policy


async def set_policy(catalog: Catalog, message: Message) -> Message:
    return await _set(catalog, message, operator=False)


async def set_operator_policy(catalog: Catalog, message: Message) -> Message:
    return await _set(catalog, message, operator=True)


async def _set(catalog: Catalog, message: Message, *, operator: bool) -> Message:
    """`name`, `pattern`, `definition` (a JSON object) and perhaps `priority` and `apply-to`; replaces the policy."""
    vhost = existing_vhost(catalog, message)
    policy = checked_policy(vhost.vhost.name, new_name(message, "policy"), message, operator=operator)
    existing = vhost.policies.get(operator, policy.name)
    if existing is not None and changes.policy_set(existing) == changes.policy_set(policy):
        await catalog.settled()
        return {"created": False}
    decision = catalog.decide()
    decision.add(changes.policy_set(policy))
    await decision.settle()
    return {"created": existing is None}


async def clear_policy(catalog: Catalog, message: Message) -> Message:
    return await _clear(catalog, message, operator=False)


async def clear_operator_policy(catalog: Catalog, message: Message) -> Message:
    return await _clear(catalog, message, operator=True)


async def _clear(catalog: Catalog, message: Message, *, operator: bool) -> Message:
    policy = existing_vhost(catalog, message).policies.get(operator, message["name"])
    if policy is None:
        await catalog.settled()
        return {"deleted": False}
    decision = catalog.decide(frees=True)
    decision.add(changes.policy_clear(policy))
    await decision.settle()
    return {"deleted": True}


def applied_fields(applied: Applied) -> Message:
    """What a list of queues says of policies: the strongest of each kind, and what all of them come to."""
    return {
        "policy": applied.rules[0].policy.name if applied.rules else None,
        "operator_policy": applied.operator_rules[0].policy.name if applied.operator_rules else None,
        "effective_policy_definition": plain(applied.merged()),
    }
