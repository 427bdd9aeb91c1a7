"""The command `warren`.

Puts the commands together; each is in broker/commands. An error that a person can mend is one line on stderr and an
exit code, never a traceback.
"""
from __future__ import annotations

import sys

import click

from broker.commands import (
    accounts,
    connections,
    definitions,
    limits,
    listing,
    logs,
    messages,
    policies,
    queues,
    serve,
    settings,
    status,
)
from broker.commands.perf.group import perf
from broker.version import VERSION
from bus.context import StartError
from bus.control import ControlError


class _Group(click.Group):
    """Turns what the commands raise into one line; knows each command also with RabbitMQ's underscores."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return super().get_command(context, name) or super().get_command(context, name.replace("_", "-"))

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (StartError, ControlError) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="warren %(version)s")
def cli() -> None:
    """Warren, an AMQP 0-9-1 broker."""


for command in (
    serve.serve,
    status.status,
    listing.list_objects,
    settings.settings,
    *accounts.COMMANDS,
    *limits.COMMANDS,
    *definitions.COMMANDS,
    *queues.COMMANDS,
    *policies.COMMANDS,
    *connections.COMMANDS,
    logs.log,
    messages.queue,
    perf,
):
    cli.add_command(command)


def main() -> None:
    sys.exit(cli(prog_name="warren"))


if __name__ == "__main__":
    main()
