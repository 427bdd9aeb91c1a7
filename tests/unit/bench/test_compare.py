"""Medians and ratios of brokers side by side."""

from __future__ import annotations

from bench.perf.compare import failures, figures, table
from bench.perf.result import Verification
from tests.unit.bench.results import result


def test_medians_of_the_good_runs_and_their_ratio_to_the_first_broker() -> None:
    rows = figures([
        *(result("a", rate) for rate in (100.0, 200.0, 900.0)),
        *(result("b", rate) for rate in (500.0, 600.0, 700.0)),
    ])
    assert [(row.name, row.rate, row.good, row.runs) for row in rows] == [("a", 200, 3, 3), ("b", 600, 3, 3)]
    assert rows[0].spread == 4.0
    last = table(rows, "github").splitlines()[-1]
    assert [cell.strip() for cell in last.strip("|").split("|")] == [
        "", "b", "600", "33%", "3.00", "2.50", "1.00", "150 us", "25.0 ms", "100", "25%", "3/3"]


def test_runs_at_fault_count_in_no_median_and_are_told() -> None:
    lost = result("b", 1.0, repetition=1, verification=Verification(checked=True, expected=3, missing=2))
    results = [result("a", 100.0), lost, result("b", 50.0), result("b", 0.0, error="cannot connect")]
    rows = figures(results)
    assert (rows[1].rate, rows[1].good, rows[1].runs) == (50, 1, 3)
    assert failures(results) == ["confirm on b, run 2: 2 missing", "confirm on b, run 1: cannot connect"]


def test_a_broker_without_a_good_run_has_no_figures() -> None:
    rows = figures([result("a", 100.0), result("b", 0.0, error="refused")])
    assert table(rows, "plain").splitlines()[-1].split() == ["b", *["-"] * 9, "0/1"]
    assert figures([result("a", 0.0, error="refused")])[0].runs == 1


def test_each_step_of_a_scenario_has_its_row() -> None:
    rows = figures([result("a", rate, scenario="backlog", step=step) for step, rate in (("fill", 1.0), ("drain", 2.0))])
    assert [row.title for row in rows] == ["backlog/fill", "backlog/drain"]
