"""The dump shows every record with the state of its entries, and where the damage is."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from log import access, dump
from log.access import StoredMessage

from .conftest import OpenStore, commit


def test_a_dump_shows_messages_states_and_damage(open_store: OpenStore, message: Callable[..., StoredMessage],
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store()
    entries = [access.append(store, True, message(b"body %d" % n, ttl_ms=5), [7, 8], [n, n + 10]) for n in (1, 2, 3)]
    commit(store)
    access.acked(store, entries[0][0])
    access.delivered(store, entries[0][1], 2)
    path = open_store.files()[0]
    positions = [int(e[0]["position8"]) * 8 for e in entries]
    with path.open("r+b") as file:
        file.seek(positions[1] + 60)
        file.write(b"\xff")
    segment, first, damage, third = dump.dump(str(path))
    assert (segment["kind"], segment["number"], segment["sealed"]) == ("segment", 1, False)
    assert first["body_start"] == "body 1"
    assert first["ttl_ms"] == 5
    assert first["queues"] == [
        {"queue_id": 7, "entry_number": 1, "slot": 0, "ttl_ms": None, "state": "acknowledged"},
        {"queue_id": 8, "entry_number": 11, "slot": 1, "ttl_ms": None, "state": "delivered 2 times"},
    ]
    assert damage == {"kind": "damage", "position": positions[1], "bytes": positions[2] - positions[1]}
    assert third["queues"][0]["state"] == "ready"
    text = list(dump.lines(str(path.with_suffix(".index"))))
    assert len(text) == 4
    assert "DAMAGED" in text[2]
    assert "exchange 'ex' key 'key' persistent  body 6 'body 1'" in text[1]
    assert text[1].endswith("queues 7#1 acknowledged, 8#11 delivered 2 times")
    store.close()
    # Closing sealed what is there; the damage is only seen in the data.
    assert next(dump.dump(str(path)))["sealed"]
