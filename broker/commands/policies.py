"""Policies and operator policies: setting, clearing, and why a queue does what it does."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import orjson

from broker.commands.client import BrokerClient, data_option
from broker.commands.output import format_option, rows_table, show
from topology.policy_checks import ALL, APPLY_TO

vhost_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "-p", "--vhost", default="/", show_default=True, help="Virtual host."
)
NONE: Final = "-"


def _definition(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        raise click.ClickException(f"JSON decoding error. Reason: {problem}") from None


class Priority(click.ParamType[float]):
    """A number, whole or not."""

    name = "number"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        for kind in (int, float):
            try:
                number: float = kind(value)
            except ValueError:
                continue
            if math.isfinite(number):
                return number
        self.fail(f"{value!r}: the priority must be a number", parameter, context)


def _setter(command: str, verb: str, what: str, help_text: str) -> click.Command:
    @click.command(command, help=help_text)
    @click.argument("name")
    @click.argument("pattern")
    @click.argument("definition")
    @vhost_option
    @click.option("--priority", type=Priority(), default=0, show_default=True, help="The higher one wins.")
    @click.option("--apply-to", default=ALL, show_default=True, help=", ".join(APPLY_TO))
    @data_option
    def set_policy(
        name: str, pattern: str, definition: str, vhost: str, priority: float, apply_to: str, data: Path
    ) -> None:
        fields = {
            "pattern": pattern, "definition": _definition(definition), "priority": priority, "apply-to": apply_to,
        }
        BrokerClient(data).catalog(verb, vhost=vhost, name=name, **fields)
        click.echo(f"{what} {name!r} in vhost {vhost!r} set")

    return set_policy


def _clearer(command: str, verb: str, what: str, help_text: str) -> click.Command:
    @click.command(command, help=help_text)
    @click.argument("name")
    @vhost_option
    @data_option
    def clear_policy(name: str, vhost: str, data: Path) -> None:
        answer = BrokerClient(data).catalog(verb, vhost=vhost, name=name)
        click.echo(f"{what} {name!r} in vhost {vhost!r} cleared" if answer["deleted"] else "not there")

    return clear_policy


@click.command("show-policy")
@click.argument("queue")
@vhost_option
@data_option
@format_option
def show_policy(queue: str, vhost: str, data: Path, output_format: str) -> None:
    """Show every value that holds for a queue and where it is from, and what became of each policy that fits it."""
    answer = BrokerClient(data).catalog("policy.explain", vhost=vhost, name=queue)
    answer = {key: value for key, value in answer.items() if key not in ("role", "index")}      # who answered
    show(answer, output_format, lambda: _explained(answer))


def _explained(answer: dict[str, Any]) -> str:
    values = [
        {
            "key": value["key"], "value": _shown(value["value"]), "from": _from(value),
            "instead of": "; ".join(f"{_shown(lost['value'])} ({_from(lost)})" for lost in value["lost"]),
        }
        for value in answer["values"]
    ]
    policies = [
        {
            "": policy["kind"], "name": policy["name"], "priority": policy["priority"], "pattern": policy["pattern"],
            "apply to": policy["apply-to"], "what became of it": _fate(policy, answer["type"]),
        }
        for policy in answer["policies"]
    ]
    title = f"queue '{answer['name']}' in vhost '{answer['vhost']}', {answer['type']}"
    parts = [title, rows_table(values, ("key", "value", "from", "instead of"))]
    if policies:
        parts.append(rows_table(policies, ("", "name", "priority", "pattern", "apply to", "what became of it")))
    else:
        parts.append("no policy fits it")
    return "\n\n".join(parts)


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _from(source: dict[str, Any]) -> str:
    return source["source"] if source["name"] is None else f"{source['source']} '{source['name']}'"


def _fate(policy: dict[str, Any], queue_type: str) -> str:
    if policy["not_for_type"]:
        return f"does not apply: a {queue_type} queue knows no {', '.join(policy['not_for_type'])}"
    parts = [f"sets {', '.join(policy['wins'])}"] if policy["wins"] else []
    parts += [f"{lost['key']} lost to {_from(lost['to'])}" for lost in policy["loses"]]
    parts += [f"{', '.join(policy['idle'])} without effect on a {queue_type} queue"] if policy["idle"] else []
    return "; ".join(parts)


COMMANDS: Final = (
    _setter(
        "set-policy", "policy.set", "policy",
        "Set a policy: DEFINITION (a JSON object) holds for the queues and exchanges whose names fit PATTERN.",
    ),
    _clearer("clear-policy", "policy.clear", "policy", "Clear a policy."),
    _setter(
        "set-operator-policy", "operator_policy.set", "operator policy",
        "Set an operator policy: limits that neither policies nor arguments exceed.",
    ),
    _clearer("clear-operator-policy", "operator_policy.clear", "operator policy", "Clear an operator policy."),
    show_policy,
)
