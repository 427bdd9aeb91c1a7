"""`warren settings`: all settings, with the values that a broker would start with."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from broker.commands.output import format_option, rows_table, show
from broker.settings import Settings, load, plain

SECRET = frozenset({"default_pass"})


@click.command()
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), envvar="WARREN_SETTINGS",
              help="TOML file with settings.")
@format_option
def settings(settings_file: Path | None, output_format: str) -> None:
    """Show all settings and their values; checks the file and the environment."""
    values = plain(load(settings_file, os.environ, {}))
    values.update(dict.fromkeys(SECRET, "***"))
    rows = [
        {"setting": key, "value": value, "default": "" if _is_default(key, value) else "changed"}
        for key, value in values.items()
    ]
    show(values, output_format, lambda: rows_table(rows, ("setting", "value", "default")))


def _is_default(key: str, value: object) -> bool:
    return key in SECRET or plain(Settings())[key] == value


COMMANDS: Final = (settings,)
