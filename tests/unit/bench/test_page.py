"""The results page: everything that was kept is on it, with its plots beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.perf.errors import LoadError
from bench.perf.output import to_json
from bench.perf.page import write_page
from tests.unit.bench.results import result
from tests.unit.bench.test_scaling import measured

MACHINE = {"cpu": "a processor", "cores": 2, "kernel": "6.1", "python": "3.11"}


def test_a_page_of_a_comparison_and_of_scaling(tmp_path: Path) -> None:
    kept = tmp_path / "results"
    kept.mkdir()
    runs = [result(name, rate, scenario=scenario, repetition=number, machine=MACHINE, started_at="2026-01-02T03:04:05")
            for scenario in ("latency", "ack1") for number, rate in enumerate((10.0, 30.0, 20.0)) for name in "ab"]
    (kept / "brokers.json").write_bytes(to_json([*runs, result("b", 0, scenario="ack1", error="it broke")]))
    (kept / "scaling.json").write_bytes(to_json([measured(1, 1, 100.0), measured(1, 2, 150.0)]))
    written = write_page(kept, tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## Brokers\n\nBroker 1.0; 2026-01-02; 2 cores (a processor), Linux 6.1, Python 3.11. 3 runs of each" in page
    assert re.search(r"\| latency +\| a +\| +20 \|", page) and "- ack1 on b, run 1: it broke" in page
    assert "## Scaling" in page and "is not measured" in page
    images = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert images == ["results/plots/brokers.svg", "results/plots/brokers-latency.svg", "results/plots/scaling.svg"]
    assert all((tmp_path / image).exists() for image in images)
    assert sorted(written) == sorted([tmp_path / "RESULTS.md", *(tmp_path / image for image in images)])


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no results"):
        write_page(tmp_path, tmp_path / "RESULTS.md")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(LoadError, match=r"a\.json: no results"):
        write_page(tmp_path, tmp_path / "RESULTS.md")
