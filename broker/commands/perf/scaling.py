"""`warren perf scaling`: a Warren is started for each number of gateways and shards, and measured."""
from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Final

import click

from bench.perf import output
from bench.perf.machine import machine
from bench.perf.plots import plot_scaling
from bench.perf.result import Result
from bench.perf.scaling import remarks, rows, scale, table
from bench.perf.scenarios import SCENARIOS
from broker.commands.perf.options import csv_option, plot_option, raw_option
from broker.commands.perf.run import EXIT_FAILED_VERIFICATION, show_progress

PROCESSES_MAX: Final = 256
SCENARIOS_OF_ONE_STEP: Final = [name for name, steps in SCENARIOS.items() if len(steps) == 1]


def _numbers(_: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() and 1 <= int(part) <= PROCESSES_MAX for part in parts):
        raise click.BadParameter(f"{text!r} is no list of numbers from 1 to {PROCESSES_MAX}, such as 1,2,4",
                                 param=parameter)
    return [int(part) for part in parts]


@click.command(short_help="A Warren over gateways and shards.")
@click.option("--gateways", default="1,2", show_default=True, callback=_numbers, metavar="N,N...")
@click.option("--shards", default="1,2", show_default=True, callback=_numbers, metavar="N,N...")
@click.option("--scenario", default="confirm", show_default=True, type=click.Choice(SCENARIOS_OF_ONE_STEP),
              metavar="NAME", help="Its producers, consumers and queues are multiplied.")
@click.option("--reps", "repetitions", type=click.IntRange(1), default=1, show_default=True)
@click.option("-z", "--seconds", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True,
              help="How long is measured in each run.")
@click.option("--warmup", "warmup_s", type=click.FloatRange(0), default=1.0, show_default=True)
@click.option("--directory", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Where the brokers keep their data for the while.  [default: that for temporary files]")
@raw_option
@csv_option
@plot_option
@click.option("--progress/--no-progress", default=False, help="A line on standard error each second.")
def scaling(
    gateways: list[int], shards: list[int], scenario: str, repetitions: int, seconds: float, warmup_s: float,
    directory: Path | None, json_file: Path | None, csv_file: Path | None, plot_files: tuple[Path, ...], progress: bool,
) -> None:
    """Measure Warren over gateways times shards: throughput, and CPU time per message of each role.

    Processes are pinned to cores of their own where there are enough. What is calculated, not measured, is called so.
    """

    def on_result(result: Result) -> None:
        click.echo(f"{result.name}: " + (f"{result.rate:,.0f} messages per second" if result.ok
                                         else output.text(result).splitlines()[-1]), err=True)

    results = scale(
        itertools.product(gateways, shards), scenario, repetitions=repetitions, seconds=seconds, warmup_s=warmup_s,
        directory=directory, on_result=on_result, on_progress=show_progress if progress else None,
    )
    if json_file is not None:
        json_file.write_bytes(output.to_json(results))
    if csv_file is not None:
        csv_file.write_text(output.to_csv(results))
    found = rows(results)
    for file in plot_files:
        plot_scaling(found, file)
    click.echo("\n\n".join([table(found), *remarks(found, machine())]))
    if not all(result.ok for result in results):
        sys.exit(EXIT_FAILED_VERIFICATION)
