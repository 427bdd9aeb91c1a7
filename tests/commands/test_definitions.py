"""Definitions by the command line: out to a file, in from one, and every way in which that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.main import cli
from tests.harness.client import Client, connect
from tests.harness.warren import Warren

VHOST = "defined"


@pytest.fixture
def warren(warren_session: Warren) -> Iterator[Warren]:
    """The broker of the session, with a virtual host that goes with the test."""
    warren_session.command("add-vhost", VHOST)
    warren_session.command("set-permissions", "--vhost", VHOST, "guest", ".*", ".*", ".*")
    yield warren_session
    warren_session.command("delete-vhost", VHOST)


@pytest.fixture
def client(warren: Warren) -> Iterator[Client]:
    with connect(warren.endpoint, vhost=VHOST) as client:
        yield client
        client.close()


def queue(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": {}, **fields}


def bound(destination: str) -> dict[str, Any]:
    return {
        "source": "amq.direct", "vhost": VHOST, "destination": destination, "destination_type": "queue",
        "routing_key": "k", "arguments": {},
    }  # fmt: skip


def invoke(warren: Warren, *arguments: str, document: object = None) -> Result:
    """A command with a document as its standard input."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return CliRunner().invoke(cli, [*arguments, "--data", str(warren.data)], input=data)


def refused(result: Result, text: str) -> None:
    assert result.exit_code == 1 and text in result.stderr, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_out_and_in_again(warren: Warren, client: Client, tmp_path: Path) -> None:
    channel = client.channel()
    channel.declare("q", durable=True, arguments={"x-max-length": 5})
    channel.declare_exchange("x", "topic", durable=True)
    channel.bind("q", "x", "a.#")
    channel.exclusive_queue("mine")
    file = tmp_path / "defs.json"
    assert warren.command("export-definitions", str(file)) == f"definitions written to {file}\n"
    assert file.stat().st_mode & 0o077 == 0
    document = json.loads(file.read_text())
    names = [row["name"] for row in document["queues"] if row["vhost"] == VHOST]
    assert names == ["q"]
    channel.delete("q")
    channel.delete_exchange("x")
    assert warren.command("import-definitions", str(file)) == "imported: 1 exchanges, 1 queues, 1 bindings\n"
    channel.confirm()
    channel.publish("x", "a.b", b"routed")
    channel.wait_confirms(1)
    assert channel.get_all("q") == [b"routed"]
    assert warren.command("import_definitions", str(file)) == "imported: nothing to change\n"


def test_one_virtual_host_into_another(warren: Warren, client: Client) -> None:
    client.channel().declare("q", durable=True)
    exported = warren.command("export-definitions", "--vhost", VHOST)
    document = json.loads(exported)
    assert document["original_vhost_name"] == VHOST and [row["name"] for row in document["queues"]] == ["q"]
    assert "users" not in document
    warren.command("add-vhost", "copy-of-it")
    try:
        result = invoke(warren, "import-definitions", "-", "-p", "copy-of-it", document=document)
        assert result.stdout == "imported: 1 queues\n", result.output
        assert [row["name"] for row in warren.listing("queues", "--vhost", "copy-of-it")] == ["q"]
    finally:
        warren.command("delete-vhost", "copy-of-it")
    refused(invoke(warren, "import-definitions", "-", document=document), "missing the virtual host field")
    result = invoke(warren, "import-definitions", "-", "--vhost", "nowhere", document=document)
    refused(result, 'create virtual host "nowhere"')
    refused(invoke(warren, "export-definitions", "--vhost", "nowhere"), "vhost nowhere not found")


def test_what_is_wrong_changes_nothing(warren: Warren) -> None:
    users = warren.listing("users")
    documents: list[tuple[object, str]] = [
        ({"users": [{"name": "new", "tags": ""}], "bindings": [bound("gone")]}, "bindings[0]: no queue 'gone'"),
        ({"queues": [queue("good"), queue("bad", arguments={"x-expires": 0})]}, "queues[1]: invalid arg 'x-expires'"),
        ({"queues": [queue("good"), 5]}, "queues[1]: not an object"),
        (b"hello", "-: not_json"),
        (b"[" * 100_000, "-: not_json"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "-: the definitions are nested deeper than 64"),
        (bytes(range(256)) * 4096, "-: not_json"),
    ]  # fmt: skip
    for document, text in documents:
        refused(invoke(warren, "import-definitions", document=document), text)
    refused(invoke(warren, "import-definitions", "/no/such/file"), "/no/such/file cannot be read: No such file")
    refused(invoke(warren, "export-definitions", "/no/such/file"), "/no/such/file cannot be written: No such file")
    assert warren.listing("queues", "--vhost", VHOST) == [] and warren.listing("users") == users


def test_warnings_go_to_the_other_stream(warren: Warren, client: Client) -> None:
    client.channel().declare("q", durable=True, arguments={"x-max-length": 5})
    document = {"queues": [queue("q"), queue("new")], "bindings": [bound("new"), bound("gone")]}
    result = invoke(warren, "import-definitions", "--skip-missing", document=document)
    assert result.exit_code == 0 and result.stdout == "imported: 1 queues, 1 bindings\n"
    first, second = result.stderr.splitlines()
    assert first.startswith("warren: queues[0]: inequivalent arg 'x-max-length'") and "the existing one stays" in first
    assert second == f"warren: bindings[1]: skipped, as queue 'gone' in vhost '{VHOST}' is missing"


def test_nothing_is_an_empty_document(warren: Warren) -> None:
    assert invoke(warren, "import-definitions", document=b"").stdout == "imported: nothing to change\n"
