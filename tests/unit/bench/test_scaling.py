"""What scaling makes of raw results: medians of each setup, and what is calculated from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.perf.plots import plot_scaling
from bench.perf.result import BrokerUse, Result
from bench.perf.scaling import ceiling, cores_for, remarks, rows, table
from tests.unit.bench.results import result


def measured(gateways: int, shards: int, rate: float, *, pinned: bool = False, **more: Any) -> Result:
    """A run of 2 seconds, in which each gateway used 0.8 s, each shard 0.4 s, and the catalog 0.02 s."""
    used = {f"warren: gateway {number}": 0.8 for number in range(gateways)}
    used |= {f"warren: shard {number}": 0.4 for number in range(shards)} | {"warren: catalog": 0.02}
    use = BrokerUse(cpu_s=2.0, cpu_cores=1.0, cpu_us_per_message=1.0, rss_peak_bytes=1, pss_peak_bytes=1,
                    cpu_s_by_process=used)
    return result(f"{gateways} x {shards}", rate, window_s=2.0, broker_use=use,
                  setup={"gateways": gateways, "shards": shards, "pinned": pinned}, **more)


def test_the_cpu_of_each_role_per_message() -> None:
    (row,) = rows([measured(2, 1, 100_000.0), measured(2, 1, 200_000.0), measured(2, 1, 400_000.0)])
    assert (row.rate, row.gateway_us, row.shard_us, row.other_us) == pytest.approx((200_000, 4.0, 1.0, 0.05))
    assert row.busiest == pytest.approx(0.4)


def test_what_is_calculated_is_the_limit_of_the_slower_role() -> None:
    (row,) = rows([measured(1, 1, 100_000.0)])
    assert row.calculated == pytest.approx(1e6 / 4.0)
    assert ceiling(row, 8, 1) == pytest.approx(1e6 / 2.0), "then the shard is the limit"
    assert ceiling(row, 4, 4) == pytest.approx(4e6 / 4.0)


def test_what_is_not_measured_is_said() -> None:
    found = rows([measured(1, 1, 100_000.0, pinned=True), measured(2, 2, 150_000.0)])
    assert [line.split()[3] for line in table(found, "plain").splitlines()[1:]] == ["own", "shared"]
    said = remarks(found, {"cores": 3})
    assert said[0].startswith("1 of 2 setups had too few cores (3)") and "is not measured" in said[1]
    assert "4 x 4" in said[2] and "the gateways" in said[2]
    assert remarks([], {}) == ["no run was good"]


def test_runs_at_fault_do_not_count() -> None:
    assert rows([measured(1, 1, 1.0, error="gone")]) == []


@pytest.mark.parametrize(
    ("cores", "gateways", "shards", "found"),
    [
        (2, 1, 1, None),
        (3, 1, 1, {"gateway 0": 0, "shard 0": 1}),
        (8, 2, 4, {"gateway 0": 0, "gateway 1": 1, "shard 0": 2, "shard 1": 3, "shard 2": 4, "shard 3": 5}),
        (8, 3, 4, None),
    ],
)
def test_cores_of_their_own(cores: int, gateways: int, shards: int, found: dict[str, int] | None) -> None:
    assert cores_for(range(cores), gateways, shards) == found


def test_a_plot_of_both(tmp_path: Path) -> None:
    plot_scaling(rows([measured(1, 1, 100_000.0), measured(2, 1, 150_000.0, pinned=True)]), tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert all(word in drawn for word in ("measured", "calculated, a core each", "shared cores", "own cores"))
