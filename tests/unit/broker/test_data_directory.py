"""The data directory: identity, version, lock."""
from __future__ import annotations

import errno
import os
from pathlib import Path

import orjson
import pytest

from broker import data_directory
from broker.data_directory import DataDirectory, explain, read_broker_file
from bus.context import StartError


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_directory, "LOCK_WAIT_S_MAX", 0.0)


def test_a_new_directory_gets_an_identity_that_stays(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path / "data")
    first.close()
    second = DataDirectory(tmp_path / "data")
    second.close()
    assert first.identity == second.identity
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_copy_has_the_identity_but_another_short_id(tmp_path: Path) -> None:
    one = DataDirectory(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "identity.json").write_bytes((tmp_path / "one" / "identity.json").read_bytes())
    two = DataDirectory(tmp_path / "two")
    assert one.identity == two.identity
    assert one.short_id != two.short_id
    one.close()
    two.close()


def test_a_second_broker_is_kept_out_and_told_whose_it_is(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    first.write_broker_file({"pid": 4711})
    with pytest.raises(StartError, match=r"in use by another broker \(pid 4711\)"):
        DataDirectory(tmp_path)
    first.close()
    assert read_broker_file(tmp_path) is None
    DataDirectory(tmp_path).close()


def test_the_lock_lives_as_long_as_any_process_that_holds_it(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    held_by_a_child = os.dup(first.lock_descriptor)
    first.close()
    with pytest.raises(StartError):
        DataDirectory(tmp_path)
    os.close(held_by_a_child)
    DataDirectory(tmp_path).close()


def test_an_unknown_version_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_bytes(orjson.dumps({"format": 9, "id": "x"}))
    before = {entry: entry.stat().st_mtime_ns for entry in (tmp_path, *tmp_path.iterdir())}
    with pytest.raises(StartError, match="has format 9"):
        DataDirectory(tmp_path)
    assert {entry: entry.stat().st_mtime_ns for entry in (tmp_path, *tmp_path.iterdir())} == before


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"format": "x", "id": 1}'])
def test_a_damaged_identity_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(StartError, match="damaged"):
        DataDirectory(tmp_path)


def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(StartError, match=r"holds 'thesis.tex'"):
        DataDirectory(tmp_path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartError, match="is not a directory"):
        DataDirectory(tmp_path / "data")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only"),
     (errno.EMFILE, "open files"), (errno.EIO, "Input/output error")],
)
def test_an_error_of_the_system_is_told_in_one_line_with_the_place(number: int, words: str) -> None:
    text = str(explain(OSError(number, os.strerror(number)), Path("/data")))
    assert words in text
    assert "\n" not in text
