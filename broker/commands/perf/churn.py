"""`warren perf churn`: connections, channels, queues, bindings, exchanges that are opened and closed without end."""
from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from bench.perf.load import Churn
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
KINDS = get_args(Churn)


@click.command(short_help="Connections, channels, queues ... opened and closed.")
@click.argument("churn", type=click.Choice(KINDS), metavar="|".join(KINDS))
@click.option("-x", "--connections", "producers", type=click.IntRange(1), default=CONNECTIONS, show_default=True,
              help="That do it at the same time.")
@click.option("-z", "--seconds", type=float, help="How long is measured.  [default: 5]")
@click.option("-C", "--count", type=int, help="Cycles in all, instead of seconds.")
@click.option("--warmup", "warmup_s", type=float, help="Seconds before that.  [default: 0]")
@click.option("--durable", is_flag=True, default=None,
              help="Queues and exchanges are durable, and bindings as the queues they are of.")
@click.option("--keep", is_flag=True, default=None, help="What `declare` has declared stays.")
@click.option("--queue-prefix", help="Names of queues begin with it.  [default: one that nobody has]")
@click.option("--queue-type", help="classic, quorum, stream.")
@pair_option("--queue-argument", "queue_arguments", "An argument of each queue.")
@click.option("--processes", type=int, help="Processes of the load.  [default: half as many as cores, or 2]")
@target_options
@output_options
def churn(
    churn: str, urls: tuple[str, ...], pids: tuple[int, ...], data: Path | None, json_file: Path | None,
    csv_file: Path | None, plot_files: tuple[Path, ...], progress: bool, **values: Any,
) -> None:
    """Open and close connections (with a channel) or channels, declare and delete queues or exchanges, bind and unbind.

    A cycle is one of them there and gone; its time is the latency that is shown. `declare` declares --count queues
    (10,000 by default) and deletes them when it has been measured, unless --keep.
    """
    load = load_from(values, mode="churn", churn=churn, queue_prefix=values.pop("queue_prefix") or fresh_prefix())
    result = execute(target_from(urls, pids, data), load, show_progress if progress else None)
    finish([result], json_file, csv_file, plot_files)
