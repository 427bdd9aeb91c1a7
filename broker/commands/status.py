"""`warren status`: the processes of a running broker and how they are."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from broker.commands.client import BrokerClient, data_option
from broker.commands.output import format_option, rows_table, show

COLUMNS = ("role", "index", "pid", "state", "incarnation", "restarts", "uptime_s")


@click.command()
@data_option
@format_option
def status(data: Path, output_format: str) -> None:
    """Show the processes of the broker, alarms, memory and disk. Exit code 1 where none runs."""
    answer = BrokerClient(data).ask({"verb": "status"})
    show(answer, output_format, lambda: _text(answer))


def _text(answer: dict[str, Any]) -> str:
    alarms = [name for name, raised in answer["alarms"].items() if raised]
    return "\n".join(
        [
            f"warren {answer['version']} on {answer['host']}:{answer['port']}, "
            f"{'ready' if answer['ready'] else 'starting'}, up {answer['uptime_s']:.0f} s",
            f"data     {answer['data_directory']}",
            f"links    {answer['links']} over {answer['link']}",
            f"memory   {_mib(answer['memory_used_bytes'])} used of {_mib(answer['memory_bytes_max'])} allowed",
            f"disk     {_mib(answer['disk_free_bytes'])} free, alarm below {_mib(answer['disk_free_limit_bytes'])}",
            f"alarms   {', '.join(alarms) or 'none'}",
            "",
            rows_table(answer["processes"], COLUMNS),
        ]
    )


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"


COMMANDS: Final = (status,)
