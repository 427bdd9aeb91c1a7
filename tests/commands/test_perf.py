"""`warren perf` against a broker that runs: every scenario is right for a moment, and errors are told in words."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.perf import scaling
from bench.perf.load import Load
from bench.perf.local_broker import LocalBroker
from bench.perf.output import from_json
from bench.perf.run import Progress, Target, execute
from bench.perf.scenarios import SCENARIOS
from bench.perf.session import fresh_prefix, run_scenario
from broker.main import cli
from tests.harness.client import connect
from tests.harness.methods import Queue
from tests.harness.warren import ROOT, Warren, environment, program

COUNT = 600
SMALLER: dict[str, dict[str, Any]] = {
    "many": {"producers": 10, "consumers": 10, "queues": 10},
    "big_4m": {"count": 12},
    "get_empty": {"rate": 2000.0},
}
FAILED, USAGE, NOT_VERIFIED = 1, 2, 3


@pytest.fixture
def warren(warren_session: Warren) -> Warren:
    return warren_session


@pytest.fixture
def target(warren: Warren) -> Target:
    return Target([f"amqp://{warren.host}:{warren.port}"], [warren.supervisor_pid])


def perf(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["perf", *arguments], env={"WARREN_DATA": None})


def queues(warren: Warren) -> set[str]:
    return {row["name"] for row in warren.listing("queues")}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if not name.startswith("churn")])
def test_a_scenario_is_run_and_checked(name: str, target: Target, warren: Warren) -> None:
    """By the count, as a machine under load may do nothing at all in a fraction of a second."""
    changes = {"seconds": None, "warmup_s": 0.0, "count": COUNT, **SMALLER.get(name, {})}
    results = run_scenario(target, name, seconds=1, warmup_s=0, changes=changes)
    assert [result.step for result in results] == [step.name for step in SCENARIOS[name]]
    for result in results:
        assert result.ok, result.verification
        assert result.broker.startswith("Warren ") and result.rate > 0 and result.scenario == name
        assert result.broker_use is not None and result.broker_use.cpu_us_per_message
        assert result.verification.checked == bool(result.options["consumers"])
        assert (result.latency is not None) == result.verification.checked
        if result.options["confirm"]:
            assert result.confirm_latency is not None
            assert result.totals["confirmed"] == result.totals["published"] == changes["count"]
        if result.options["rpc"] or result.options["polling"]:
            assert result.reply_latency is not None and result.totals["replied"] >= COUNT
        if result.options["consumers"]:
            assert result.verification.expected == result.totals["delivered"]
            assert result.left_in_queues == 0
            in_flight = result.options["ack_every"] * result.options["consumers"]
            acknowledged = 0 if result.options["auto_ack"] else result.totals["delivered"]
            assert acknowledged - in_flight < result.totals["acknowledged"] <= acknowledged
    assert not [queue for queue in queues(warren) if queue.startswith(results[0].options["queue_prefix"])]


def test_messages_by_the_count_over_a_headers_exchange(target: Target) -> None:
    load = Load(
        exchange_type="headers", queues=3, routing_keys=6, producers=2, consumers=2, count=601, ack_every=10,
        queue_prefix=fresh_prefix(),
    )
    result = execute(target, load)
    assert result.ok and result.totals["published"] == result.totals["delivered"] == 601
    assert result.totals["acknowledged"] >= 590


@pytest.mark.parametrize("rpc", ["direct", "queue"])
def test_clients_share_servers_and_have_each_answer_once(rpc: Any, target: Target, warren: Warren) -> None:
    load = Load(rpc=rpc, producers=3, consumers=2, queues=2, requests=5, count=300, size=200_000, prefetch=10,
                properties={"content_type": "text/plain", "priority": 1}, headers={"a": 1}, queue_prefix=fresh_prefix())
    result = execute(target, load)
    assert result.ok, result.verification
    assert result.totals["replied"] == result.totals["delivered"] == 300 and result.totals["foreign"] == 0
    assert not [queue for queue in queues(warren) if queue.startswith(load.queue_prefix)]


@pytest.mark.parametrize("auto_ack", [True, False])
def test_a_slow_consumer_takes_what_it_can_and_then_the_rest(auto_ack: bool, target: Target) -> None:
    load = Load(consumer_rate=200.0, rate=1000.0, seconds=1.0, size=1000, auto_ack=auto_ack, prefetch=10,
                queue_prefix=fresh_prefix())
    result = execute(target, load)
    assert result.ok and result.totals["delivered"] == result.totals["published"]
    assert result.rates.deliver == pytest.approx(200, rel=0.3) and result.rates.publish > 700


def test_options_as_perftest_has_them_and_a_queue_that_stays(warren: Warren) -> None:
    outcome = perf("-H", f"amqp://{warren.host}:{warren.port}", "-u", "orders", "-f", "persistent", "--flag",
                   "mandatory", "--qos", "10", "--multi-ack-every", "5", "--pmessages", "20", "--no-progress", "--json",
                   "-")
    assert outcome.exit_code == 0, outcome.output
    (result,) = from_json(outcome.stdout.encode())
    options = result.options
    assert options["persistent"] and options["durable"] and options["mandatory"]
    assert (options["prefetch"], options["ack_every"]) == (10, 5)
    assert result.totals["delivered"] == options["count"] == 20 and "orders" in queues(warren)
    with connect(warren.endpoint) as client:
        client.channel().call(Queue.Delete(queue="orders"), Queue.DeleteOk)


def test_polling_at_an_interval(target: Target) -> None:
    load = Load(polling=True, polling_interval_ms=20, seconds=1.0, rate=5.0, queue_prefix=fresh_prefix())
    result = execute(target, load)
    assert result.ok and result.rates.reply == pytest.approx(50, rel=0.5) and result.totals["empty"] > 0


def test_a_rate_that_is_reached_only_with_the_buffers_full_is_kept(target: Target) -> None:
    """The producer is held up by TCP at times, and nothing but the clock tells it to go on."""
    result = execute(target, Load(auto_ack=True, seconds=1.0, rate=20_000.0, size=20_000, queue_prefix=fresh_prefix()))
    assert result.rates.publish > 1000 and min(result.series.publish[1:]) > 0


def test_a_stream_gives_each_consumer_everything(warren: Warren) -> None:
    arguments = ("--data", str(warren.data), "--queue-type", "stream", "--durable", "--persistent", "-y", "3",
                 "--prefetch", "100", "-C", "200", "--confirm", "50", "--json", "-", "--no-progress")
    (both,) = from_json(perf(*arguments).stdout.encode())
    assert both.ok and both.verification.expected == both.totals["delivered"] == 600
    fill, drain = from_json(perf(*arguments, "--fill-and-drain").stdout.encode())
    assert fill.left_in_queues == 200 and drain.ok and drain.totals["delivered"] == 600


def test_ctrl_c_ends_the_measurement_and_shows_it(warren: Warren) -> None:
    command = [*program(), "perf", "--data", str(warren.data), "-z", "60", "--rate", "200", "--json", "-"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and "deliver" in process.stderr.readline(), "the first second is over"
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    (result,) = from_json(shown.encode())
    assert result.interrupted and result.ok and result.totals["delivered"] == result.totals["published"] > 0


def test_unroutable_messages_are_returned(target: Target) -> None:
    load = Load(exchange_type="direct", queues=0, mandatory=True, confirm=10, count=50, queue_prefix=fresh_prefix())
    result = execute(target, load)
    assert result.ok and (result.totals["returned"], result.totals["confirmed"]) == (50, 50)


def test_progress_is_told_and_the_timeline_adds_up(target: Target) -> None:
    told: list[Progress] = []
    result = execute(target, Load(seconds=1.2, rate=100.0, queue_prefix=fresh_prefix()), told.append)
    assert len(told) == 1 and told[0].rates.deliver == pytest.approx(100, rel=0.5)
    assert told[0].memory is not None and told[0].latency is not None
    assert result.rates.publish == pytest.approx(100, rel=0.1)
    assert max(result.series.t_s) > 1 and sum(result.series.deliver) / len(result.series.deliver) > 50


def test_a_loss_is_seen(warren: Warren) -> None:
    """A queue that drops its messages while nobody is looking."""
    outcome = perf("--data", str(warren.data), "-z", "0.2", "--queue-argument", "x-max-length=1", "--drain-timeout",
                   "0.3", "--prefetch", "1", "--no-progress")
    assert outcome.exit_code == NOT_VERIFIED
    assert "verification FAILED" in outcome.stdout and " missing" in outcome.stdout


def test_results_in_files(warren: Warren, tmp_path: Path) -> None:
    outcome = perf("scenario", "confirm", "--data", str(warren.data), "-z", "0.2", "--warmup", "0", "--json",
                   str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv"), "--no-progress")
    assert outcome.exit_code == 0, outcome.output
    assert "verification ok: every message arrived, once and in order" in outcome.stdout
    (kept,) = from_json((tmp_path / "a.json").read_bytes())
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert kept.scenario == row["scenario"] == "confirm"
    assert float(row["deliver_per_s"]) == kept.rates.deliver and row["ok"] == "True"


def test_fill_then_drain_in_one_and_in_two_commands(warren: Warren) -> None:
    at = ("--data", str(warren.data), "--no-progress", "--json", "-")
    outcome = perf(*at, "--fill-and-drain", "--count", "500", "--durable", "--persistent", "--ack-every", "7")
    fill, drain = json.loads(outcome.stdout)
    assert (fill["step"], fill["left_in_queues"], drain["step"], drain["left_in_queues"]) == ("fill", 500, "drain", 0)
    prefix = fresh_prefix()
    outcome = perf(*at, "--publish-only", "--count", "50", "--queue-prefix", prefix, "--keep")
    assert outcome.exit_code == 0 and f"{prefix}-0" in queues(warren)
    outcome = perf(*at, "--publish-only", "--count", "50", "--queue-prefix", prefix)
    assert outcome.exit_code == FAILED and "holds 50 messages" in outcome.stderr
    outcome = perf(*at, "--drain", "--queue-prefix", prefix)
    (drain,) = json.loads(outcome.stdout)
    assert drain["verification"]["expected"] == drain["totals"]["delivered"] == 50
    assert f"{prefix}-0" not in queues(warren)


# -- churn


@pytest.mark.parametrize("kind", ["connection", "channel", "queue", "declare", "binding", "exchange"])
def test_churn_leaves_nothing_behind(kind: str, warren: Warren) -> None:
    outcome = perf("churn", kind, "--data", str(warren.data), "-x", "3", "--count", "50", "--json", "-",
                   "--no-progress")
    assert outcome.exit_code == 0, outcome.output
    (result,) = from_json(outcome.stdout.encode())
    assert result.totals["cycles"] == 50 and result.latency is not None and result.latency.count == 50
    assert result.rate == result.rates.cycle > 0
    assert not [row for row in warren.listing("connections") if "churner" in str(row)]
    assert not [name for name in queues(warren) if name.startswith(result.options["queue_prefix"])]


@pytest.mark.parametrize("kind", ["queue", "declare", "binding", "exchange"])
def test_churn_of_durable_things(kind: str, target: Target, warren: Warren) -> None:
    load = Load(mode="churn", churn=kind, producers=2, count=20, durable=True, queue_prefix=f"lasting-{kind}")
    assert execute(target, load).totals["cycles"] == 20
    assert not [name for name in queues(warren) if name.startswith(load.queue_prefix)]


def test_declared_queues_may_stay(warren: Warren) -> None:
    outcome = perf("churn", "declare", "--data", str(warren.data), "-x", "2", "--count", "5", "--durable", "--keep",
                   "--queue-prefix", "stays", "--no-progress")
    assert outcome.exit_code == 0, outcome.output
    assert sorted(name for name in queues(warren) if name.startswith("stays")) == [
        "stays-0-0", "stays-0-1", "stays-0-2", "stays-1-0", "stays-1-1"]


def test_declarations_have_no_clock(warren: Warren) -> None:
    outcome = perf("churn", "declare", "--data", str(warren.data), "--seconds", "1")
    assert outcome.exit_code == 2 and "--count" in outcome.stderr


def test_churn_by_the_clock(target: Target) -> None:
    result = execute(target, Load(mode="churn", churn="connection", producers=2, seconds=0.8))
    assert result.ok and result.rates.cycle > 0 and result.broker_use is not None
    assert sum(result.series.cycle) > 0


# -- errors


def test_a_broker_that_is_not_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        outcome = perf("--url", f"127.0.0.1:{held.getsockname()[1]}")
    assert outcome.exit_code == FAILED
    assert "cannot connect to 127.0.0.1:" in outcome.stderr and "Connection refused" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "who"),
    [
        (["--confirm", "10", "--rate", "100"], "(producer|consumer) 0"),
        (["churn", "queue"], "queue churner \\d"),
    ],
)
def test_a_broker_that_dies_is_told_in_one_line(arguments: list[str], who: str, tmp_path: Path) -> None:
    command, options = (arguments[:2], arguments[2:]) if arguments[0] == "churn" else ([], arguments)
    with LocalBroker(tmp_path, 1, 1) as broker:
        run = subprocess.Popen([*program(), "perf", *command, "--url", broker.url, "-z", "60", *options], cwd=ROOT,
                               env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
        assert run.stderr is not None and run.stderr.readline(), "the first second is over"
        for pid in [broker.pid, *broker.processes().values()]:
            os.kill(pid, signal.SIGKILL)
        shown, told = run.communicate(timeout=30)
    assert run.returncode == FAILED and not shown
    assert re.fullmatch(f"Error: {who}: the (broker closed the TCP connection|connection to the broker broke: .*)",
                        told.splitlines()[-1]), told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("url", "said"),
    [("amqp://guest:wrong@{}", "403 ACCESS_REFUSED"), ("amqp://{}/nowhere", "530 NOT_ALLOWED")],
)
def test_a_login_or_a_vhost_that_is_refused(warren: Warren, url: str, said: str) -> None:
    outcome = perf("--url", url.format(f"{warren.host}:{warren.port}"))
    assert outcome.exit_code == FAILED and said in outcome.stderr


def test_a_queue_of_another_kind(warren: Warren) -> None:
    prefix = fresh_prefix()
    with connect(warren.endpoint) as client:
        client.channel().declare(f"{prefix}-0", durable=True)
        outcome = perf("--data", str(warren.data), "--queue-prefix", prefix)
        assert outcome.exit_code == FAILED
        assert "the broker closed the channel: 406 PRECONDITION_FAILED" in outcome.stderr
        client.channel(2).call(Queue.Delete(queue=f"{prefix}-0"), Queue.DeleteOk)


def test_a_queue_that_goes_while_it_is_used(warren: Warren) -> None:
    prefix = fresh_prefix()
    deleted = threading.Event()

    def delete(_: Progress) -> None:
        if not deleted.is_set():
            deleted.set()
            with connect(warren.endpoint) as client:
                client.channel().call(Queue.Delete(queue=f"{prefix}-0"), Queue.DeleteOk)

    target = Target([f"amqp://{warren.host}:{warren.port}"])
    with pytest.raises(Exception, match="consumer 0: the broker cancelled a consumer"):
        execute(target, Load(seconds=5, rate=20.0, queue_prefix=prefix), delete)


def test_a_peer_that_speaks_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"AMQP\x00\x01\x00\x00")

        thread = threading.Thread(target=answer)
        thread.start()
        outcome = perf("--url", f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert outcome.exit_code == FAILED and "does not speak AMQP 0-9-1; it offers 1-0-0" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prefetch", "10", "--ack-every", "11"], "would never be sent"),
        (["--size", "-1"], "--size -1: "),
        (["--routing-keys", "3"], "--exchange-type"),
        (["--drain"], "--queue-prefix"),
        (["--rpc", "direct", "--confirm", "1"], "leave out --exchange-type and --confirm"),
        (["--rpc", "queue", "--size", "23"], "--size of 24"),
        (["--rpc", "queue", "--publish-only"], "need consumers that answer"),
        (["--polling", "--queue-type", "stream"], "streams have none"),
        (["--queue", "a", "--queues", "2"], "is the only one"),
        (["--polling", "--consumer-rate", "1"], "--polling-interval"),
        (["--polling-interval", "-1"], "--polling-interval -1"),
        (["--header", "x"], "KEY=VALUE"),
        (["--property", "colour=red"], "no property 'colour'; there are content_type,"),
        (["--property", "priority=high"], "--property, --header: "),
        (["--header", "k" * 256 + "=1"], "at most 255 bytes"),
        (["--pid", "4194305"], "--pid 4194305: there is no such process"),
        (["--json", "/no/such/x.json"], "'/no/such' is no directory"),
        (["--csv", "/tmp"], "is a directory"),
        (["--plot", "plot.pdf"], "a plot is .png or .svg"),
        (["scenario", "nothing"], "nothing"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    outcome = perf(*arguments)
    assert outcome.exit_code == USAGE and said in outcome.stderr


@pytest.mark.parametrize("url", ["amqps://localhost", "http://localhost", "amqp://localhost:port", "amqp:///"])
def test_an_address_that_is_none(url: str) -> None:
    assert perf("--url", url).exit_code == FAILED


def test_a_data_directory_without_a_broker(tmp_path: Path) -> None:
    outcome = perf("--data", str(tmp_path))
    assert outcome.exit_code == FAILED and "no broker is running" in outcome.stderr


# -- side by side


def test_two_brokers_are_compared(warren: Warren, tmp_path: Path) -> None:
    url = f"amqp://{warren.host}:{warren.port}"
    outcome = perf(
        "compare", f"a={url}", f"b={url}", "--scenario", "backlog", "--reps", "2", "-C", "500", "--gap", "0",
        "--pid", f"a={warren.supervisor_pid}", "--data", f"b={warren.data}",
        "--json", str(tmp_path / "raw.json"), "--plot", str(tmp_path / "plot.svg"),
    )
    assert outcome.exit_code == 0, outcome.output
    results = from_json((tmp_path / "raw.json").read_bytes())
    assert [(one.name, one.repetition, one.step) for one in results] == [
        (name, repetition, step) for repetition in (0, 1) for name in "ab" for step in ("fill", "drain")]
    assert all(one.broker_use is not None for one in results)
    lines = outcome.stdout.splitlines()
    assert lines[2].split()[:2] == ["backlog/fill", "a"] and lines[2].endswith("2/2") and "1.00" in lines[2]
    assert lines[3].split()[0] == "b" and (tmp_path / "plot.svg").exists()


def test_a_broker_that_is_gone_does_not_end_the_comparison(warren: Warren) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        outcome = perf(
            "compare", f"{warren.host}:{warren.port}", f"gone=127.0.0.1:{held.getsockname()[1]}", "--scenario", "ack1",
            "--reps", "1", "-z", "0.1", "--warmup", "0", "--gap", "0",
        )
    assert outcome.exit_code == NOT_VERIFIED
    assert "ack1 on gone, run 1: cannot connect" in outcome.stderr
    assert f"{warren.host}:{warren.port}" in outcome.stdout and outcome.stdout.rstrip().endswith("0/1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a=127.0.0.1", "a=127.0.0.2"], "two brokers 'a'"),
        (["a=127.0.0.1", "--pid", "b=1"], "NAME is one of a"),
        (["a=127.0.0.1", "--pid", "a=x"], "no process id"),
        (["a=127.0.0.1", "--pid", "a=4194305"], "no such process"),
        (["a=127.0.0.1", "--json", "/no/such/x"], "'/no/such' is no directory"),
    ],
)
def test_wrong_usage_of_compare(arguments: list[str], said: str) -> None:
    outcome = perf("compare", *arguments)
    assert outcome.exit_code == USAGE and said in outcome.stderr


# -- scaling


def test_scaling_starts_brokers_and_says_what_is_calculated(tmp_path: Path) -> None:
    outcome = perf("scaling", "--gateways", "1", "--shards", "1,2", "-z", "0.6", "--warmup", "0", "--directory",
                   str(tmp_path), "--json", str(tmp_path / "raw.json"), "--plot", str(tmp_path / "plot.svg"))
    assert outcome.exit_code == 0, outcome.output
    results = from_json((tmp_path / "raw.json").read_bytes())
    assert [(one.setup["gateways"], one.setup["shards"]) for one in results] == [(1, 1), (1, 2)]
    assert "\"calculated\" is not measured" in outcome.stdout and (tmp_path / "plot.svg").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plot.svg", "raw.json"], "no data is left"


def test_processes_are_pinned_where_there_are_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("there is one core")
    own, *rest = sorted(before)
    monkeypatch.setattr(scaling, "cores_for", lambda *_: {"gateway 0": own})
    with LocalBroker(tmp_path, 1, 1) as broker, scaling.pinned(broker) as cores:
        assert cores == {"gateway 0": own}
        found = {name: os.sched_getaffinity(pid) for name, pid in broker.processes().items()}
        assert found.pop("gateway 0") == {own}
        assert set(found) == {"supervisor", "nursery", "catalog", "shard 0"}
        assert all(one == set(rest) for one in found.values())
        assert os.sched_getaffinity(0) == set(rest)
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("numbers", ["", "0", "1,x", "257"])
def test_wrong_usage_of_scaling(numbers: str) -> None:
    assert perf("scaling", "--gateways", numbers).exit_code == USAGE
