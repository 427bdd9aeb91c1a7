"""The offset tables, the numpy types and the compiled structures say the same."""
from __future__ import annotations

import re

import pytest

from log import access, formats

TABLES = {
    "HEADER_DTYPE": ("magic", "created_at_ms", 0),
    "SEAL_DTYPE": ("seal_magic", "sealed_at_ms", formats.SEAL_OFFSET),
    "RECORD_DTYPE": ("record_bytes", "queue_count", 0),
    "INDEX_DTYPE": ("position8", "expires_at_ms", 0),
}


def documented() -> list[tuple[int, int, str]]:
    """(offset, size, field) of every line of the tables, in order."""
    rows = re.findall(r"^ +(\d+) +(\d+) +(\w+)", formats.__doc__ or "", re.MULTILINE)
    return [(int(offset), int(size), name) for offset, size, name in rows]


@pytest.mark.parametrize("name", TABLES)
def test_numpy_types_lie_where_the_tables_say(name: str) -> None:
    first, last, base = TABLES[name]
    dtype = getattr(formats, name)
    rows = documented()
    start = next(i for i, row in enumerate(rows) if row[2] == first and row[0] == base)
    end = next(i for i in range(start, len(rows)) if rows[i][2] == last)
    for offset, size, field in rows[start:end + 1]:
        if field != "reserved":
            field_dtype, field_offset = dtype.fields[field][:2]
            assert (field_offset + base, field_dtype.itemsize) == (offset, size), field


def test_compiled_structures_have_the_sizes_of_the_numpy_types() -> None:
    assert access.structure_sizes() == {
        "FileHeader": formats.HEADER_DTYPE.itemsize,
        "Seal": formats.SEAL_DTYPE.itemsize,
        "StoredRecord": formats.RECORD_DTYPE.itemsize,
        "RecordQueue": formats.RECORD_QUEUE_DTYPE.itemsize,
        "IndexEntry": formats.INDEX_DTYPE.itemsize,
        "Entry": formats.ENTRY_DTYPE.itemsize,
    }


def test_compiled_constants_are_those_of_the_formats() -> None:
    for name, value in access.constants().items():
        assert getattr(formats, name) == value, name
