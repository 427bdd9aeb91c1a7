"""`warren perf run` and `warren perf scenario`: one load on one broker."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from bench.perf import output
from bench.perf.plots import plot_runs
from bench.perf.result import Result
from bench.perf.run import Progress, Target, execute
from bench.perf.scenarios import COUNT_DEFAULT, SCENARIOS
from bench.perf.session import fresh_prefix, run_loads, run_scenario
from broker.commands.perf.options import (
    FLAGS,
    load_from,
    message_options,
    mode_options,
    output_options,
    pace_options,
    queue_options,
    request_options,
    routing_options,
    shape_options,
    target_from,
    target_options,
    time_options,
    together,
)

EXIT_FAILED_VERIFICATION: Final = 3
SECONDS: Final = 8.0
WARMUP_S: Final = 2.0

OnProgress = Callable[[Progress], None]


@click.command()
@together(mode_options, time_options, shape_options, message_options, queue_options, routing_options, pace_options,
          request_options)
@target_options
@output_options
def run(
    urls: tuple[str, ...], pids: tuple[int, ...], data: Path | None, json_file: Path | None, csv_file: Path | None,
    plot_files: tuple[Path, ...], progress: bool, mode: str | None, queue_prefix: str | None, flags: tuple[str, ...],
    **values: Any,
) -> None:
    """Publish and consume with the options given.

    bench/README.md says what the options of PerfTest are called here.

    \b
    warren perf -z 10 -c 1000 -q 500 -A 50                  the most that one producer and one consumer get
    warren perf -x 4 -y 4 --queues 4 -f persistent -c 500 -q 500 -A 50
    warren perf -r 1000 -c 100 --plot latency.png           latency at 1,000 messages a second
    warren perf -t topic --routing-keys 64 --queues 8       over a topic exchange
    warren perf --rpc direct                                round trips of requests, one after the other
    warren perf --fill-and-drain -C 1000000 -f persistent -c 1000 -q 500 -A 50
    """
    for flag in flags:
        values |= dict.fromkeys(FLAGS[flag], True)
    target = target_from(urls, pids, data)
    on_progress = show_progress if progress else None
    prefix = queue_prefix or fresh_prefix()
    if mode == "drain" and queue_prefix is None and values.get("queue") is None:
        raise click.UsageError("--drain needs the --queue or the --queue-prefix of the queues that are to be drained")
    if mode == "backlog":
        results = _fill_and_drain(target, {**values, "queue_prefix": prefix}, on_progress)
    else:
        results = [execute(target, load_from(values, mode=mode or "both", queue_prefix=prefix), on_progress)]
    finish(results, json_file, csv_file, plot_files)


def _fill_and_drain(target: Target, values: dict[str, Any], on_progress: OnProgress | None) -> list[Result]:
    keep = values.pop("keep") is True
    fill = load_from(values, mode="publish", keep=True)
    drain = load_from({**values, "count": None, "seconds": None, "warmup_s": None}, mode="drain", keep=keep)
    return run_loads(target, [("fill", fill), ("drain", drain)], on_progress)


@click.command(epilog=f"Scenarios: {', '.join(SCENARIOS)}. bench/README.md says what each shows.")
@click.argument("name", type=click.Choice(list(SCENARIOS)), metavar="NAME")
@click.option("-z", "--seconds", type=click.FloatRange(0, min_open=True), default=SECONDS, show_default=True,
              help="How long is measured.")
@click.option("--warmup", "warmup_s", type=click.FloatRange(0), default=WARMUP_S, show_default=True)
@click.option("-C", "--count", type=click.IntRange(1), default=COUNT_DEFAULT, show_default=True,
              help="Messages of the backlog scenario.")
@target_options
@output_options
def scenario(
    name: str, seconds: float, warmup_s: float, count: int, urls: tuple[str, ...], pids: tuple[int, ...],
    data: Path | None, json_file: Path | None, csv_file: Path | None, plot_files: tuple[Path, ...], progress: bool,
) -> None:
    """Run a named load."""
    results = run_scenario(
        target_from(urls, pids, data), name, seconds=seconds, warmup_s=warmup_s, count=count,
        on_progress=show_progress if progress else None,
    )
    finish(results, json_file, csv_file, plot_files)


def show_progress(progress: Progress) -> None:
    click.echo(output.progress_text(progress), err=True)


def finish(
    results: Sequence[Result], json_file: Path | None, csv_file: Path | None, plot_files: Iterable[Path]
) -> None:
    """Show and write the results; the exit code tells whether all is well."""
    for file in plot_files:
        plot_runs(results, file)
    if csv_file is not None:
        csv_file.write_text(output.to_csv(results))
    if json_file is not None and str(json_file) == "-":
        click.echo(output.to_json(results), nl=False)
    else:
        if json_file is not None:
            json_file.write_bytes(output.to_json(results))
        click.echo("\n\n".join(map(output.text, results)))
    if not all(result.ok for result in results):
        sys.exit(EXIT_FAILED_VERIFICATION)
