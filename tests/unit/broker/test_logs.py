"""Log lines for people and for programs."""
from __future__ import annotations

import logging

import orjson

from broker.logs import JsonFormatter, TextFormatter


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("shards.worker", logging.WARNING, __file__, 1, message, (), None)
    made.fields = fields
    return made


def test_text_names_level_process_logger_and_fields() -> None:
    line = TextFormatter("shard-0").format(record("recovered", entries=12))
    assert line.endswith("warning shard-0 shards.worker: recovered entries=12")


def test_a_line_break_in_a_message_does_not_make_a_second_line() -> None:
    assert "\n" not in TextFormatter("shard-0").format(record("a\nforged line"))


def test_json_is_one_object_and_fields_do_not_hide_the_rest() -> None:
    document = orjson.loads(JsonFormatter("shard-0").format(record("caf\udce9", entries=12, level="nope")))
    assert document["level"] == "warning"
    assert document["process"] == "shard-0"
    assert document["entries"] == 12
    assert document["message"] == "caf\\udce9"
