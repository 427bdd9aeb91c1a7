"""Purging and deleting queues and exchanges."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from broker.commands.client import BrokerClient, data_option

vhost_option = click.option("--vhost", default="/", show_default=True, help="Virtual host.")


@click.command("purge-queue")
@click.argument("name")
@vhost_option
@data_option
def purge_queue(name: str, vhost: str, data: Path) -> None:
    """Drop the ready messages of a queue; what is delivered and unacknowledged stays."""
    client = BrokerClient(data)
    queue = queue_named(client, vhost, name)
    answer = client.call("shard", queue["shard"], {"verb": "purge_queue", "queue_id": queue["queue_id"]})[0]
    click.echo(f"{answer['message_count']} messages purged")


@click.command("delete-queue")
@click.argument("name")
@vhost_option
@click.option("--if-unused", is_flag=True, help="Only without consumers.")
@click.option("--if-empty", is_flag=True, help="Only without ready messages.")
@data_option
def delete_queue(name: str, vhost: str, if_unused: bool, if_empty: bool, data: Path) -> None:
    """Delete a queue with its messages."""
    client = BrokerClient(data)
    queue = queue_named(client, vhost, name)
    answer = client.catalog(
        "queue.delete", vhost=vhost, name=name, queue_id=queue["queue_id"], if_unused=if_unused, if_empty=if_empty
    )
    click.echo(f"queue {name!r} deleted, with {answer.get('message_count', 0)} messages")


@click.command("delete-exchange")
@click.argument("name")
@vhost_option
@click.option("--if-unused", is_flag=True, help="Only without bindings.")
@data_option
def delete_exchange(name: str, vhost: str, if_unused: bool, data: Path) -> None:
    """Delete an exchange and its bindings."""
    BrokerClient(data).catalog("exchange.delete", vhost=vhost, name=name, if_unused=if_unused)
    click.echo(f"exchange {name!r} deleted")


def queue_named(client: BrokerClient, vhost: str, name: str) -> dict[str, Any]:
    for queue in client.catalog("list", what="queues", vhost=vhost)["items"]:
        if queue["name"] == name:
            found: dict[str, Any] = queue
            return found
    raise click.ClickException(f"no queue {name!r} in vhost {vhost!r}")


COMMANDS: Final = (purge_queue, delete_queue, delete_exchange)
