"""Users, vhosts, parameters, policies and permissions of a document: what replaces those of the same name."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from topology import changes
from topology.definitions.accounts import user_of, vhost_of
from topology.definitions.exporting import OPERATOR_POLICY, is_internal
from topology.definitions.items import Item
from topology.definitions.planned import Planned
from topology.limits import OF_VHOSTS, VHOST_LIMITS, checked
from topology.model import Permission, Policy, TopicPermission
from topology.patterns import InvalidPattern, compiled
from topology.policy_checks import checked_policy

POLICY: Final = "policy"


def user(planned: Planned, item: Item) -> None:
    existing = planned.users.get(item.name())
    wanted = user_of(item, existing, planned.document)
    planned.users[wanted.name] = wanted
    planned.plan.change("users", changes.user_add(wanted), changes.user_add(existing) if existing else None)


def vhost(planned: Planned, item: Item) -> None:
    existing = planned.vhosts.get(item.name())
    wanted = vhost_of(item, existing)
    planned.vhosts[wanted.name] = wanted
    planned.plan.change("vhosts", changes.vhost_put(wanted), changes.vhost_put(existing) if existing else None)
    if item.values.get("limits"):
        planned.parameters[wanted.name, *VHOST_LIMITS] = _limits(item, item.values["limits"])


def global_parameter(planned: Planned, item: Item) -> None:
    name, before = item.name(), planned.topology.global_parameters
    if not is_internal(name):
        planned.plan.change(
            "global_parameters", changes.global_parameter_set(name, item.values.get("value")),
            changes.global_parameter_set(name, before[name]) if name in before else None,
        )


def parameter(planned: Planned, item: Item) -> None:
    """Operator policies and limits of vhosts are parameters; others are kept for whoever asks for them."""
    name_of_vhost, component, name = planned.vhost_of(item), item.name("component"), item.name()
    value = item.values.get("value")
    if component == POLICY:
        raise item.refusal("policies may not be set using this method")
    if component == OPERATOR_POLICY:
        _set_policy(planned, item, name_of_vhost, name, value if isinstance(value, dict) else {}, operator=True)
        return
    if component == VHOST_LIMITS[0]:
        value = _limits(item, value)
    else:
        planned.without_effect.add(component)
    planned.parameters[name_of_vhost, component, name] = value


def _limits(item: Item, value: Any) -> dict[str, int]:
    return item.checked(lambda: checked(value, OF_VHOSTS, VHOST_LIMITS[1]))


def set_parameters(planned: Planned) -> None:
    """Each once: limits of a vhost may stand in two places, of which the parameter counts."""
    for (name_of_vhost, component, name), value in planned.parameters.items():
        existing = planned.existing(name_of_vhost)
        before = existing.parameters.get((component, name)) if existing else None
        planned.plan.change(
            "parameters", changes.parameter_set(name_of_vhost, component, name, value),
            None if before is None else changes.parameter_set(name_of_vhost, component, name, before),
        )
    for component in sorted(planned.without_effect):
        planned.plan.warn(f"parameters of the component '{component}' are kept and have no effect")


def policy(planned: Planned, item: Item) -> None:
    _set_policy(planned, item, planned.vhost_of(item), item.name(), item.values, operator=False)


def _set_policy(
    planned: Planned, item: Item, name_of_vhost: str, name: str, fields: Mapping[str, Any], *, operator: bool
) -> None:
    wanted: Policy = item.checked(lambda: checked_policy(name_of_vhost, name, fields, operator=operator))
    existing = planned.existing(name_of_vhost)
    before = existing.policies.get(operator, name) if existing else None
    planned.plan.change(
        "operator policies" if operator else "policies", changes.policy_set(wanted),
        changes.policy_set(before) if before else None,
    )


def permission(planned: Planned, item: Item) -> None:
    name_of_vhost, name_of_user = planned.vhost_of(item), planned.user_of(item)
    wanted = Permission(*(_pattern(item, key) for key in ("configure", "write", "read")))
    existing = planned.existing(name_of_vhost)
    before = existing.permissions.get(name_of_user) if existing else None
    planned.plan.change(
        "permissions", changes.permission_set(name_of_user, name_of_vhost, wanted),
        changes.permission_set(name_of_user, name_of_vhost, before) if before else None,
    )


def topic_permission(planned: Planned, item: Item) -> None:
    name_of_vhost, name_of_user = planned.vhost_of(item), planned.user_of(item)
    exchange = item.short("exchange")
    wanted = TopicPermission(*(_pattern(item, key) for key in ("write", "read")))
    existing = planned.existing(name_of_vhost)
    before = existing.topic_permissions.get((name_of_user, exchange)) if existing else None
    planned.plan.change(
        "topic_permissions", changes.topic_permission_set(name_of_user, name_of_vhost, exchange, wanted),
        changes.topic_permission_set(name_of_user, name_of_vhost, exchange, before) if before else None,
    )


def _pattern(item: Item, key: str) -> str:
    pattern = item.text(key)
    try:
        compiled(pattern)
    except InvalidPattern as problem:
        raise item.refusal(f"{key}: {problem}") from None
    return pattern
