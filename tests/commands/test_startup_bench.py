"""`python -m bench.startup` measures what it says, of brokers that are as small as can be."""
from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bench import startup

SMALL = [
    "--messages", "200", "--spread", "5", "--queues", "40", "--connections", "3", "--expiring", "50", "--rounds", "1",
    "--idle-seconds", "0.2",
]


def test_every_subject_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "startup.json"
    assert startup.main([*SMALL, "--directory", str(tmp_path), "--json", str(found)]) == 0
    rows = orjson.loads(found.read_bytes())
    assert [(row["subject"], row["quantity"]) for row in rows] == [
        ("start", "no data"),
        ("start", "empty"),
        ("start", "durable queues and bindings"),
        ("recovery", "killed, one queue"),
        ("recovery", "stopped, one queue"),
        ("recovery", "killed, one queue, half acknowledged"),
        ("recovery", "killed, 5 queues"),
        ("idle", "empty"),
        ("idle", "connections with heartbeats"),
        ("idle", "durable queues"),
        ("idle", "messages with different TTLs"),
    ]
    assert all(row.keys() == {"subject", "quantity", "unit", "value", "target", "details"} for row in rows)
    assert all(row["value"] > 0 for row in rows if row["subject"] != "idle")
    assert rows[4]["details"]["messages"] == 200 and rows[5]["details"]["messages"] <= 100
    assert set(rows[7]["details"]["cores_by_process"]) >= {"supervisor", "catalog", "gateway 0", "shard 0"}
    shown = capsys.readouterr().out
    assert all(row["quantity"] in shown for row in rows)
    assert list(tmp_path.iterdir()) == [found], "it cleans up"
