"""The policies of one vhost: which apply to a queue or an exchange, and what comes of them.

Several may apply: they are in order of priority, highest first, among equals by name. What was found for a queue is
kept until the queue goes; a policy that is set or cleared is matched against those queues once, and none of the other
policies is looked at again. A policy with a key that a queue's type does not know does not apply to the queue, as in
RabbitMQ; the next one may.

Never decides whether a policy is allowed (topology/policy_checks.py). How values are merged is topology/effective.py's.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from topology.arguments import CLASSIC, QUORUM, STREAM, queue_type_of
from topology.effective import Resolved, effective_features, merged, resolved
from topology.features import QueueFeatures
from topology.model import ALTERNATE_EXCHANGE, DEFAULT_EXCHANGE, Exchange, Policy, Queue
from topology.patterns import InvalidPattern, compiled
from topology.policy_checks import ALL, APPLY_TO_TYPE, EXCHANGES, QUEUES
from topology.policy_keys import KEYS

EVERYTHING: Final = "(?:)"
"""What an empty pattern stands for here; in a permission it is "nothing"."""
QUEUE_TYPES: Final = (CLASSIC, QUORUM, STREAM)


class Rule:
    """A policy, ready to be matched."""

    __slots__ = ("_of_exchanges", "_search", "_types", "named_types", "order", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.order = (-policy.priority, policy.name)
        self._of_exchanges = policy.apply_to in (EXCHANGES, ALL)
        self.named_types = (
            QUEUE_TYPES if policy.apply_to in (QUEUES, ALL)
            else (APPLY_TO_TYPE[policy.apply_to],) if policy.apply_to in APPLY_TO_TYPE else ()
        )
        self._types = tuple(kind for kind in self.named_types if not self.strangers(kind))
        try:
            self._search = compiled(policy.pattern or EVERYTHING).search
        except InvalidPattern:          # set by a program that knew it; matches nothing
            self._types, self._of_exchanges, self.named_types = (), False, ()

    def strangers(self, queue_type: str) -> list[str]:
        """The keys that keep this policy from a queue of this type."""
        return [
            key for key in self.policy.definition if key in KEYS and queue_type in KEYS[key].unknown_to
        ]

    def fits(self, name: str) -> bool:
        return self._search(name) is not None

    def applies_to_queue(self, queue_type: str, name: str) -> bool:
        return queue_type in self._types and self._search(name) is not None

    def applies_to_exchange(self, name: str) -> bool:
        return self._of_exchanges and self._search(name) is not None


@dataclass(slots=True)
class Applied:
    """The rules that apply to one queue, in order."""

    queue: Queue
    queue_type: str
    rules: tuple[Rule, ...] = ()
    operator_rules: tuple[Rule, ...] = ()
    features: QueueFeatures | None = None       # None: to be worked out

    def of(self, operator: bool) -> tuple[Rule, ...]:
        return self.operator_rules if operator else self.rules

    def put(self, operator: bool, rules: Iterable[Rule]) -> None:
        """Other rules of one kind, in any order."""
        in_order = tuple(sorted(rules, key=_order))
        self.features = None
        if operator:
            self.operator_rules = in_order
        else:
            self.rules = in_order

    @property
    def policies(self) -> list[Policy]:
        return [rule.policy for rule in self.rules]

    @property
    def operator_policies(self) -> list[Policy]:
        return [rule.policy for rule in self.operator_rules]

    def merged(self) -> dict[str, Resolved]:
        """What the policies come to, without the arguments: RabbitMQ's effective_policy_definition."""
        return merged(self.policies, self.operator_policies)

    def resolved(self) -> dict[str, Resolved]:
        """What holds for the queue, key by key."""
        return resolved(self.queue.arguments, self.policies, self.operator_policies)


class VhostPolicies:
    """Owns the policies of a vhost, and what was found for its queues and exchanges."""

    def __init__(self) -> None:
        self._rules: dict[tuple[bool, str], Rule] = {}          # by (operator, name)
        self._applied: dict[int, Applied] = {}                  # by queue id
        self._without_arguments: dict[tuple[tuple[Rule, ...], tuple[Rule, ...]], QueueFeatures] = {}
        self._alternates: dict[str, str | None] = {}            # by exchange

    # changes

    def set(self, policy: Policy) -> None:
        key = (policy.operator, policy.name)
        self._replace(key, self._rules.get(key), Rule(policy))

    def clear(self, operator: bool, name: str) -> None:
        self._replace((operator, name), self._rules.get((operator, name)), None)

    def _replace(self, key: tuple[bool, str], old: Rule | None, new: Rule | None) -> None:
        if new is not None:
            self._rules[key] = new
        elif old is not None:
            del self._rules[key]
        self._without_arguments.clear()
        self._alternates.clear()
        operator = key[0]
        for applied in self._applied.values():
            before = applied.of(operator)
            after = [rule for rule in before if rule is not old]
            if new is not None and new.applies_to_queue(applied.queue_type, applied.queue.name):
                after.append(new)
            elif len(after) == len(before):
                continue
            applied.put(operator, after)

    def forget_queue(self, queue_id: int) -> None:
        self._applied.pop(queue_id, None)

    # questions

    def get(self, operator: bool, name: str) -> Policy | None:
        rule = self._rules.get((operator, name))
        return rule.policy if rule else None

    def policies(self, operator: bool) -> list[Policy]:
        """In order."""
        return [rule.policy for rule in self.rules(operator)]

    def rules(self, operator: bool) -> list[Rule]:
        """In order."""
        return sorted((rule for (of_operator, _), rule in self._rules.items() if of_operator == operator), key=_order)

    def __iter__(self) -> Iterator[Policy]:
        return iter([rule.policy for rule in self._rules.values()])

    def of_queue(self, queue: Queue) -> Applied:
        """The policies that apply to a queue of this vhost."""
        applied = self._applied.get(queue.queue_id)
        if applied is None:
            applied = Applied(queue, queue_type_of(queue.arguments))
            for operator in (False, True) if self._rules else ():
                applied.put(operator, (
                    rule for (of_operator, _), rule in self._rules.items()
                    if of_operator == operator and rule.applies_to_queue(applied.queue_type, queue.name)
                ))
            self._applied[queue.queue_id] = applied
        return applied

    def features(self, queue: Queue) -> QueueFeatures:
        """What the queue does, by its arguments and all policies. Costs a look-up but for the first time."""
        applied = self.of_queue(queue)
        if applied.features is None:
            applied.features = self._features_of(applied)
        return applied.features

    def _features_of(self, applied: Applied) -> QueueFeatures:
        """Queues without arguments, which are most, have the same where the same rules apply."""
        rules = (applied.rules, applied.operator_rules)
        features = None if applied.queue.arguments else self._without_arguments.get(rules)
        if features is None:
            features = effective_features(applied.queue.arguments, applied.policies, applied.operator_policies)
            if not applied.queue.arguments:
                self._without_arguments[rules] = features
        return features

    def of_exchange(self, name: str, operator: bool = False) -> list[Policy]:
        """The policies that apply to an exchange, in order."""
        return [rule.policy for rule in self.rules(operator) if rule.applies_to_exchange(name)]

    def alternate(self, exchange: Exchange) -> str | None:
        """The exchange that gets what this one cannot route, by its argument or by a policy."""
        if exchange.alternate is not None or not self._rules:
            return exchange.alternate
        if exchange.name not in self._alternates:
            self._alternates[exchange.name] = None if exchange.name == DEFAULT_EXCHANGE else _first(
                self.of_exchange(exchange.name), ALTERNATE_EXCHANGE
            )
        return self._alternates[exchange.name]

    def forget_exchange(self, name: str) -> None:
        self._alternates.pop(name, None)


def _order(rule: Rule) -> tuple[float, str]:
    return rule.order


def _first(policies: Iterable[Policy], key: str) -> Any:
    return next((policy.definition[key] for policy in policies if key in policy.definition), None)


def plain(values: Mapping[str, Resolved]) -> dict[str, Any]:
    """A definition without the sources of its values."""
    return {key: value.value for key, value in values.items()}
