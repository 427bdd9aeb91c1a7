"""The steps of recovery over all entries do what NumPy would, and refuse what does not fit together."""
from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from log.formats import ENTRY_DELAYED, ENTRY_DTYPE, ENTRY_EXPIRES, INDEX_COPIED, INDEX_DELAYED, INDEX_DTYPE
from log.gathering import deal, gather, queue_id_range, raise_to_highest
from log.recovery import split

PLACE = 3


def index_of(*rows: tuple[int, int, int, int, int, int]) -> NDArray[np.void]:
    """(position8, queue id, priority, flags, entry number, expires at)."""
    made = np.zeros(len(rows), INDEX_DTYPE)
    for field, values in zip(
        ("position8", "queue_id", "priority", "flags", "entry_number", "expires_at_ms"),
        zip(*rows, strict=True) if rows else ((),) * 6, strict=True,
    ):
        made[field] = values
    return made


def entries_of(numbers: list[int]) -> NDArray[np.void]:
    made = np.zeros(len(numbers), ENTRY_DTYPE)
    made["number"], made["slot"] = numbers, range(len(numbers))
    return made


def ids(*values: int) -> NDArray[np.uint32]:
    return np.array(values, np.uint32)


def test_the_wanted_entries_of_a_segment_are_gathered() -> None:
    index = index_of((5, 7, 9, INDEX_COPIED, 1, 0), (6, 7, 0, 0, 2, 0), (7, 8, 0, 0, 2**40, 99),
                     (8, 2**32 - 1, 1, INDEX_DELAYED, 4, 99))
    entries, queue_ids = np.zeros(3, ENTRY_DTYPE), np.zeros(3, np.uint32)
    acks = np.array([0, 255, 2, 253], np.uint8)
    assert gather(index, acks, np.array([True, False, True, True]), PLACE, entries, queue_ids) == 3
    assert queue_ids.tolist() == [7, 8, 2**32 - 1]
    assert entries.tolist() == [
        (1, PLACE, 0, 5, 0, 0, 9), (2**40, PLACE, 2, 7, ENTRY_EXPIRES, 2, 0), (4, PLACE, 3, 8, ENTRY_DELAYED, 253, 1)]


def test_nothing_is_gathered_from_an_empty_segment() -> None:
    none = np.empty(0, np.uint8)
    assert gather(index_of(), none, none.view(np.bool_), 0, np.empty(0, ENTRY_DTYPE), np.empty(0, np.uint32)) == 0


@pytest.mark.parametrize(("slots", "acks", "wanted", "room", "id_room"), [
    (2, 1, 2, 2, 2), (2, 2, 1, 2, 2), (1, 2, 2, 2, 2), (2, 2, 2, 1, 1), (2, 2, 2, 2, 1), (2, 2, 2, 0, 0),
])
def test_what_does_not_fit_is_refused(slots: int, acks: int, wanted: int, room: int, id_room: int) -> None:
    with pytest.raises(ValueError):
        gather(index_of(*[(1, 1, 0, 0, 1, 0)] * slots), np.zeros(acks, np.uint8), np.ones(wanted, np.bool_), 0,
               np.zeros(room, ENTRY_DTYPE), np.zeros(id_room, np.uint32))


def test_arrays_of_another_form_are_refused() -> None:
    other = np.zeros(1, np.uint64)
    with pytest.raises(ValueError):
        gather(other, np.zeros(1, np.uint8), np.ones(1, np.bool_), 0, np.zeros(1, ENTRY_DTYPE), ids(0))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        deal(other, ids(0), 0, 1)                       # type: ignore[arg-type]
    with pytest.raises(ValueError):
        queue_id_range(other)                           # type: ignore[arg-type]
    with pytest.raises(ValueError):
        raise_to_highest(other, 0, np.zeros(1, np.uint64))  # type: ignore[arg-type]


def test_entries_are_dealt_to_their_queues_in_order() -> None:
    dealt, bounds, unsorted = deal(entries_of([1, 10, 2, 11, 3]), ids(5, 7, 5, 7, 5), 5, 8)
    assert dealt["number"].tolist() == [1, 2, 3, 10, 11] and bounds.tolist() == [0, 3, 3, 5, 5]
    assert not unsorted.any()


def test_a_queue_whose_entries_are_out_of_order_is_told() -> None:
    _, _, unsorted = deal(entries_of([9, 3, 4, 4, 1, 2]), ids(0, 1, 0, 2, 2, 1), 0, 2)
    assert unsorted.tolist() == [True, True, True]


@pytest.mark.parametrize("wrong", [4, 9])
def test_an_id_out_of_bounds_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match=str(wrong)):
        deal(entries_of([1, 2]), ids(5, wrong), 5, 8)


def test_dealing_needs_arrays_of_one_length() -> None:
    with pytest.raises(ValueError):
        deal(entries_of([1, 2]), ids(5), 5, 8)
    with pytest.raises(ValueError):
        deal(entries_of([1]), ids(5), 6, 5)


@pytest.mark.parametrize("spread", [1, 50, 2**32 - 1], ids=["one queue", "many", "ids far apart"])
def test_splitting_is_sorting_by_queue_and_number(spread: int) -> None:
    chance = np.random.default_rng(7)
    numbers = chance.permutation(1000)
    queue_ids = (chance.integers(0, 40, 1000).astype(np.uint64) * (spread // 40 + (spread < 40))).astype(np.uint32)
    if spread == 1:
        queue_ids[:] = 6
    found = split(entries_of(numbers.tolist()), queue_ids)
    assert list(found) == np.unique(queue_ids).tolist()
    for queue_id, entries in found.items():
        assert entries["number"].tolist() == sorted(numbers[queue_ids == queue_id].tolist())
        assert (numbers[entries["slot"]] == entries["number"]).all()


def test_the_range_of_ids_and_the_highest_numbers() -> None:
    index = index_of((1, 7, 0, 0, 5, 0), (0, 1, 0, 0, 99, 0), (2, 9, 0, 0, 6, 0), (3, 7, 0, 0, 4, 0))
    assert queue_id_range(index) == (7, 9)
    table = np.array([0, 3, 50], np.uint64)
    raise_to_highest(index, 7, table)
    assert table.tolist() == [5, 3, 50]
    assert queue_id_range(index_of()) is None and queue_id_range(index_of((0, 1, 0, 0, 99, 0))) is None
    for lowest in (8, 6):
        with pytest.raises(ValueError):
            raise_to_highest(index, lowest, table)
