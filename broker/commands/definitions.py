"""Definitions: the topology as a file in RabbitMQ's format, out and in."""
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click
import orjson

from amqp091.errors import AMQPError
from broker.commands.client import BrokerClient, data_option
from topology.definitions import DOCUMENT_BYTES_MAX, parse

STANDARD_STREAM: Final = "-"
OWNER_ONLY: Final = 0o600
PATIENCE_S: Final = 300.0           # a hundred thousand queues take seconds; a slow disk may take more


@click.command("export-definitions")
@click.argument("file", default=STANDARD_STREAM)
@click.option("--vhost", "-p", help="Only what is in this virtual host, for import into any.")
@data_option
def export_definitions(file: str, vhost: str | None, data: Path) -> None:
    """Write vhosts, users, rights, limits, policies, exchanges, queues and bindings to FILE ('-': the standard output).

    RabbitMQ imports such a file too. It holds hashes of passwords: a new FILE is readable for its owner alone.
    """
    fields = {} if vhost is None else {"vhost": vhost}
    [answer] = BrokerClient(data, PATIENCE_S).call("catalog", 0, {"verb": "export", **fields})
    for key in ("role", "index"):
        answer.pop(key, None)
    content = orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if file == STANDARD_STREAM:
        sys.stdout.buffer.write(content)
        return
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "wb") as target:
            target.write(content)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"definitions written to {file}")


@click.command("import-definitions")
@click.argument("file", default=STANDARD_STREAM)
@click.option("--vhost", "-p", help="Import into this virtual host, whatever the file says.")
@click.option("--skip-missing", is_flag=True, help="Leave out bindings of queues and exchanges that are missing.")
@data_option
def import_definitions(file: str, vhost: str | None, skip_missing: bool, data: Path) -> None:
    """Import the definitions in FILE ('-': the standard input): all of them, or none where something is wrong.

    What exists and is not in the file stays. Queues, exchanges and bindings that exist stay as they are; users, rights,
    parameters and policies are replaced by those in the file.
    """
    try:
        document = parse(_read(file))
    except AMQPError as error:
        raise click.ClickException(f"{file}: {error.text}") from None
    answer = BrokerClient(data, PATIENCE_S).catalog("import", document=document, vhost=vhost, skip_missing=skip_missing)
    for warning in answer["warnings"]:
        click.echo(f"warren: {warning}", err=True)
    changed = ", ".join(f"{count} {category.replace('_', ' ')}" for category, count in answer["changed"].items())
    click.echo(f"imported: {changed or 'nothing to change'}")


def _read(file: str) -> bytes:
    try:
        if file == STANDARD_STREAM:
            return sys.stdin.buffer.read(DOCUMENT_BYTES_MAX + 1)
        with open(file, "rb") as source:
            return source.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}") from None


COMMANDS: Final = (export_definitions, import_definitions)
