"""Limits of virtual hosts and users."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import orjson

from broker.commands.accounts import vhost_option
from broker.commands.client import BrokerClient, data_option

ALL: Final = "all"


@click.command("set-vhost-limits")
@click.argument("limits")
@vhost_option
@data_option
def set_vhost_limits(limits: str, vhost: str, data: Path) -> None:
    """Limit a virtual host: LIMITS is JSON such as '{"max-connections": 100, "max-queues": 50}'; -1 is no limit."""
    BrokerClient(data).catalog("vhost_limits.set", vhost=vhost, limits=_parsed(limits))
    click.echo(f"limits of vhost {vhost!r} set")


@click.command("clear-vhost-limits")
@vhost_option
@data_option
def clear_vhost_limits(vhost: str, data: Path) -> None:
    """Lift all limits of a virtual host."""
    answer = BrokerClient(data).catalog("vhost_limits.clear", vhost=vhost)
    click.echo(f"limits of vhost {vhost!r} cleared" if answer["deleted"] else "not there")


@click.command("set-user-limits")
@click.argument("user")
@click.argument("limits")
@data_option
def set_user_limits(user: str, limits: str, data: Path) -> None:
    """Limit a user: LIMITS is JSON such as '{"max-connections": 10, "max-channels": 40}'; -1 is no limit.

    Limits that are not named stay as they are.
    """
    BrokerClient(data).catalog("user_limits.set", user=user, limits=_parsed(limits))
    click.echo(f"limits of user {user!r} set")


@click.command("clear-user-limits")
@click.argument("user")
@click.argument("limit", default=ALL)
@data_option
def clear_user_limits(user: str, limit: str, data: Path) -> None:
    """Lift one LIMIT of a user, or all of them."""
    named = {} if limit == ALL else {"limit": limit}
    answer = BrokerClient(data).catalog("user_limits.clear", user=user, **named)
    click.echo(f"limits of user {user!r} cleared" if answer["deleted"] else "not there")


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise click.ClickException(f"the limits are not JSON: {error}") from None


COMMANDS: Final = (set_vhost_limits, clear_vhost_limits, set_user_limits, clear_user_limits)
