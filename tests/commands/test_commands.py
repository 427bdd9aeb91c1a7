"""The command line against a broker that runs: what is listed is what clients did, what is changed holds for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.accounts import OTHER_VHOST
from tests.harness.client import Client, Closed, connect
from tests.harness.methods import Queue
from tests.harness.warren import Warren, run_command, wait_until


@pytest.fixture
def warren(warren_session: Warren) -> Warren:
    """The broker of the session."""
    return warren_session


def test_status_names_every_process(warren: Warren) -> None:
    processes = warren.status()["processes"]
    assert sorted((one["role"], one["index"]) for one in processes) == [
        ("catalog", 0),
        ("gateway", 0),
        ("gateway", 1),
        ("nursery", 0),
        ("shard", 0),
        ("shard", 1),
        ("supervisor", 0),
    ]
    assert all(one["state"] == "ready" for one in processes)
    titles = [Path(f"/proc/{one['pid']}/cmdline").read_bytes().rstrip(b"\0").decode() for one in processes]
    assert sorted(titles) == [
        "warren: catalog",
        "warren: gateway 0",
        "warren: gateway 1",
        "warren: nursery",
        "warren: shard 0",
        "warren: shard 1",
        "warren: supervisor",
    ]


def test_the_program_itself(warren: Warren) -> None:
    result = run_command("status", "--data", str(warren.data))
    assert result.returncode == 0 and f":{warren.port}, ready" in result.stdout
    missing = run_command("status", "--data", str(warren.data / "missing"))
    assert missing.returncode == 1 and "Traceback" not in missing.stderr
    assert run_command("--version").stdout.startswith("warren ")


def test_the_single_active_consumer_is_listed(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare("single-q", arguments={"x-single-active-consumer": True})
        for tag in ("first", "second"):
            channel.consume("single-q", tag)

        def active() -> dict[str, tuple[bool, str]]:
            return {
                row["consumer_tag"]: (row["active"], row["activity_status"])
                for row in warren.listing("consumers") if row["queue"] == "single-q"
            }

        assert active() == {"first": (True, "single_active"), "second": (False, "waiting")}
        assert one_of(warren.listing("queues"), name="single-q")["single_active_consumer_tag"] == "first"
        channel.cancel("first")
        assert active() == {"second": (True, "single_active")}
        assert one_of(warren.listing("queues"), name="single-q")["single_active_consumer_tag"] == "second"
        channel.delete("single-q")


def test_lists(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel(3)
        channel.declare("listed-q", arguments={"x-max-length": 10})
        channel.declare_exchange("listed-e", "topic", durable=True)
        channel.bind("listed-q", "listed-e", "a.#")
        channel.confirm()
        channel.publish_many("", "listed-q", [b"1", b"2", b"3"])
        channel.wait_confirms(3)
        channel.qos(2)
        channel.consume("listed-q", "listed-tag")
        channel.deliveries(2)
        channel.expect_nothing("listed-q")
        queue = one_of(warren.listing("queues"), name="listed-q")
        assert (queue["messages"], queue["messages_ready"], queue["messages_unacknowledged"], queue["consumers"]) == (
            3,
            1,
            2,
            1,
        )
        assert one_of(warren.listing("exchanges"), name="listed-e")["type"] == "topic"
        binding = one_of(warren.listing("bindings"), source="listed-e")
        assert (binding["destination"], binding["routing_key"]) == ("listed-q", "a.#")
        host, port = client.socket.getsockname()
        connection = next(row for row in warren.listing("connections") if row["name"].startswith(f"{host}:{port} -> "))
        assert (connection["user"], connection["vhost"], connection["state"], connection["channels"]) == (
            "guest",
            "/",
            "running",
            1,
        )
        row = one_of(warren.listing("channels"), connection=connection["id"])
        assert (row["number"], row["messages_unacknowledged"], row["consumer_count"]) == (3, 2, 1)
        consumer = one_of(warren.listing("consumers"), connection=connection["id"])
        assert (consumer["consumer_tag"], consumer["queue"], consumer["prefetch_count"]) == (
            "listed-tag",
            "listed-q",
            2,
        )
        channel.cancel("listed-tag")
        channel.delete("listed-q")
        channel.delete_exchange("listed-e")
    assert {row["name"] for row in warren.listing("vhosts")} >= {"/", OTHER_VHOST}
    assert one_of(warren.listing("users"), name="guest")["tags"] == ["administrator"]
    for what in (
        "queues",
        "exchanges",
        "bindings",
        "connections",
        "channels",
        "consumers",
        "vhosts",
        "users",
        "permissions",
        "topic-permissions",
        "vhost-limits",
        "user-limits",
    ):
        assert warren.command("list", what)


def one_of(rows: list[dict[str, object]], **fields: object) -> dict[str, object]:
    found = [row for row in rows if all(row[key] == value for key, value in fields.items())]
    assert len(found) == 1, (fields, rows)
    return found[0]


def test_a_user_from_birth_to_death(warren: Warren) -> None:
    warren.command("add-vhost", "of-zora")
    warren.command("add-user", "zora", "--password", "first")
    refused(warren, "zora", "first", "of-zora", 530)
    warren.command("set-permissions", "--vhost", "of-zora", "zora", "^mine-.*", ".*", ".*")
    with connect(warren.endpoint, user="zora", password="first", vhost="of-zora") as client:
        channel = client.channel()
        channel.declare("mine-1", durable=True)
        channel.send(Queue.Declare(queue="theirs"))
        channel.expect_error(403)
        warren.command("set-permissions", "--vhost", "of-zora", "zora", ".*", ".*", ".*")
        channel = client.channel()
        channel.declare("theirs")  # holds for open connections, at once
        warren.command("change-password", "zora", "--password", "second")
        refused(warren, "zora", "first", "of-zora", 403)
        connect(warren.endpoint, user="zora", password="second", vhost="of-zora").close()
        warren.command("delete-vhost", "of-zora")
        client.expect_connection_error(320)
    refused(warren, "zora", "second", "of-zora", 530)
    warren.command("delete-user", "zora")
    refused(warren, "zora", "second", "/", 403)


def refused(warren: Warren, user: str, password: str, vhost: str, code: int) -> None:
    with Client(warren.endpoint) as client:
        try:
            client.handshake(user, password, vhost)
        except (AssertionError, Closed) as error:
            assert str(code) in str(error), error
            return
    raise AssertionError(f"{user} got in")


def test_purge_and_delete_a_queue(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare("to-purge")
        channel.confirm()
        channel.publish_many("", "to-purge", [b"1", b"2"])
        channel.wait_confirms(2)
        warren.command("purge-queue", "to-purge")
        assert channel.count("to-purge") == 0
        warren.command("delete-queue", "to-purge")
        channel.send(Queue.Declare(queue="to-purge", passive=True))
        channel.expect_error(404)


def test_close_a_connection(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        client.channel().declare("of-the-closed", exclusive=True)
        host, port = client.socket.getsockname()
        row = next(row for row in warren.listing("connections") if row["name"].startswith(f"{host}:{port} -> "))
        warren.command("close-connection", str(row["id"]), "--reason", "by the test")
        client.expect_connection_error(320, "CONNECTION_FORCED - by the test")
    wait_until(
        lambda: not any(row["name"] == "of-the-closed" for row in warren.listing("queues")), "the exclusive queue's end"
    )


@pytest.mark.parametrize(
    "arguments, text",
    [
        (("purge-queue", "t-missing"), "t-missing"),
        (("close-connection", "g9.9.9"), "gateway 9"),
        (("delete-queue", "t-missing"), ""),
        (("set-permissions", "nobody", ".*", ".*", ".*"), "nobody"),
        (("set-permissions", "guest", "(", ".*", ".*"), "("),
        (("add-user", "guest", "--password", "other"), "guest"),
        (("list", "nonsense"), "nonsense"),
    ],
)
def test_mistakes_are_told_in_one_line(warren: Warren, arguments: tuple[str, ...], text: str) -> None:
    result = run_command(*arguments, "--data", str(warren.data))
    assert "Traceback" not in result.stderr
    assert text in result.stderr + result.stdout
    if arguments[0] != "delete-queue":
        assert result.returncode != 0


def test_a_segment_is_printed_for_a_person(warren: Warren) -> None:
    with connect(warren.endpoint) as client:
        channel = client.channel()
        channel.declare("dumped", durable=True)
        channel.confirm()
        channel.persistent("dumped", [b"find me in the log"])
        channel.wait_confirms(1)
        segments = [
            path
            for path in sorted((warren.data / "shards").rglob("*.data"))
            if b"find me in the log" in path.read_bytes()
        ]
        assert segments
        result = run_command("log", "dump", str(segments[0]))
        assert result.returncode == 0, result.stderr
        assert "find me in the log" in result.stdout or "dumped" in result.stdout, result.stdout[:2000]
        channel.delete("dumped")


def test_output_as_json_is_json(warren: Warren) -> None:
    for what in ("queues", "connections", "users"):
        json.loads(warren.command("list", what, "--format", "json"))
