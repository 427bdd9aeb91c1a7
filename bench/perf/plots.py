"""Plots of results, as PNG or SVG: latency by percentile, throughput over time, brokers side by side.

matplotlib draws them; it comes with `pip install warren[perf]` and is imported only here and when asked for. Nothing is
shown on a screen, and the same results make the same SVG.
"""
from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.perf.compare import Figures, figures
from bench.perf.errors import LoadError
from bench.perf.result import Latency, Result
from bench.perf.scaling import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final = (".png", ".svg")
WIDTH_IN: Final = 11.0
NARROW_IN: Final = 7.0
HEIGHT_IN: Final = 4.2
DPI: Final = 120
PERCENTILE_TICKS: Final = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
REST_MIN: Final = 1e-6
"""Of the messages: how far the axis of percentiles goes on, as its end is infinitely far."""
NO_MATPLOTLIB: Final = "plots need matplotlib: pip install 'warren[perf]'"
LINES_MAX: Final = 12
"""More lines in one plot can not be told from each other."""


def plot_runs(results: Sequence[Result], path: Path) -> None:
    """Runs on top of each other: latency by percentile on the left, throughput over time on the right."""
    good = [one for one in results if one.error is None][:LINES_MAX]
    if not good:
        raise LoadError("there is nothing to plot: no run was without error")
    figure = _figure(1, 2)
    left, right = figure.axes
    end = 1.0
    for one in good:
        if one.shown_latency is not None:
            end = max(end, _percentiles(left, one.shown_latency, _label(one, good)))
        values = one.series.deliver if one.options.get("consumers") else one.series.publish
        right.plot(one.series.t_s, values, label=_label(one, good), linewidth=1)
    _finish_percentiles(left, end)
    right.set(title="throughput", xlabel="seconds", ylabel="messages per second", ylim=(0, None))
    right.yaxis.set_major_formatter(_thousands)
    right.legend(fontsize="small")
    _save(figure, path)


def plot_comparison(results: Sequence[Result], path: Path) -> None:
    """Medians of the good runs, side by side: messages per second, and CPU per message where it was measured."""
    rows = [row for row in figures(results) if row.good]
    if not rows:
        raise LoadError("there is nothing to plot: no run was good")
    with_cpu = any(row.cpu_us is not None for row in rows)
    figure = _figure(1, 2 if with_cpu else 1)
    _bars(figure.axes[0], rows, lambda row: row.rate, "messages per second")
    if with_cpu:
        _bars(figure.axes[1], rows, lambda row: row.cpu_us, "CPU time per message, microseconds")
    _save(figure, path)


def plot_latencies(runs: Sequence[tuple[str, Result]], path: Path) -> None:
    """Latency by percentile of runs with labels."""
    shown = [(label, one.shown_latency) for label, one in runs if one.shown_latency is not None][:LINES_MAX]
    if not shown:
        raise LoadError("there is nothing to plot: no run has a latency")
    figure = _figure(1, 1, NARROW_IN)
    (axes,) = figure.axes
    _finish_percentiles(axes, max(_percentiles(axes, latency, label) for label, latency in shown))
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
        bars = axes.barh(places, [value or 0.0 for value in values], 0.6, label="Warren", color="tab:orange")
        axes.bar_label(bars, [f"{value:.2g}" if value else "" for value in values], label_type="center",
                       fontsize="small")
        axes.scatter(goals, places, marker="|", s=160, color="black", label="goal: more on the left, less on the right",
                     zorder=3)
        axes.axvline(1, color="tab:blue", linewidth=2, label="RabbitMQ")
        axes.set_yticks(list(places), [row[0] for row in rows])
        axes.invert_yaxis()
        axes.set(title=title, xscale="log", xlim=(start, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.legend(*left.get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=3)
    _save(figure, path)


def plot_scaling(rows: Sequence[Row], path: Path) -> None:
    """Measured beside calculated for each setup, and the CPU per message of each role."""
    if not rows:
        raise LoadError("there is nothing to plot: no run was good")
    figure = _figure(1, 2)
    left, right = figure.axes
    names = [f"{row.gateways} x {row.shards}\n{'own' if row.pinned else 'shared'} cores" for row in rows]
    places = range(len(rows))
    left.bar([place - 0.2 for place in places], [row.rate for row in rows], 0.4, label="measured")
    left.bar([place + 0.2 for place in places], [row.calculated for row in rows], 0.4, label="calculated, a core each",
             alpha=0.4, hatch="//")
    left.set(title="messages per second", xlabel="gateways x shards")
    left.yaxis.set_major_formatter(_thousands)
    bottom = [0.0] * len(rows)
    for label, values in (("gateways", [row.gateway_us for row in rows]), ("shards", [row.shard_us for row in rows]),
                          ("supervisor, catalog", [row.other_us for row in rows])):
        right.bar(places, values, 0.6, bottom=bottom, label=label)
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    right.set(title="CPU time per message, microseconds", xlabel="gateways x shards")
    for axes in (left, right):
        axes.set_xticks(list(places), names, fontsize="small")
        axes.legend(fontsize="small")
    _save(figure, path)


# -- axes

def _percentiles(axes: Axes, latency: Latency, label: str) -> float:
    """As far as there is a message for it; where on the axis that is."""
    known = [(part, value) for part, value in latency.spectrum if (1 - part) * latency.count >= 1] or latency.spectrum
    axes.plot([_place(part) for part, _ in known], [value for _, value in known], label=label, linewidth=1.2)
    return _place(known[-1][0])


def _place(part: float) -> float:
    """On the axis of percentiles, where each further nine is as wide as the one before."""
    return 1 / max(1 - part, REST_MIN)


def _finish_percentiles(axes: Axes, end: float) -> None:
    axes.set(title="latency", xlabel="percentile", ylabel="microseconds", xscale="log", yscale="log")
    shown = [part for part in PERCENTILE_TICKS if _place(part) <= end]
    axes.set(xlim=(1, max(end, 2)))
    axes.set_xticks([_place(part) for part in shown], [f"{100 * part:g}" for part in shown])
    axes.minorticks_off()
    axes.grid(True, alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")


def _bars(axes: Axes, rows: Sequence[Figures], value: Callable[[Figures], float | None], title: str) -> None:
    titles = list(dict.fromkeys(row.title for row in rows))
    names = list(dict.fromkeys(row.name for row in rows))
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        found = {row.title: value(row) or 0.0 for row in rows if row.name == name}
        places = [place + number * height for place in range(len(titles))]
        bars = axes.barh(places, [found.get(title, 0.0) for title in titles], height, label=name)
        axes.bar_label(bars, [_short(found.get(title)) for title in titles], padding=2, fontsize="x-small")
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(titles))], titles)
    axes.invert_yaxis()
    axes.set(title=title, xscale="log")
    axes.margins(x=0.2)
    axes.legend(fontsize="small", loc="best")


def _label(one: Result, among: Sequence[Result]) -> str:
    """What tells it from the others."""
    parts = [one.name]
    if len({(other.scenario, other.step) for other in among}) > 1 or not one.name:
        parts += [one.scenario or "", one.step or ""]
    if len({other.repetition for other in among}) > 1:
        parts.append(f"run {one.repetition + 1}")
    return " ".join(filter(None, parts)) or one.broker


def _thousands(value: float, _: Any) -> str:
    return f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "" if not value else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# -- figures

def _figure(rows: int, columns: int, width_in: float = WIDTH_IN) -> Figure:
    try:
        from matplotlib.figure import Figure as MatplotlibFigure
    except ImportError:
        raise LoadError(NO_MATPLOTLIB) from None
    figure = MatplotlibFigure(figsize=(width_in, HEIGHT_IN * rows), layout="constrained")
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
