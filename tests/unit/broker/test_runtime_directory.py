"""The runtime directory: where it is, whose it is, and that it is empty."""
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from broker import runtime_directory
from broker.runtime_directory import RuntimeDirectory
from bus.context import StartError

ID = f"test{os.getpid()}"


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path_factory.mktemp("r")
    monkeypatch.setattr(runtime_directory, "SHARED_MEMORY", directory)
    return directory


def test_it_is_below_the_directory_of_the_service_first(short: Path) -> None:
    (short / "service").mkdir()
    (short / "user").mkdir()
    environment = {"RUNTIME_DIRECTORY": str(short / "service"), "XDG_RUNTIME_DIR": str(short / "user")}
    runtime = RuntimeDirectory(ID, environment, 0)
    assert runtime.path == short / "service" / ID
    assert runtime.path.stat().st_mode & 0o777 == 0o700
    runtime.close()
    assert not runtime.path.exists()


def test_a_path_too_long_for_sockets_is_not_taken(short: Path) -> None:
    deep = short / ("x" * 90)
    deep.mkdir()
    runtime = RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(deep)}, 0)
    assert runtime.path == Path(f"/tmp/warren-{os.getuid()}-{ID}")
    runtime.close()


def test_what_a_killed_broker_left_is_swept(short: Path) -> None:
    left = short / f"warren-{ID}"
    left.mkdir()
    (left / "supervisor").write_text("")
    (left / "shared").mkdir()
    (left / "shared" / "link").write_text("")
    runtime = RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(short)}, 1 << 60)
    assert list(runtime.path.iterdir()) == [runtime.shared_path]
    assert list(runtime.shared_path.iterdir()) == []
    runtime.close()


def test_two_brokers_do_not_share_it(short: Path) -> None:
    runtime = RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(short)}, 1 << 60)
    with pytest.raises(StartError, match="in use"):
        RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(short)}, 1 << 60)
    runtime.close()


def test_a_link_to_somewhere_else_is_refused(short: Path) -> None:
    (short / "elsewhere").mkdir()
    (short / f"warren-{ID}").symlink_to(short / "elsewhere")
    with pytest.raises(StartError):
        RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(short)}, 1 << 60)


def test_links_go_to_shared_memory_only_where_they_fit(short: Path, tmp_path: Path) -> None:
    small = RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(tmp_path)}, 4096)
    assert small.shared_path == short / f"warren-{ID}"
    small.close()
    assert not small.shared_path.exists()
    large = RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(tmp_path)}, 1 << 60)
    assert large.shared_path == large.path / "shared"
    large.close()


def test_what_a_broker_elsewhere_left_in_shared_memory_is_removed_when_nobody_holds_it(short: Path) -> None:
    other = RuntimeDirectory(f"{ID}-other", {"XDG_RUNTIME_DIR": str(short)}, 0)
    abandoned, fresh, held = short / "warren-abandoned", short / "warren-fresh", other.shared_path
    for path in (abandoned, fresh):
        path.mkdir()
    (abandoned / "link").write_bytes(b"1")
    long_ago = time.time() - 2 * runtime_directory.ABANDONED_AFTER_S
    for path in (abandoned, held):
        os.utime(path, (long_ago, long_ago))
    runtime = RuntimeDirectory(ID, {"XDG_RUNTIME_DIR": str(short)}, 0)
    assert not abandoned.exists()
    assert fresh.exists()
    assert held.exists()
    runtime.close()
    other.close()
