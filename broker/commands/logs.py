"""`warren log`: looking into the files of a shard's log."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click
import orjson


@click.group()
def log() -> None:
    """Look into the log of a shard."""


@log.command("dump")
@click.argument("segment", type=click.Path(exists=True, path_type=Path))
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def dump_segment(segment: Path, output_format: str) -> None:
    """Print what a SEGMENT of a log holds, one record per line. The broker may be running."""
    from log.dump import dump  # here, as NumPy would slow down every other command
    from log.formats import UnknownFormat

    try:
        for record in dump(str(segment)):
            click.echo(_line(record, output_format))
    except UnknownFormat as error:
        raise click.ClickException(str(error)) from None
    except BrokenPipeError:
        sys.stderr.close()          # `| head` has seen enough


def _line(record: dict[str, Any], output_format: str) -> str:
    if output_format == "json":
        return orjson.dumps(record, default=repr).decode()
    return " ".join(f"{key}={value!r}" for key, value in record.items())


COMMANDS: Final = (log,)
