"""CRC-32C: the published numbers, and the instruction against the tables."""
from __future__ import annotations

import random

import pytest

from log.checksum import checksum


@pytest.mark.parametrize(("data", "expected"), [
    (b"", 0),
    (b"123456789", 0xE3069283),
    (b"\0" * 32, 0x8A9136AA),               # RFC 3720, B.4
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(reversed(range(32))), 0x113FDB5C),
])
@pytest.mark.parametrize("portable", [False, True])
def test_known_numbers(data: bytes, expected: int, portable: bool) -> None:
    assert checksum(data, portable=portable) == expected


def test_both_implementations_agree_at_every_length_where_they_change_their_step() -> None:
    rng = random.Random(1)
    for length in [*range(800), 6143, 6144, 6145, 6168, 6239, 6240, 12287, 12288, 12384, 25000]:
        data = rng.randbytes(length)
        assert checksum(data) == checksum(data, portable=True)


def test_a_checksum_can_be_continued() -> None:
    data = random.Random(2).randbytes(30_000)
    for cut in (0, 1, 7, 8, 4096, 29_999):
        assert checksum(data[cut:], checksum(data[:cut])) == checksum(data)
