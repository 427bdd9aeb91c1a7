"""`warren serve` that cannot start: one line that says what to do, an exit code, nothing touched."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from log.checksum import checksum
from log.formats import HEADER_COPY_OFFSET
from tests.harness.client import connect
from tests.harness.warren import Warren, environment, run_command

HEADER_BYTES = 64
"""The part of the header that is the same in every version of the log's format."""


def serve(data: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_command(
        "serve", "--data", str(data), "--port", "0", "--gateways", "1", "--shards", "1", *arguments, **more
    )


def expect_refusal(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line for a person, and no traceback."""
    assert result.returncode > 0, result
    assert "Traceback" not in result.stderr, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("warren: "), result.stderr
    for part in parts:
        assert part in last, last


@pytest.mark.parametrize(
    "text, parts",
    [
        ("prot = 5672\n", ("unknown setting 'prot'", "did you mean 'port'")),
        ("port = 'many'\n", ("'port'", "many")),
        ("port = 70000\n", ("'port'", "70000")),
        ("gateways = 0\n", ("'gateways'",)),
        ("frame_max = 100\n", ("'frame_max'",)),
        ("port = \n", ("not valid TOML",)),
        ("[section]\nport = 1\n", ("unknown setting 'section'",)),
        ("\xff", ("not valid TOML",)),
    ],
)
def test_a_settings_file_with_a_mistake(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    file = tmp_path / "warren.toml"
    file.write_bytes(text.encode("latin-1"))
    result = run_command("serve", "--data", str(tmp_path / "data"), "--settings", str(file))
    expect_refusal(result, str(file), *parts)
    assert not (tmp_path / "data").exists()


def test_a_settings_file_that_is_missing(tmp_path: Path) -> None:
    expect_refusal(serve(tmp_path / "data", "--settings", str(tmp_path / "missing.toml")), "missing.toml")


def test_a_mistake_in_the_environment(tmp_path: Path) -> None:
    expect_refusal(serve(tmp_path / "data", WARREN_PROT="1"), "WARREN_PROT", "WARREN_PORT")


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        result = run_command("serve", "--data", str(tmp_path / "data"), "--port", str(port))
    expect_refusal(result, str(port))


def test_a_data_directory_that_is_in_use(tmp_path: Path) -> None:
    with Warren(tmp_path / "first", gateways=1, shards=1) as first:
        expect_refusal(serve(first.data), str(first.data))
        assert first.status()["ready"]


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    expect_refusal(serve(tmp_path / "data"), str(tmp_path / "data"))
    assert (tmp_path / "data").read_text() == "not a directory"


def test_a_data_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "photo.jpg").write_bytes(b"mine")
    expect_refusal(serve(tmp_path / "data"), str(tmp_path / "data"))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["photo.jpg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_data_directory_without_permission(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    os.chmod(tmp_path, 0o755)
    probe = [sys.executable, "-c", "import broker.main"]
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    root = Path(__file__).resolve().parents[2]
    variables = environment(PYTHONPATH=str(root), HOME="/nonexistent")
    try:
        if subprocess.run(probe, cwd=root, env=variables, capture_output=True, check=False, **nobody).returncode != 0:
            pytest.skip("another user cannot read this checkout")
    except PermissionError:
        pytest.skip("another user cannot read this checkout")
    result = subprocess.run(
        [sys.executable, "-P", "-m", "broker.main", "serve", "--data", str(data), "--port", "0"],
        cwd=root,
        env=variables,
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
        **nobody,
    )
    expect_refusal(result, str(data))


def test_a_data_directory_of_an_unknown_version(tmp_path: Path) -> None:
    with Warren(tmp_path / "first", gateways=1, shards=1) as first:
        data = first.data
    identity = data / "identity.json"
    identity.write_text(identity.read_text().replace('"format":1', '"format":999'))
    before = state_of(data)
    expect_refusal(serve(data), str(data), "999")
    assert state_of(data) == before


def state_of(data: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file with its time and content."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in data.rglob("*") if path.is_file()}


def test_a_log_of_an_unknown_version(tmp_path: Path) -> None:
    with Warren(tmp_path / "first", gateways=1, shards=1) as first:
        data = first.data
        with connect(first.endpoint) as client:
            channel = client.channel()
            channel.declare("q", durable=True)
            channel.confirm()
            channel.persistent("q", [b"kept"])
            channel.wait_confirms(1)
    logs = sorted(path for path in (data / "shards").rglob("*") if path.is_file())
    assert logs
    for path in logs:
        write_version(path, 999)
    before = state_of(data / "shards")
    result = serve(data)
    expect_refusal(result, "version 999")
    assert state_of(data / "shards") == before


def write_version(path: Path, version: int) -> None:
    """Make a file of the log one of another version: the version, its checksum, and the copy of both."""
    with open(path, "r+b") as file:
        header = bytearray(file.read(HEADER_BYTES))
        header[8:12] = struct.pack("<I", version)
        header[12:16] = struct.pack("<I", checksum(header[16:], checksum(header[:12])))
        for offset in (0, HEADER_COPY_OFFSET):
            file.seek(offset)
            file.write(header)


@pytest.mark.parametrize(
    "content, text",
    [
        ("hello", "not_json"),
        ('{"queues": [{"name": "q", "vhost": "nowhere"}]}', 'queues[0]: Please create virtual host "nowhere"'),
        ('{"vhosts": [{"name": "v"}], "policies": [{"vhost": "v", "name": "p"}]}', "policies[0]: Validation failed"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_definitions_that_are_wrong(tmp_path: Path, content: str | None, text: str) -> None:
    file = tmp_path / "defs.json"
    if content is not None:
        file.write_text(content)
    result = serve(tmp_path / "data", WARREN_LOAD_DEFINITIONS=str(file))
    expect_refusal(result, f"load_definitions: {file}", text)


def test_it_stops_with_zero_on_sigterm_and_leaves_nothing(tmp_path: Path) -> None:
    server = Warren(tmp_path / "one", gateways=2, shards=2)
    server.start()
    status = server.status()
    assert server.stop() == 0
    assert not Path(status["shared_directory"]).exists()
    assert not Path(status["runtime_directory"]).exists() or not list(Path(status["runtime_directory"]).iterdir())
