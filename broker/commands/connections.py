"""Closing connections."""
from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from broker.commands.client import BrokerClient, data_option

DEFAULT_REASON: Final = "broker forced connection closure"


@click.command("close-connection")
@click.argument("connection_id")
@click.option("--reason", default=DEFAULT_REASON, show_default=True, help="Told to the client.")
@data_option
def close_connection(connection_id: str, reason: str, data: Path) -> None:
    """Close a connection (its id as in `warren list connections`) with 320 CONNECTION_FORCED."""
    gateway, _, rest = connection_id.removeprefix("g").partition(".")
    if not connection_id.startswith("g") or not gateway.isdecimal() or not rest:
        raise click.ClickException(f"{connection_id!r} is not the id of a connection; they look like g0.1.17")
    message = {"verb": "close_connection", "id": connection_id, "reason": reason}
    BrokerClient(data).call("gateway", int(gateway), message)
    click.echo(f"connection {connection_id} closed")


COMMANDS: Final = (close_connection,)
