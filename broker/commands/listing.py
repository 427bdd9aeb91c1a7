"""`warren list`: what exists, from the catalog, and what is going on, from gateways and shards."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from broker.commands.client import BrokerClient, data_option
from broker.commands.output import format_option, rows_table, show
from topology.limits import MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES

Row = dict[str, Any]

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "queues": ("vhost", "name", "durable", "auto_delete", "exclusive", "messages", "messages_ready",
               "messages_unacknowledged", "consumers", "single_active_consumer_tag", "shard", "arguments", "policy",
               "operator_policy", "effective_policy_definition"),
    "exchanges": ("vhost", "name", "type", "durable", "auto_delete", "internal", "arguments"),
    "bindings": ("vhost", "source", "destination_type", "destination", "routing_key", "arguments"),
    "vhosts": ("name", "description", "tags", "default_queue_type", "queues", "exchanges"),
    "users": ("name", "tags"),
    "permissions": ("vhost", "user", "configure", "write", "read"),
    "policies": ("vhost", "name", "pattern", "apply-to", "definition", "priority"),
    "operator-policies": ("vhost", "name", "pattern", "apply-to", "definition", "priority"),
    "topic-permissions": ("vhost", "user", "exchange", "write", "read"),
    "vhost-limits": ("vhost", MAX_CONNECTIONS, MAX_QUEUES),
    "user-limits": ("user", MAX_CONNECTIONS, MAX_CHANNELS),
    "connections": ("id", "user", "vhost", "name", "state", "channels", "gateway"),
    "channels": ("connection", "number", "user", "vhost", "consumer_count", "messages_unacknowledged",
                 "prefetch_count", "confirm", "transactional", "gateway"),
    "consumers": ("connection", "channel", "consumer_tag", "vhost", "queue", "ack_required", "exclusive",
                  "prefetch_count", "active", "gateway"),
}
EMPTY_IS_UNKNOWN: Final = frozenset({"policy", "operator_policy", "effective_policy_definition"})
"""Columns that a table leaves out where no row has a value."""
FROM_GATEWAYS: Final = frozenset({"connections", "channels", "consumers"})


@click.command("list")
@click.argument("what", type=click.Choice(list(COLUMNS)))
@click.option("-p", "--vhost", help="Only of this virtual host.")
@data_option
@format_option
def list_objects(what: str, vhost: str | None, data: Path, output_format: str) -> None:
    """List what there is of one kind, in all virtual hosts or in one."""
    client = BrokerClient(data)
    rows = _rows(client, what, vhost)
    show(rows, output_format, lambda: rows_table(rows, _present(COLUMNS[what], rows)))


def _rows(client: BrokerClient, what: str, vhost: str | None) -> list[Row]:
    if what in FROM_GATEWAYS:
        rows = _of_all(client, "gateway", f"list_{what}", what)
        return [row for row in rows if vhost is None or row.get("vhost") == vhost]
    fields = {"vhost": vhost} if vhost is not None else {}
    items: list[Row] = client.catalog("list", what=what, **fields)["items"]
    return _with_counts(items, _of_all(client, "shard", "list_queues", "queues")) if what == "queues" else items


def _of_all(client: BrokerClient, role: str, verb: str, key: str) -> list[Row]:
    """The lists of all processes of a role in one; a process that cannot answer is named on stderr."""
    rows: list[Row] = []
    for answer in client.call(role, None, {"verb": verb}):
        if "error" in answer:
            click.echo(f"warren: {role} {answer['index']} does not answer: {answer['error'][1]}", err=True)
        rows += [{**row, role: answer["index"]} for row in answer.get(key, ())]
    return rows


def _with_counts(queues: list[Row], counts: list[Row]) -> list[Row]:
    """The catalog's queues with what their shards count; a queue whose shard is away has no counts."""
    by_id = {row["queue_id"]: row for row in counts}
    rows = []
    for queue in queues:
        row = {**by_id.get(queue["queue_id"], {}), **queue}
        if "messages_ready" in row:
            row["messages"] = row["messages_ready"] + row.get("messages_unacknowledged", 0)
        rows.append(row)
    return rows


def _present(columns: tuple[str, ...], rows: list[Row]) -> tuple[str, ...]:
    """Without columns that no row knows."""
    def known(column: str) -> bool:
        if column in EMPTY_IS_UNKNOWN:
            return any(row.get(column) for row in rows)
        return any(column in row for row in rows)

    return tuple(filter(known, columns)) if rows else columns


COMMANDS: Final = (list_objects,)
