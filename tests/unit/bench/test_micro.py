"""The measurements of compiled modules still run: each once, with next to nothing to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import engine, log_append, streams


def test_every_case_of_the_engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.engine", "--rounds", "1", "--batches", "2", "--json"])
    assert engine.main() == 0
    took_ns = json.loads(capsys.readouterr().out)
    assert list(took_ns) == [case.name for case in engine.CASES] and min(took_ns.values()) > 0


def test_streams(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.streams", "--rounds", "1", "--batches", "2"])
    assert streams.main() == 0
    assert f"stream, {streams.READERS} consumers: read" in capsys.readouterr().out


def test_appending_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["log_append.py", str(tmp_path)])
    monkeypatch.setattr(log_append, "MESSAGES_MAX", 20)
    log_append.main()
    assert len(capsys.readouterr().out.splitlines()) == len(log_append.SCENARIOS)
