"""The measurements of compiled modules still run: each once, with next to nothing to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import engine
from bench.micro.__main__ import ROOMS, cases
from bench.micro.case import Case
from tests.harness.warren import ROOT

UNITS_MAX = 100


@pytest.mark.parametrize(("title", "case"), list(cases([])), ids=lambda value: value if isinstance(value, str) else "")
def test_a_case_runs(title: str, case: Case, tmp_path: Path) -> None:
    timed = case.prepare(tmp_path, min(case.units, UNITS_MAX))
    assert timed(1) > 0 and timed(2) > 0, "again, too"


def test_cases_are_found_by_room_and_by_name() -> None:
    assert [title for title, _ in cases([])] == list(dict.fromkeys(title for title, _ in cases([])))
    assert [case for _, case in cases(["bus"])] == list(ROOMS["bus"])
    assert [title for title, _ in cases(["scanner: a frame"])] == ["amqp091: scanner: a frame"]
    assert not list(cases(["no such"]))


def test_the_runner_prints_a_table_and_keeps_values(tmp_path: Path) -> None:
    kept = tmp_path / "micro.json"
    command = [sys.executable, "-m", "bench.micro", "batch: write", "-p", "1", "-n", "1", "-w", "0", "-l", "1", "-q",
               "--copy-env"]
    done = subprocess.run([*command, "-o", str(kept)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "bus: batch: write" in done.stdout and done.stdout.rstrip().endswith("record")
    (found,) = json.loads(kept.read_text())["benchmarks"]
    assert found["runs"][-1]["values"][0] > 0
    done = subprocess.run([*command[:3], "no such"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "no case is called no such" in done.stderr


def test_the_engine_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.engine", "--rounds", "1", "--batches", "2", "--json"])
    assert engine.main() == 0
    took_ns = json.loads(capsys.readouterr().out)
    assert list(took_ns) == [case.name for case in engine.CASES] and min(took_ns.values()) > 0
