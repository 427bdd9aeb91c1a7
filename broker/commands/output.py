"""How answers are shown: a table for people, JSON for programs."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
import orjson
from tabulate import tabulate

format_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table for people, JSON for programs.",
)


def show(document: Any, output_format: str, table: Callable[[], str]) -> None:
    if output_format == "json":
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(table())


def rows_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Columns as named; what a row lacks stays empty."""
    return tabulate(
        [[_cell(row.get(column)) for column in columns] for row in rows],
        headers=[column.replace("_", " ") for column in columns],
        tablefmt="simple",
        disable_numparse=False,
    )


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return orjson.dumps(value).decode() if value else ""
        case list() | tuple():
            return ", ".join(str(item) for item in value)
        case str():
            return "".join(character if character.isprintable() else "?" for character in value)
        case _:
            return value
