"""Two load tools are compared with the same options, and by what may be compared."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from bench.page import agreement as section
from bench.page.agreement import ToolRun, pairs, text
from bench.perf.load import Load
from bench.perf.scenarios import loads
from tests.unit.bench.results import result
from tools import agreement, amqpload

STEADY = "--confirm 1000 --prefetch 500 --ack-every 50"
COMPARE_PY = {
    "transient": "--autoack",
    "transient4": "--autoack --producers 4 --consumers 4 --queues 4",
    "publish": "--publish-only --queue-arg x-max-length=1000",
    "ack1": "--confirm 200 --prefetch 100",
    "confirm": STEADY,
    "persistent": f"--persistent --durable {STEADY}",
    "quorum": f"--persistent --durable --queue-type quorum {STEADY}",
    "fanout": "--exchange p --exchange-type fanout --queues 8 --consumers 8 --confirm 100 --autoack",
    "topic": "--exchange p --exchange-type topic --routing-keys 64 --queues 8 --consumers 4 --producers 4 "
             "--confirm 250 --autoack",
    "many": "--producers 100 --consumers 100 --queues 100 --confirm 10 --prefetch 20",
    "big": "--size 65536 --confirm 50 --prefetch 50 --ack-every 10",
    "latency": "--rate 500 --producers 2 --consumers 2 --queues 2 --confirm 100",
    "latency_dur": "--rate 500 --producers 2 --consumers 2 --queues 2 --confirm 100 --persistent --durable",
}
"""The scenarios of amqpload's own compare.py, less what is the same in all or a default."""
ALWAYS = "--size 100 --producers 1 --consumers 1 --queues 1 --queue-prefix p --seconds 2 --warmup 1"


def options(words: list[str]) -> dict[str, str]:
    """By name; of what is given twice the last counts."""
    return {name: value.strip() for name, value in re.findall(r"--([\w-]+)((?: (?!--)\S+)*)", " ".join(words))}


@pytest.mark.parametrize("name", COMPARE_PY)
def test_a_scenario_is_the_same_as_that_of_the_other_tool(name: str) -> None:
    ((_, load),) = loads(name, "p", seconds=2, warmup_s=1)
    given = options(amqpload.arguments(load))
    expected = options(f"{ALWAYS} --delete {COMPARE_PY[name]}".split())
    given.pop("ack-every", None) if given.get("ack-every") == "1" else None
    if name == "publish":
        expected.pop("consumers")
    if name == "fanout":
        assert given.pop("routing-keys") == "1"
    assert given == expected


def test_a_backlog_is_filled_and_drained() -> None:
    (_, fill), (_, drain) = loads("backlog", "p", seconds=2, warmup_s=1, count=5)
    filling, draining = options(amqpload.arguments(fill)), options(amqpload.arguments(drain))
    assert {"publish-only", "keep", "persistent"} <= filling.keys() and filling["count"] == "5"
    assert {"drain-only", "delete"} <= draining.keys() and not {"count", "seconds"} & draining.keys()


def test_what_the_other_tool_cannot_do_is_refused() -> None:
    for load in (Load(exchange_type="headers"), Load(rpc="direct"), Load(polling=True), Load(consumer_rate=1)):
        with pytest.raises(ValueError, match="no such load"):
            amqpload.arguments(load)


@pytest.mark.parametrize("name", [*COMPARE_PY, "backlog"])
def test_our_options_make_the_load_they_are_from(name: str) -> None:
    from broker.commands.perf.options import load_from
    from broker.commands.perf.run import run

    for _, load in loads(name, "p", seconds=2, warmup_s=1, count=5):
        context = run.make_context("run", agreement.arguments(load))
        known = {key: value for key, value in context.params.items() if key in Load.model_fields}
        again = load_from({**known, "mode": None, "queue_prefix": None}, mode=known["mode"] or "both", queue_prefix="p")
        assert again == load


def test_figures_of_both_tools_are_of_the_same_kind() -> None:
    ours = agreement.figures(result("b", 1000, window_s=2.0))
    theirs = amqpload.figures({
        "ok": True, "consumers": 1, "deliver_rate": 1000.0, "publish_rate": 2000.0, "broker_cpu_us_per_msg": 2.5,
        "latency_us": {"p50": 149.0, "p99": 25_000.0}, "confirm_latency_us": None, "gen_cpu_us_per_msg": 83.0,
        "gen_busiest_thread": 0.25,
    })
    assert ours.error is theirs.error is None and ours.rate == theirs.rate and ours.cpu_us == theirs.cpu_us
    assert ours.generator_us == pytest.approx(0.5e6 / (3000 * 2), rel=0.01)


def test_faults_of_the_other_tool_are_told() -> None:
    assert amqpload.figures({"error": "it broke"}).error == "it broke"
    found: dict[str, Any] = {"ok": False, "missing": 3, "duplicates": 0, "consumers": 0, "publish_rate": 1.0,
                             "gen_cpu_us_per_msg": 1.0, "gen_busiest_thread": 0.1}
    assert "'missing': 3" in (amqpload.figures(found).error or "")


def test_a_program_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "amqpload"
    program.write_text("#!/bin/sh\necho oh no >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert (amqpload.run(program, Load(), 1, []).error or "").endswith("oh no")


# -- what is compared


def run(tool: str, rate: float = 100.0, cpu_us: float = 1.0, **more: Any) -> ToolRun:
    return ToolRun(**{"tool": tool, "broker": "b", "scenario": "s", "rate": rate, "cpu_us": cpu_us, **more})


def both(**ours: Any) -> section.Pair:
    theirs = run("amqpload", p50_us=200, p99_us=400, paced=ours.get("paced", False))
    (pair,) = pairs([run("warren perf", **ours), theirs])
    return pair


@pytest.mark.parametrize(
    ("ours", "differ"),
    [
        ({}, []),
        ({"rate": 109.0, "cpu_us": 0.91}, []),
        ({"rate": 89.0}, ["rate"]),
        ({"rate": 111.0, "cpu_us": 1.2}, ["rate", "cpu_us"]),
        ({"p50_us": 900, "p99_us": 900}, []),                          # the depth of queues
        ({"paced": True, "p50_us": 214, "p99_us": 430}, []),           # near enough, and within 10 %
        ({"paced": True, "p50_us": 230, "p99_us": 445}, ["p50_us", "p99_us"]),
    ],
)
def test_tools_agree_within_ten_percent(ours: dict[str, Any], differ: list[str]) -> None:
    assert both(**ours).differences == differ


def test_a_difference_within_the_runs_of_one_tool_says_nothing() -> None:
    theirs = [run("amqpload", 100), run("amqpload", 60)]
    (pair,) = pairs([run("warren perf", 60), *theirs])
    assert pair.verdict == "runs differ more: rate"
    (pair,) = pairs([run("warren perf", 30, 2.0), *theirs])
    assert pair.verdict == "no: rate, cpu"


def test_medians_and_spread() -> None:
    (pair,) = pairs([*(run("warren perf", rate) for rate in (90, 100, 200)), run("amqpload", 100),
                     run("amqpload", 1, error="it broke")])
    assert pair.ratio("rate") == 1 and pair.spread("rate") == pytest.approx(1.1)


def test_the_text_has_both_tables_and_what_failed() -> None:
    shown = text([run("warren perf", 50), run("amqpload"), run("warren perf", broker="nullbroker", generator_us=0.1),
                  run("amqpload", broker="nullbroker", generator_us=0.2), run("amqpload", error="it broke")])
    assert re.search(r"b +s +50 +100 +0.50 +0% .*no: rate", shown) and "0.100 " in shown
    assert "- s on b with amqpload: it broke" in shown
    assert "no scenario" in text([])


def test_what_is_measured_anew_takes_the_place_of_what_was_kept() -> None:
    kept = [run("amqpload", 1), run("amqpload", 2, scenario="other")]
    found = agreement.merged(kept, [run("warren perf", 3)])
    assert [one.rate for one in found] == [2, 3]
    assert section.from_documents(json.loads(section.to_json(found))) == found


def test_a_null_broker_delivers_what_a_drain_takes() -> None:
    (publish, load), (consume, drain) = agreement.null_loads("fanout", 1, 0)
    assert (publish, load.mode, load.exchange_type) == ("publish", "publish", "fanout")
    assert (consume, drain.mode, drain.queues, drain.count) == ("consume", "drain", 8, None)
    assert [step for step, _ in agreement.null_loads("publish", 1, 0)] == ["publish"]
