"""Files of a log, lent for reading: nothing outside of them is ever read."""
from pathlib import Path

import pytest

from bus.lent import LENT_FILE_BYTES_MAX, LentFile

MAPPED_BYTES = 1 << 20


def test_what_is_in_the_file_is_read_wherever_it_ends_up(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    lent = LentFile(str(path), MAPPED_BYTES)
    assert lent.read(2, 3) == b"234"
    with path.open("ab") as file:
        file.write(bytes(8192) + b"grown")
    assert lent.read(10 + 8192, 5) == b"grown"
    path.unlink()
    assert lent.read(0, 4) == b"0123"


@pytest.mark.parametrize("position, n", [
    (0, 11), (10, 1), (11, 0), (5, 1 << 32), (MAPPED_BYTES, 1), ((1 << 64) - 1, 1), ((1 << 64) - 8, 16),
])
def test_places_outside_of_it_are_refused(tmp_path: Path, position: int, n: int) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with pytest.raises(IndexError):
        LentFile(str(path), MAPPED_BYTES).read(position, n)


def test_a_file_that_is_gone_or_of_no_possible_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LentFile(str(tmp_path / "gone"), MAPPED_BYTES)
    (tmp_path / "data").write_bytes(b"x")
    for size in (0, LENT_FILE_BYTES_MAX + 1):
        with pytest.raises(ValueError, match="cannot be lent"):
            LentFile(str(tmp_path / "data"), size)
