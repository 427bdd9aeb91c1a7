"""`warren perf compare`: scenarios on several brokers in alternation."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from bench.perf import output
from bench.perf.compare import GAP_S_DEFAULT, REPETITIONS_DEFAULT, compare, failures, figures, table
from bench.perf.plots import plot_comparison
from bench.perf.result import Result
from bench.perf.run import Target
from bench.perf.scenarios import COUNT_DEFAULT, SCENARIOS
from bench.perf.url import parse
from broker.commands.perf.options import check_process, csv_option, plot_option, raw_option, target_from
from broker.commands.perf.run import EXIT_FAILED_VERIFICATION, SECONDS, WARMUP_S, show_progress

SCHEMES: Final = ("amqp://", "amqps://")


@click.command("compare", short_help="Scenarios on several brokers in turn.")
@click.argument("brokers", nargs=-1, required=True, metavar="[NAME=]URL...")
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice(list(SCENARIOS)), metavar="NAME",
              help=f"One or several of {', '.join(SCENARIOS)}.  [default: all]")
@click.option("--pid", "pids", multiple=True, metavar="NAME=PID", help="Root of a process tree of that broker.")
@click.option("--data", "directories", multiple=True, metavar="NAME=DIRECTORY",
              help="Data directory of that broker, a Warren on this machine: tells its processes.")
@click.option("--reps", "repetitions", type=click.IntRange(1), default=REPETITIONS_DEFAULT, show_default=True)
@click.option("-z", "--seconds", type=click.FloatRange(0, min_open=True), default=SECONDS, show_default=True,
              help="How long is measured in each run.")
@click.option("--warmup", "warmup_s", type=click.FloatRange(0), default=WARMUP_S, show_default=True)
@click.option("-C", "--count", type=click.IntRange(1), default=COUNT_DEFAULT, show_default=True,
              help="Messages of the backlog scenario.")
@click.option("--gap", "gap_s", type=click.FloatRange(0), default=GAP_S_DEFAULT, show_default=True,
              help="Seconds between two runs.")
@raw_option
@csv_option
@plot_option
@click.option("--progress/--no-progress", default=False, help="A line on standard error each second.")
def compare_command(
    brokers: tuple[str, ...], scenarios: tuple[str, ...], pids: tuple[str, ...], directories: tuple[str, ...],
    repetitions: int, seconds: float, warmup_s: float, count: int, gap_s: float, json_file: Path | None,
    csv_file: Path | None, plot_files: tuple[Path, ...], progress: bool,
) -> None:
    """Run scenarios on each BROKER in turn; print medians, and ratios to the first.

    A broker without a name is called by its host and port. Exit code 3 where a run failed.
    """
    targets = targets_from(brokers, pids, directories)

    def on_results(results: list[Result]) -> None:
        click.echo(table(figures(results)) + "\n")
        for line in failures(results):
            click.echo(f"failed: {line}", err=True)

    results = compare(
        targets, scenarios or SCENARIOS, repetitions=repetitions, seconds=seconds, warmup_s=warmup_s, count=count,
        gap_s=gap_s, on_results=on_results, on_progress=show_progress if progress else None,
    )
    if json_file is not None:
        json_file.write_bytes(output.to_json(results))
    if csv_file is not None:
        csv_file.write_text(output.to_csv(results))
    for file in plot_files:
        plot_comparison(results, file)
    if not all(result.ok for result in results):
        sys.exit(EXIT_FAILED_VERIFICATION)


def targets_from(brokers: Iterable[str], pids: Iterable[str], directories: Iterable[str]) -> list[Target]:
    """The brokers with their names and processes."""
    urls: dict[str, str] = {}
    for text in brokers:
        name, url = _named_url(text)
        if name in urls:
            raise click.UsageError(f"there are two brokers {name!r}")
        urls[name] = url
    roots: dict[str, list[int]] = {name: [] for name in urls}
    for name, value in (_of_broker("--pid", text, roots) for text in pids):
        if not value.isdigit():
            raise click.UsageError(f"--pid {name}={value}: {value!r} is no process id")
        check_process(f"--pid {name}:", int(value))
        roots[name].append(int(value))
    for name, value in (_of_broker("--data", text, roots) for text in directories):
        roots[name] += target_from((), (), Path(value)).pids
    return [Target((url,), tuple(roots[name]), name) for name, url in urls.items()]


def _named_url(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or name.startswith(SCHEMES):
        return parse(text).place, text
    parse(url)
    return name, url


def _of_broker(option: str, text: str, known: Iterable[str]) -> tuple[str, str]:
    name, separator, value = text.rpartition("=")
    if not separator or name not in known:
        raise click.UsageError(f"{option} {text}: is NAME=..., where NAME is one of {', '.join(known)}")
    return name, value
