"""Results as text, JSON and CSV."""

from __future__ import annotations

import csv
import json

import pytest

from bench.perf.load import Load
from bench.perf.output import duration, from_json, progress_text, text, to_csv, to_json
from bench.perf.processes import Memory
from bench.perf.result import GeneratorUse, Rates, Verification
from bench.perf.run import Progress
from tests.unit.bench.results import latency, result


def test_the_text_has_rates_latencies_and_the_verdict() -> None:
    shown = text(result("a", 1_234_567.0))
    lines = [line.split() for line in shown.splitlines()]
    assert ["deliver", "1,234,567"] in lines and ["confirm", "2,469,134"] in lines
    assert ["end", "to", "end", "3", "150", "us", "25.0", "ms", "25.0", "ms", "25.0", "ms", "25.0", "ms"] in lines
    assert "broker    2.50 us CPU per message, 1.50 cores, RSS 200 MiB, PSS 100 MiB at most" in shown
    assert shown.endswith("verification ok: every message arrived, once and in order")


def test_a_fault_is_told_with_its_number() -> None:
    found = Verification(checked=True, expected=10, missing=3, out_of_order=1, timed_out=True)
    assert text(result("a", 1.0, verification=found)).endswith(
        "verification FAILED: 3 missing, 1 out of order, nothing came any more before the end (--drain-timeout)")
    assert text(result("a", 1.0, error="no route to host")) == "failed: no route to host"


def test_a_load_that_was_busy_itself_warns() -> None:
    busy = GeneratorUse(processes=1, cpu_s=1.0, busiest_process=0.97)
    assert "warning: a process of the load was 97% busy" in text(result("a", 1.0, generator=busy))


def test_what_is_no_fault_but_not_everyday_is_told() -> None:
    totals = {"nacked": 1_500, "returned": 0, "redelivered": 2, "blocked_events": 3, "blocked_ns": 1_500_000_000}
    assert "events    1,500 nacked, 2 redelivered, connections blocked 3 times, 1.5 s in all" in text(
        result("a", 1.0, totals=totals))
    assert "events" not in text(result("a", 1.0))


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load(confirm=5, mode="publish"), "all that was sent was answered"),
        (Load(mode="publish"), "nothing to be checked"),
        (Load(size=5), "without a stamp"),
    ],
)
def test_what_was_not_checked_is_said(load: Load, said: str) -> None:
    found = result("a", 1.0, options=load.model_dump(mode="json"), verification=Verification(checked=False))
    assert said in text(found)


def test_json_comes_back_as_it_was() -> None:
    results = [result("a", 1.0), result("b", 2.0, scenario=None, error="x")]
    data = to_json(results)
    assert from_json(data) == results
    assert len(data.splitlines()) == len(results) + 2, "a line for each, so that a difference can be read"
    with pytest.raises(ValueError):
        from_json(b'[{"rate": 1}]')
    with pytest.raises(ValueError):
        from_json(b"nothing")


def test_csv_has_a_line_for_each() -> None:
    rows = list(csv.DictReader(to_csv([result("a", 1.5), result("b", 2.5, latency=None)]).splitlines()))
    assert [(row["name"], row["deliver_per_s"], row["ok"]) for row in rows] == [("a", "1.5", "True"),
                                                                               ("b", "2.5", "True")]
    assert float(rows[0]["latency_p50_us"]) == pytest.approx(150, rel=0.01) and rows[1]["latency_p50_us"] == ""


def test_a_line_of_progress() -> None:
    line = progress_text(Progress(3.0, Rates(publish=1000.4, deliver=999.6), latency(150), 2, 1.25, Memory(1 << 21)))
    assert line.split() == (
        "3 s publish 1,000/s deliver 1,000/s p50 150 us p99 150 us 2 blocked by the broker 1.25 cores 2 MiB".split())


@pytest.mark.parametrize(("us", "shown"), [(5, "5 us"), (9_999, "9,999 us"), (12_345, "12.3 ms"), (2e7, "20.0 s")])
def test_a_duration_with_few_digits(us: float, shown: str) -> None:
    assert duration(us) == shown


def test_a_load_survives_the_way_to_a_worker() -> None:
    load = Load(exchange_type="topic", routing_keys=3, queues=2, queue_arguments={"x-max-length": 5}, rate=0.5)
    assert Load(**json.loads(load.model_dump_json())) == load
