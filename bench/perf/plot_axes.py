"""The axes of plots: latency by percentile, throughput over time, bars by scenario; and the colours of brokers."""
from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.perf.compare import Figures
from bench.perf.result import Latency, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

PERCENTILE_TICKS: Final = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
REST_MIN: Final = 1e-6
"""Of the messages: how far the axis of percentiles goes on, as its end is infinitely far."""
DISTANCE_MAX: Final = 8.0
"""Between the medians of two runs: what is further apart needs a logarithmic axis."""
SHOWN_NAMES: Final = {"rabbitmq": "RabbitMQ", "warren": "Warren", "lavinmq": "LavinMQ"}
COLOURS: Final = {"rabbitmq": "tab:blue", "warren": "tab:orange", "lavinmq": "tab:green"}
"""A broker has one colour in all plots."""
OTHER_COLOURS: Final = ("tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:gray", "tab:olive", "tab:cyan")
LINE_STYLES: Final = ("-", "--", ":", "-.")
ROLE_COLOURS: Final = {"gateways": "tab:cyan", "shards": "tab:purple", "supervisor, catalog": "tab:gray"}


def throughput(one: Result) -> list[float]:
    """Of what counts in it."""
    if one.options.get("polling"):
        return one.series.reply
    return one.series.deliver if one.options.get("consumers") else one.series.cycle if one.rates.cycle \
        else one.series.publish


def throughput_axis(axes: Axes, runs: Sequence[Result]) -> None:
    """From 0, unless runs are too far from each other for that."""
    middles = [statistics.median(values) for one in runs if (values := [value for value in throughput(one) if value])]
    axes.yaxis.set_major_formatter(thousands)
    if middles and max(middles) > DISTANCE_MAX * min(middles):
        axes.set_yscale("log")
        _decades(axes.yaxis, min(middles) / 2, max(middles), thousands)
        axes.grid(True, alpha=0.3)
    else:
        axes.set_ylim(0, 1.1 * max((value for one in runs for value in throughput(one)), default=1.0) or 1.0)


def _decades(axis: Axis, least: float, most: float, formatter: Callable[[float, Any], str]) -> None:
    """Logarithmic, from a power of ten to where there is room above the highest value, its powers of ten named."""
    first = 10.0 ** math.floor(math.log10(least))
    if axis is axis.axes.xaxis:
        axis.axes.set_xlim(first, most * (most / first) ** 0.2)
    else:
        axis.axes.set_ylim(first, most * (most / first) ** 0.1)
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(lambda *_: "")


def draw_percentiles(axes: Axes, latency: Latency, label: str, style: dict[str, Any]) -> float:
    """As far as there is a message for it; where on the axis that is."""
    known = [(part, value) for part, value in latency.spectrum if (1 - part) * latency.count >= 1] or latency.spectrum
    axes.plot([_place(part) for part, _ in known], [value for _, value in known], label=label, linewidth=1.2, **style)
    return _place(known[-1][0])


def _place(part: float) -> float:
    """On the axis of percentiles, where each further nine is as wide as the one before."""
    return 1 / max(1 - part, REST_MIN)


def finish_percentiles(axes: Axes, end: float) -> None:
    axes.set(title="latency", xlabel="percentile", xscale="log", yscale="log")
    values = [value for line in axes.lines for value in map(float, np.asarray(line.get_ydata())) if value > 0]
    if values:
        _decades(axes.yaxis, min(values), max(values), _duration)
    shown = [part for part in PERCENTILE_TICKS if _place(part) <= end]
    axes.set(xlim=(1, max(end, 2)))
    axes.set_xticks([_place(part) for part in shown], [f"{100 * part:g}" for part in shown])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.grid(True, alpha=0.3)


def draw_bars(axes: Axes, rows: Sequence[Figures], value: Callable[[Figures], float | None], title: str) -> None:
    titles = list(dict.fromkeys(row.title for row in rows))
    names = list(dict.fromkeys(row.name for row in rows))
    height = 0.8 / len(names)
    for number, (name, style) in enumerate(zip(names, line_styles(names), strict=True)):
        found = {row.title: value(row) or 0.0 for row in rows if row.name == name}
        places = [place + number * height for place in range(len(titles))]
        bars = axes.barh(places, [found.get(title, 0.0) for title in titles], height, label=shown_name(name),
                         color=style["color"])
        axes.bar_label(bars, [_short(found.get(title)) for title in titles], padding=2, fontsize="x-small")
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(titles))], titles)
    axes.invert_yaxis()
    axes.set(title=title, xscale="log")
    shown = [of_row for row in rows if (of_row := value(row))]
    if shown:
        _decades(axes.xaxis, min(shown) / 2, max(shown), _short_tick)


def label_of(one: Result, among: Sequence[Result]) -> str:
    """What tells it from the others."""
    parts = [shown_name(one.name)]
    if len({(other.scenario, other.step) for other in among}) > 1 or not one.name:
        parts += [one.scenario or "", one.step or ""]
    if len({other.repetition for other in among}) > 1:
        parts.append(f"run {one.repetition + 1}")
    return " ".join(filter(None, parts)) or one.broker


def shown_name(name: str) -> str:
    return SHOWN_NAMES.get(name, name)


def line_styles(names: Sequence[str]) -> list[dict[str, Any]]:
    """Of lines or bars: a colour for each name, a style for each of its lines; one name alone has more colours."""
    found = list(dict.fromkeys(names))
    if len(found) == 1 and len(names) > len(LINE_STYLES):
        return [{"color": f"C{number}", "linestyle": "-"} for number in range(len(names))]
    others = itertools.cycle(OTHER_COLOURS)
    colours = {name: COLOURS.get(name) or next(others) for name in found}
    return [{"color": colours[name], "linestyle": LINE_STYLES[list(names[:place]).count(name) % len(LINE_STYLES)]}
            for place, name in enumerate(names)]


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Beside nothing that it could cover."""
    if axes.get_legend_handles_labels()[0]:
        figure.legend(*axes.get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=columns)


def _short_tick(value: float, _: Any) -> str:
    """Of a power of ten."""
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _duration(microseconds: float, _: Any) -> str:
    """Of a power of ten."""
    if microseconds < 1e3:
        return f"{microseconds:g} us"
    return f"{microseconds / 1e3:g} ms" if microseconds < 1e6 else f"{microseconds / 1e6:g} s"


def thousands(value: float, _: Any) -> str:
    return f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "" if not value else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
