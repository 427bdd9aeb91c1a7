"""`warren perf page` and `warren perf plot`: what is made of raw results that were kept."""
from __future__ import annotations

from pathlib import Path

import click

from bench.page.page import write_page
from bench.perf.errors import LoadError
from bench.perf.output import from_json
from bench.perf.plots import plot_comparison, plot_runs, plot_scaling
from bench.perf.result import Result
from bench.perf.scaling import rows


@click.command(short_help="The results page, from raw results.")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("page", type=click.Path(path_type=Path))
@click.option("--readme", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="Also fill the part of FILE that is marked for it with the short table.")
def page(directory: Path, page: Path, readme: Path | None) -> None:
    """Write PAGE, in Markdown with plots, from the results (--json of compare and scaling) in DIRECTORY."""
    for file in write_page(directory, page, readme):
        click.echo(f"wrote {file}")


@click.command(short_help="Plots of raw results.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--bars", is_flag=True, help="Medians of the brokers side by side, instead of each run.")
def plot(sources: tuple[Path, ...], target: Path, bars: bool) -> None:
    """Draw the results in SOURCES (--json of any command) to TARGET, a .png or .svg."""
    results: list[Result] = []
    for source in sources:
        try:
            results += from_json(source.read_bytes())
        except ValueError as error:
            raise LoadError(f"{source}: no results: {error}") from None
    if any(one.setup for one in results):
        plot_scaling(rows(results), target)
    elif bars:
        plot_comparison(results, target)
    else:
        plot_runs(results, target)
