"""Plots of results, as PNG or SVG: latency by percentile, throughput over time, brokers side by side.

matplotlib draws them; it comes with `pip install warren[perf]` and is imported only here and when asked for. Nothing is
shown on a screen, and the same results make the same SVG.
"""
from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.perf.compare import figures
from bench.perf.errors import LoadError
from bench.perf.plot_axes import (
    COLOURS,
    ROLE_COLOURS,
    draw_bars,
    draw_percentiles,
    finish_percentiles,
    label_of,
    legend_below,
    line_styles,
    shown_name,
    thousands,
    throughput,
    throughput_axis,
)
from bench.perf.result import Result
from bench.perf.scaling import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES: Final = (".png", ".svg")
WIDTH_IN: Final = 11.0
NARROW_IN: Final = 7.0
HEIGHT_IN: Final = 4.2
DPI: Final = 120
NO_MATPLOTLIB: Final = "plots need matplotlib: pip install 'warren[perf]'"
LINES_MAX: Final = 12
"""More lines in one plot can not be told from each other."""
ROW_IN: Final = 0.33
"""Of a scenario in a plot of bars, however few there are."""
BARS_HEIGHT_MIN_IN: Final = 1.6
POINTS_OF_A_LINE: Final = 5
"""Fewer are drawn as points: a line between two says nothing, and one makes none."""


def plot_runs(results: Sequence[Result], path: Path) -> None:
    """Runs on top of each other: latency by percentile on the left, throughput over time on the right."""
    good = [one for one in results if one.error is None][:LINES_MAX]
    if not good:
        raise LoadError("there is nothing to plot: no run was without error")
    figure = _figure(1, 2)
    left, right = figure.axes
    end = 1.0
    for one, style in zip(good, line_styles([one.name for one in good]), strict=True):
        if one.shown_latency is not None:
            end = max(end, draw_percentiles(left, one.shown_latency, label_of(one, good), style))
        values = throughput(one)
        marker: dict[str, Any] = {} if len(values) >= POINTS_OF_A_LINE else {"marker": "o", "markersize": 4}
        right.plot(one.series.t_s, values, label=label_of(one, good), linewidth=1, **style, **marker)
    finish_percentiles(left, end)
    right.set(title="throughput", xlabel="seconds", ylabel="per second")
    throughput_axis(right, good)
    legend_below(figure, right, 4)
    _save(figure, path)


def plot_comparison(results: Sequence[Result], path: Path) -> None:
    """Medians of the good runs, side by side: messages per second, and CPU per message where it was measured."""
    rows = [row for row in figures(results) if row.good]
    if not rows:
        raise LoadError("there is nothing to plot: no run was good")
    with_cpu = any(row.cpu_us is not None for row in rows)
    titles = len({row.title for row in rows})
    figure = _figure(1, 2 if with_cpu else 1, height_in=BARS_HEIGHT_MIN_IN + ROW_IN * titles)
    what = "message" if any(one.totals.get("delivered") or one.rates.deliver for one in results) else "cycle"
    draw_bars(figure.axes[0], rows, lambda row: row.rate, f"{what}s per second")
    if with_cpu:
        draw_bars(figure.axes[1], rows, lambda row: row.cpu_us, f"CPU time per {what}, microseconds")
    legend_below(figure, figure.axes[0], 4)
    _save(figure, path)


def plot_latencies(runs: Sequence[tuple[str, Result]], path: Path) -> None:
    """Latency by percentile of runs with labels behind their brokers' names."""
    shown = [(one.name, label, one.shown_latency) for label, one in runs if one.shown_latency is not None][:LINES_MAX]
    if not shown:
        raise LoadError("there is nothing to plot: no run has a latency")
    figure = _figure(1, 1, NARROW_IN)
    (axes,) = figure.axes
    styles = line_styles([name for name, _, _ in shown])
    finish_percentiles(axes, max(draw_percentiles(axes, latency, f"{shown_name(name)}{label}", style)
                                  for (name, label, latency), style in zip(shown, styles, strict=True)))
    legend_below(figure, axes, 2)
    _save(figure, path)


def plot_versus(rows: Sequence[tuple[str, float | None, float, float | None, float]], path: Path) -> None:
    """(scenario, rate, its goal, CPU per message, its goal), all as multiples of another broker's."""
    figure = _figure(1, 2)
    left, right = figure.axes
    for axes, values, goals, title, start in (
        (left, [row[1] for row in rows], [row[2] for row in rows], "messages per second, times RabbitMQ's", 0.5),
        (right, [row[3] for row in rows], [row[4] for row in rows], "CPU time per message, part of RabbitMQ's", 0.002),
    ):
        places = range(len(rows))
        bars = axes.barh(places, [value or 0.0 for value in values], 0.6, label="Warren", color=COLOURS["warren"])
        axes.bar_label(bars, [f"{value:.2g}" if value else "" for value in values], label_type="center",
                       fontsize="small")
        axes.scatter(goals, places, marker="|", s=160, color="black", label="goal: more on the left, less on the right",
                     zorder=3)
        axes.axvline(1, color=COLOURS["rabbitmq"], linewidth=2, label="RabbitMQ")
        axes.set_yticks(list(places), [row[0] for row in rows])
        axes.invert_yaxis()
        axes.set(title=title, xscale="log", xlim=(start, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    legend_below(figure, left, 3)
    _save(figure, path)


def plot_scaling(rows: Sequence[Row], path: Path) -> None:
    """Measured beside calculated for each setup, and the CPU per message of each role."""
    if not rows:
        raise LoadError("there is nothing to plot: no run was good")
    figure = _figure(1, 2)
    left, right = figure.axes
    names = [f"{row.gateways} x {row.shards}\n{'own' if row.pinned else 'shared'} cores" for row in rows]
    places = range(len(rows))
    colour = COLOURS["warren"]
    left.bar([place - 0.2 for place in places], [row.rate for row in rows], 0.4, label="measured", color=colour)
    left.bar([place + 0.2 for place in places], [row.calculated for row in rows], 0.4, label="calculated, a core each",
             color=colour, alpha=0.4, hatch="//")
    left.set(title="messages per second", xlabel="gateways x shards")
    left.yaxis.set_major_formatter(thousands)
    bottom = [0.0] * len(rows)
    for label, values in (("gateways", [row.gateway_us for row in rows]), ("shards", [row.shard_us for row in rows]),
                          ("supervisor, catalog", [row.other_us for row in rows])):
        right.bar(places, values, 0.6, bottom=bottom, label=label, color=ROLE_COLOURS[label])
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    right.set(title="CPU time per message, microseconds", xlabel="gateways x shards")
    for axes, top in ((left, 1.15), (right, 1.2)):
        axes.set_xticks(list(places), names, fontsize="small")
        axes.set_ylim(0, top * axes.get_ylim()[1])      # room for the legend
        axes.legend(fontsize="small", loc="upper left", ncols=3)
    _save(figure, path)


# -- figures

def _figure(rows: int, columns: int, width_in: float = WIDTH_IN, height_in: float = HEIGHT_IN) -> Figure:
    try:
        from matplotlib.figure import Figure as MatplotlibFigure
    except ImportError:
        raise LoadError(NO_MATPLOTLIB) from None
    figure = MatplotlibFigure(figsize=(width_in, height_in * rows), layout="constrained")
    figure.subplots(rows, columns)
    return figure


def check_plot(path: Path) -> None:
    """LoadError where there could be no such plot."""
    if path.suffix not in SUFFIXES:
        raise LoadError(f"{path}: a plot is {' or '.join(SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise LoadError(NO_MATPLOTLIB)


def _save(figure: Figure, path: Path) -> None:
    import matplotlib

    check_plot(path)
    with matplotlib.rc_context({"svg.hashsalt": "warren", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
