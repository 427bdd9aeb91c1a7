"""`warren perf churn`: connections, channels or queues that are opened and closed without end."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.perf.run import execute
from bench.perf.session import fresh_prefix
from broker.commands.perf.options import (
    load_from,
    output_options,
    pair_option,
    target_from,
    target_options,
)
from broker.commands.perf.run import finish, show_progress

CONNECTIONS = 8


@click.command()
@click.argument("churn", type=click.Choice(["connection", "channel", "queue"]), metavar="connection|channel|queue")
@click.option("-x", "--connections", "producers", type=click.IntRange(1), default=CONNECTIONS, show_default=True,
              help="That do it at the same time.")
@click.option("-z", "--seconds", type=float, help="How long is measured.  [default: 5]")
@click.option("-C", "--count", type=int, help="Cycles in all, instead of seconds.")
@click.option("--warmup", "warmup_s", type=float, help="Seconds before that.  [default: 0]")
@click.option("--durable", is_flag=True, default=None, help="Queues are durable.")
@click.option("--queue-type", help="classic, quorum, stream.")
@pair_option("--queue-argument", "queue_arguments", "An argument of each queue.")
@click.option("--processes", type=int, help="Processes of the load.  [default: half as many as cores, or 2]")
@target_options
@output_options
def churn(
    churn: str, urls: tuple[str, ...], pids: tuple[int, ...], data: Path | None, json_file: Path | None,
    csv_file: Path | None, plot_files: tuple[Path, ...], progress: bool, **values: Any,
) -> None:
    """Open and close connections (with a channel), channels, or queues (declare and delete), each time anew.

    A cycle is one of them opened and closed; its time is the latency that is shown.
    """
    load = load_from(values, mode="churn", churn=churn, queue_prefix=fresh_prefix())
    result = execute(target_from(urls, pids, data), load, show_progress if progress else None)
    finish([result], json_file, csv_file, plot_files)
