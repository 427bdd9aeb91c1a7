"""The command `warren`.

Knows the commands by name; each is in broker/commands and is imported when it is asked for, so that a broker carries
none of the tools in its memory and a short command starts quickly. An error that a person can mend is one line on
stderr and an exit code, never a traceback.
"""
from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from broker.version import VERSION
from bus.context import StartError
from bus.control import ControlError

COMMANDS: Final = {
    "serve": ("serve",),
    "status": ("status",),
    "listing": ("list",),
    "settings": ("settings",),
    "accounts": (
        "add-vhost", "update-vhost-metadata", "delete-vhost", "add-user", "delete-user", "change-password",
        "set-user-tags", "set-permissions", "delete-permissions", "set-topic-permissions", "clear-topic-permissions",
    ),
    "limits": ("set-vhost-limits", "clear-vhost-limits", "set-user-limits", "clear-user-limits"),
    "definitions": ("export-definitions", "import-definitions"),
    "queues": ("purge-queue", "delete-queue", "delete-exchange"),
    "policies": ("set-policy", "clear-policy", "set-operator-policy", "clear-operator-policy", "show-policy"),
    "connections": ("close-connection",),
    "logs": ("log",),
    "messages": ("queue",),
    "perf.group": ("perf",),
}
"""The commands that each module of broker/commands has in its COMMANDS."""
MODULES: Final = {name: module for module, names in COMMANDS.items() for name in names}


class _Group(click.Group):
    """Turns what the commands raise into one line; knows each command also with RabbitMQ's underscores."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(MODULES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        name = name if name in MODULES else name.replace("_", "-")
        if name not in MODULES:
            return None
        module = importlib.import_module(f"broker.commands.{MODULES[name]}")
        found: dict[str | None, click.Command] = {command.name: command for command in module.COMMANDS}
        return found[name]

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (StartError, ControlError) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="warren %(version)s")
def cli() -> None:
    """Warren, an AMQP 0-9-1 broker."""


def main() -> None:
    sys.exit(cli(prog_name="warren"))


if __name__ == "__main__":
    main()
