"""`make bench`, with next to no time: parts are run alone, what was kept of others stays, a failure ends nothing."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from bench.page.readme import BEGIN, END
from bench.perf.output import from_json, to_json
from tests.harness.warren import alive, wait_until
from tests.unit.bench.results import result
from tools import measure


def run(directory: Path, *arguments: str) -> int:
    readme = directory / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    return measure.main([
        "--without-rabbitmq", "--reps", "1", "--seconds", "0.2", "--warmup", "0", "--count", "500",
        "--directory", str(directory), "--results", str(directory / "results"), "--page",
        str(directory / "RESULTS.md"), "--readme", str(readme), *arguments,
    ])


def test_parts_are_run_alone_and_merged(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "brokers.json").write_bytes(to_json([
        result("warren", 7, scenario="quorum"), result("warren", 7, scenario="confirm")]))
    assert run(tmp_path, "--only", "brokers,half-load,churn", "--scenario", "confirm",
               "--scenario", "churn_connection") == 0
    confirm, quorum = from_json((results / "brokers.json").read_bytes())
    assert (confirm.scenario, quorum.scenario, quorum.rate) == ("confirm", "quorum", 7) and confirm.rate > 7
    assert confirm.broker_use is not None and confirm.broker_use.cpu_us_per_message
    (half,) = from_json((results / "half-load.json").read_bytes())
    assert half.setup["half_of"] == "warren" and half.setup["rate"] == round(confirm.rate / 2) == half.options["rate"]
    (churn,) = from_json((results / "churn.json").read_bytes())
    assert churn.ok and churn.rates.cycle > 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert all(f"## {title}" in page for title in ("Goals", "Brokers", "Half load", "Churn"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "RESULTS.md", "results"], "no data is left"


def test_calls_are_measured_and_the_time_of_everything_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--only", "calls", "--scenario", "rpc_queue", "--scenario", "confirm1") == 0
    assert re.search(r"measured in \d\.\d minutes: calls \d+ s\n", capsys.readouterr().out)
    page = (tmp_path / "RESULTS.md").read_text()
    assert re.search(r"\| request and reply, a reply queue for each client \| +[\d,]+ \| +- \| +\d+ us \| +- \|", page)
    assert "publish and wait for the confirm, transient" in page


def test_what_fails_does_not_end_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: measure.Measurement) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setitem(measure.PARTS, "footprint", broken)
    assert run(tmp_path, "--only", "half-load,footprint,brokers", "--scenario", "confirm") == measure.FAILED
    told = capsys.readouterr().err
    assert "failed: half load confirm: confirm: it is not known what warren can carry: compare first" in told
    assert "failed: footprint: RuntimeError('it broke')" in told
    assert "## Brokers" in (tmp_path / "RESULTS.md").read_text()


def test_ctrl_c_ends_everything_and_what_there_is_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = result("warren", 1, scenario="confirm", interrupted=True)
    monkeypatch.setattr(measure, "compare", lambda *_, **__: [interrupted])
    monkeypatch.setattr(measure.Brokers, "targets", lambda _: [])
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "churn.json").write_bytes(to_json([result("warren", 7, scenario="churn_connection")]))
    assert run(tmp_path, "--only", "brokers,churn") == measure.FAILED
    assert not (tmp_path / "results" / "brokers.json").exists() and "## Churn" in (tmp_path / "RESULTS.md").read_text()


def test_a_broker_that_died_is_started_again(tmp_path: Path) -> None:
    brokers = measure.Brokers(tmp_path, ["warren"], 1, 1)
    try:
        (first,) = brokers.targets()
        assert brokers.targets() == [first]
        os.kill(first.pids[0], signal.SIGKILL)
        wait_until(lambda: not alive(first.pids[0]), "the end of the supervisor")
        (second,) = brokers.targets()
        assert second.pids != first.pids
    finally:
        brokers.stop()


def test_a_part_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure.parsed(["--only", "brokers,everything"])
    assert "no part 'everything'; there are brokers, sizes, calls, half-load" in capsys.readouterr().err
