"""The table of README.md."""

from __future__ import annotations

from bench.table import render


def result(name: str, rate: float, *, scenario: str = "confirm", status: int = 0) -> dict[str, object]:
    return {
        "scenario": scenario,
        "name": name,
        "status": status,
        "consumers": 1,
        "deliver_rate": rate,
        "publish_rate": 1.0,
        "broker_cpu_us_per_msg": 2.5,
        "latency_us": {"p50": 150, "p99": 25_000},
    }


def test_medians_and_ratios() -> None:
    table = render(
        [
            *(result("rabbitmq", rate) for rate in (100.0, 200.0, 900.0)),
            *(result("warren", rate) for rate in (500.0, 600.0, 700.0)),
        ]
    )
    assert table.splitlines()[2] == (
        "| confirm | 200 | 600 | **3.00** | 2.50 | 2.50 | 150 us / 25.0 ms | 150 us / 25.0 ms | 6/6 |"
    )


def test_runs_at_fault_count_in_no_median() -> None:
    table = render([result("rabbitmq", 100.0), result("warren", 1.0, status=3), result("warren", 50.0)])
    assert "| 100 | 50 | **0.50** |" in table and table.endswith("| 2/3 |")


def test_a_broker_without_a_good_run_has_no_ratio() -> None:
    assert "| 100 | - | - |" in render([result("rabbitmq", 100.0), result("warren", 0.0, status=1)])
