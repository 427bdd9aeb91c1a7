"""The results page: everything that was kept is on it, with its plots beside it, and the goals before all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.page import agreement
from bench.page.agreement import ToolRun
from bench.page.measures import Measure
from bench.page.page import write_page
from bench.page.readme import BEGIN, END
from bench.perf.errors import LoadError
from bench.perf.output import to_json
from bench.perf.result import BrokerUse
from tests.unit.bench.results import latency, result
from tests.unit.bench.test_scaling import measured

MACHINE = {"cpu": "a processor", "cores": 2, "kernel": "6.1", "python": "3.11"}


def use(cpu_us: float) -> BrokerUse:
    return BrokerUse(cpu_s=1.0, cpu_cores=1.0, cpu_us_per_message=cpu_us, rss_peak_bytes=1, pss_peak_bytes=1)


def write(directory: Path) -> str:
    write_page(directory, directory.parent / "RESULTS.md")
    return (directory.parent / "RESULTS.md").read_text()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    directory = tmp_path / "results"
    directory.mkdir()
    return directory


def test_a_page_of_a_comparison_and_of_scaling(kept: Path, tmp_path: Path) -> None:
    runs = [result(name, rate, scenario=scenario, repetition=number, machine=MACHINE, started_at="2026-01-02T03:04:05")
            for scenario in ("latency", "ack1") for number, rate in enumerate((10.0, 30.0, 20.0)) for name in "ab"]
    (kept / "brokers.json").write_bytes(to_json([*runs, result("b", 0, scenario="ack1", error="it broke")]))
    (kept / "scaling.json").write_bytes(to_json([measured(1, 1, 100.0), measured(1, 2, 150.0)]))
    written = write_page(kept, tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## Brokers\n\nBroker 1.0; 2026-01-02; 2 cores (a processor), Linux 6.1, Python 3.11. 3 runs of each" in page
    assert re.search(r"\| latency +\| a +\| +20 \|", page) and "- ack1 on b, run 1: it broke" in page
    assert "## Scaling" in page and "is not measured" in page and "## Goals" not in page
    images = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert images == ["results/plots/brokers.svg", "results/plots/brokers-latency.svg", "results/plots/scaling.svg"]
    assert all((tmp_path / image).exists() for image in images)
    assert sorted(written) == sorted([tmp_path / "RESULTS.md", *(tmp_path / image for image in images)])


def test_goals_are_beside_what_was_measured(kept: Path) -> None:
    (kept / "brokers.json").write_bytes(to_json([
        result("rabbitmq", 100, scenario="ack1", broker_use=use(20)),
        result("warren", 900, scenario="ack1", broker_use=use(2)),
        result("rabbitmq", 1000, scenario="latency", latency=latency(50), confirm_latency=latency(40)),
        result("warren", 1000, scenario="latency", latency=latency(40), confirm_latency=latency(50)),
    ]))
    (kept / "churn.json").write_bytes(to_json([result("warren", 1500, scenario="churn_connection")]))
    page = write(kept)
    assert re.search(r"an ack for each message +\| +9.0 \| +8 \| +3.4 \| +yes \| +0.100 \| +0.08 \| .*\*\*no\*\*", page)
    assert re.search(r"transient +\| +end to end \| +40 us \| +50 us \|.* yes \| +yes \|", page)
    assert re.search(r"transient +\| +confirm \|.*\*\*no\*\* \| +\*\*no\*\* \|", page)
    assert re.search(r"opened and closed +\| +1,500 \| +- \| +2,000 \| +\*\*no\*\* \|", page)
    assert "results/plots/versus.svg" in page


def test_half_loads(kept: Path) -> None:
    def run(name: str, owner: str, rate: int, *microseconds: int) -> Any:
        return result(name, rate, latency=latency(*microseconds), setup={"half_of": owner, "rate": rate})

    (kept / "half-load.json").write_bytes(to_json([
        run("rabbitmq", "rabbitmq", 50, 900), run("warren", "rabbitmq", 50, 300), run("warren", "warren", 500, 1200)]))
    page = write(kept)
    assert re.search(r"\| confirm +\| rabbitmq +\| +50 \| warren .*\| yes", page)
    assert re.search(r"\| confirm +\| +RabbitMQ's +\| +50 \| .*\| +yes \|", page)
    assert re.search(r"\| confirm +\| +Warren's +\| +500 \| .*cannot carry it \| .*cannot carry it \| +\|", page)
    assert "half-load-confirm.svg" in page


def test_sizes_and_calls_stand_beside_the_goals_without_any(kept: Path) -> None:
    (kept / "brokers.json").write_bytes(to_json([
        result(name, rate, scenario=scenario) for scenario in ("big", "big_4m") for name, rate in
        (("rabbitmq", 100), ("warren", 250))]))
    (kept / "calls.json").write_bytes(to_json([
        result(name, 1000, scenario="rpc_direct", reply_latency=latency(us)) for name, us in
        (("rabbitmq", 90), ("warren", 80))]))
    page = write(kept)
    assert re.search(r"\| 4 MiB +\| +250 \| +1,049 \| +2.5 \|", page)
    assert re.search(r"\| request and reply, direct reply-to +\| +1,000 \| +1,000 \| +80 us \| +90 us \|", page)


def test_measures_and_agreement(kept: Path) -> None:
    (kept / "footprint.json").write_text(json.dumps([
        {"subject": "idle broker", "quantity": "PSS", "unit": "MiB", "value": 120.5, "target": 150, "details": {}},
        {"subject": "a message", "quantity": "memory", "unit": "bytes", "value": 40, "target": "at most 32"},
        {"subject": "a queue", "quantity": "kept open", "unit": "", "value": 1, "target": None},
    ]))
    (kept / "agreement.json").write_bytes(agreement.to_json([
        ToolRun(tool=tool, broker="warren", scenario="ack1", rate=1000, cpu_us=1.0) for tool in agreement.TOOLS]))
    page = write(kept)
    assert re.search(r"\| idle broker +\| +PSS \| +120.5 \| +MiB \| +at most 150 \| +yes \|", page)
    assert re.search(r"\| a message +\|.*at most 32 \| +\*\*no\*\* \|", page)
    assert "## Footprint" in page and re.search(r"\| a queue +\| kept open +\|", page)
    assert re.search(r"\| warren +\| ack1 +\| +1,000 \| +1,000 \| +1.00 .* yes \|", page)


@pytest.mark.parametrize(
    ("target", "unit", "value", "met"),
    [
        (150, "MiB", 150, True), (150, "MiB", 151, False), (2000, "connections/s", 2000, True),
        (2000, "per second", 1999, False), ("at least 10", "", 9, False), (">= 10", "", 11, True),
        ("<= 10,000", "s/s", 9000, True), ("at most 1.5", "x", 1.6, False), (None, "MiB", 1, None),
        ("as low as can be", "MiB", 1, None), (1, "s", None, None),
    ],
)
def test_whether_a_target_is_met(target: Any, unit: str, value: float | None, met: bool | None) -> None:
    assert Measure(subject="", quantity="", unit=unit, value=value, target=target).met is met


def test_the_readme_has_the_short_table(kept: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    (kept / "brokers.json").write_bytes(to_json([
        result(name, rate, scenario="big", machine=MACHINE) for name, rate in (("rabbitmq", 100), ("warren", 250))]))
    for _ in range(2):                                  # again is no different
        write_page(kept, tmp_path / "RESULTS.md", readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
    assert re.search(r"\| big: 64 KiB +\| +250 \| +\*\*2.5\*\* \| +2.50 \| +\*\*1.00\*\* \|", text)
    assert text.count("versus.svg") == 1
    readme.write_text("no marks")
    with pytest.raises(LoadError, match="there is no"):
        write_page(kept, tmp_path / "RESULTS.md", readme)


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no results"):
        write_page(tmp_path, tmp_path / "RESULTS.md")
    for wrong in ("{", "[]", "[1]", '[{"tool": 1}]', '[{"quantity": "x"}]'):
        (tmp_path / "a.json").write_text(wrong)
        with pytest.raises(LoadError, match=r"a\.json: no results"):
            write_page(tmp_path, tmp_path / "RESULTS.md")
