"""Plots are files of their kind with what they show written on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.perf.errors import LoadError
from bench.perf.plots import plot_comparison, plot_runs
from tests.unit.bench.results import result

RESULTS = [result("first", 100.0), result("second", 200.0, repetition=1), result("first", 1.0, error="gone")]


def test_runs_as_png(tmp_path: Path) -> None:
    plot_runs(RESULTS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_runs_as_svg_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot_runs(RESULTS, tmp_path / name)
    drawn = (tmp_path / "a.svg").read_text()
    assert "<svg" in drawn and drawn == (tmp_path / "b.svg").read_text()
    assert all(word in drawn for word in ("first run 1", "second run 2", "throughput", "percentile"))


def test_brokers_side_by_side(tmp_path: Path) -> None:
    plot_comparison(RESULTS, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert all(word in drawn for word in ("first", "second", "confirm", "messages per second", "CPU time per message"))


def test_what_cannot_be_plotted_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"\.png or \.svg"):
        plot_runs(RESULTS, tmp_path / "a.pdf")
    with pytest.raises(LoadError, match="nothing to plot"):
        plot_runs(RESULTS[2:], tmp_path / "a.svg")
    with pytest.raises(LoadError, match="nothing to plot"):
        plot_comparison(RESULTS[2:], tmp_path / "a.svg")
