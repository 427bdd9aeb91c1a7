"""A broker that cannot start says why in one line, what to do about it, and ends with an error."""
from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]
START_S_MAX = 60


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker.main", "serve", "--log-level", "error", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
    )


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The complaint, which is all that was said."""
    assert result.returncode != 0
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("warren: ")
    return lines[0]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_typo_in_the_settings_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "warren.toml"
    file.write_text("prot = 5672\n")
    line = one_line(serve("--settings", str(file), "--data", str(tmp_path / "data")))
    assert "unknown setting 'prot'; did you mean 'port'?" in line
    assert not (tmp_path / "data").exists()


def test_a_bad_value_in_the_environment_is_named(tmp_path: Path) -> None:
    line = one_line(serve("--data", str(tmp_path / "data"), WARREN_SHARDS="none"))
    assert "environment: setting 'WARREN_SHARDS' is 'none'" in line


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = one_line(serve("--data", str(tmp_path / "data"), "--port", str(port)))
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use by another program" in line


def test_an_unknown_version_of_the_data_is_named_and_nothing_touched(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "identity.json").write_bytes(orjson.dumps({"format": 99, "id": "from the future"}))
    before = data.stat().st_mtime_ns
    line = one_line(serve("--data", str(data), "--port", "0"))
    assert "has format 99" in line
    assert [entry.name for entry in data.iterdir()] == ["identity.json"]
    assert data.stat().st_mtime_ns == before


def test_a_directory_with_other_things_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    line = one_line(serve("--data", str(tmp_path), "--port", "0"))
    assert "'holiday.jpg'" in line


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    line = one_line(serve("--data", str(tmp_path / "data"), "--port", "0"))
    assert f"no permission to write to {tmp_path / 'data'}" in line


def test_a_read_only_disk_is_named(mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    line = one_line(serve("--data", str(mounted), "--port", "0"))
    assert f"{mounted} is on a read-only file system" in line


def test_a_full_disk_is_named(mounted: Path) -> None:
    with (mounted / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            pass
    (mounted / "filler").rename(mounted / "lost+found")
    line = one_line(serve("--data", str(mounted), "--port", "0"))
    assert f"no space left on the disk of {mounted}" in line


def test_a_disk_too_small_for_the_log_is_named(mounted: Path) -> None:
    line = one_line(serve("--data", str(mounted), "--port", "0"))
    assert "no space left" in line


def test_without_a_running_broker_the_other_commands_say_so(tmp_path: Path) -> None:
    for command in (["status"], ["list", "queues"], ["purge-queue", "q"]):
        result = subprocess.run(
            [sys.executable, "-m", "broker.main", *command, "--data", str(tmp_path)],
            cwd=ROOT, capture_output=True, text=True, timeout=START_S_MAX,
        )
        assert result.returncode == 1
        assert f"no broker is running on data directory {tmp_path}" in result.stderr
        assert "Traceback" not in result.stderr
