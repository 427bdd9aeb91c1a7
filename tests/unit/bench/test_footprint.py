"""bench.footprint: every subject once, with next to nothing to do, on one broker; its rows as text and as JSON."""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.footprint import __main__ as program
from bench.footprint import backlog, growth, memory, stalls, usage
from bench.footprint.row import Row, table, to_json
from bench.footprint.wire import MARK, Wire, hang_up, publishes
from bench.perf.local_broker import LocalBroker
from broker.commands.accounts import add_vhost, set_permissions

TINY = "0.00001"


class Apart:
    """A virtual host of its own in the one broker, in place of a broker."""

    def __init__(self, broker: LocalBroker, data: Path, name: str) -> None:
        everything = ["--vhost", name, "guest", ".*", ".*", ".*"]
        for command, arguments in ((add_vhost, [name]), (set_permissions, everything)):
            outcome = CliRunner().invoke(command, [*arguments, "--data", str(data)])
            assert outcome.exit_code == 0, outcome.output
        self.url = f"{broker.url}/{name}"
        self.processes = broker.processes


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    directory = tmp_path_factory.mktemp("footprint")
    count = 0

    with LocalBroker(directory, 1, 1) as broker, pytest.MonkeyPatch.context() as patch:

        @contextmanager
        def started(gateways: int = 1, shards: int = 1) -> Iterator[Apart]:
            nonlocal count
            count += 1
            try:
                yield Apart(broker, directory / "data", f"apart-{count}")
            finally:
                hang_up(list(Wire.open))

        for module in (memory, backlog, growth, stalls):
            patch.setattr(module, "started", started)
        patch.setattr(usage, "SETTLE_S", 0.0)
        patch.setattr(growth, "PACED_S", 0.05)
        patch.setattr(stalls, "AFTERWARDS_S", 0.05)
        yield


@pytest.mark.parametrize("subject", program.SUBJECTS)
def test_a_subject_measures_what_it_says(
    shared: None, subject: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    assert program.main(["--subject", subject, "--scale", TINY, "--json", str(file)]) == 0
    rows = json.loads(file.read_bytes())
    assert rows and all(set(row) == {"subject", "quantity", "unit", "value", "target", "details"} for row in rows)
    shown = capsys.readouterr().out
    assert all(row["quantity"] in shown for row in rows)
    if subject == "idle":
        assert all(row["value"] > 1 and "nursery" in row["details"]["MiB by process"] for row in rows)
    if subject.startswith("growth"):
        assert all(row["value"] > 0 and row["details"]["msgs/s, many"] > 0 for row in rows)


def test_a_row_is_met_up_to_its_target() -> None:
    rows = [Row("a", "b", "KiB", 4.0, 4.0), Row("a", "c", "KiB", 4.1, 4.0), Row("a", "d", "KiB", 9.0)]
    assert [row.met for row in rows] == [True, False, None]
    assert "MISSED" in table(rows) and json.loads(to_json(rows))[2]["target"] is None


def test_each_body_has_the_mark_once_and_all_are_of_one_length() -> None:
    frames = publishes("exchange", ["one", "two", "six"])
    assert frames.count(MARK) == 3 and len(frames) % 3 == 0


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(SystemExit):
        program.main(["--scale", "0"])
