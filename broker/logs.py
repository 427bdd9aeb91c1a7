"""Logs of all processes: one line per event on stderr, as text or as JSON, with the process it comes from.

What belongs to an event beside its text goes into `extra={"fields": {...}}`: text shows it as key=value, JSON as keys
of their own. Never writes files: systemd, a container or a shell redirection keeps them.
"""
from __future__ import annotations

import datetime
import logging
import sys
from typing import Any, Final

import orjson

FORMATS: Final = ("text", "json")


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created).astimezone()
    return moment.isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


class TextFormatter(logging.Formatter):
    """`2026-11-21T10:00:00.123+00:00 info shard-0 shards.worker: recovered entries=12`"""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        parts = [f"{_time(record)} {record.levelname.lower()} {self._process} {record.name}: {record.getMessage()}"]
        parts += [f"{key}={value}" for key, value in _fields(record).items()]
        line = " ".join(parts).replace("\n", "\\n")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage().encode("utf-8", "backslashreplace").decode(),
        }
        for key, value in _fields(record).items():
            event.setdefault(key, value)
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(event, default=str).decode()


def configure(process: str, level: str, log_format: str) -> None:
    """Logging of this process; before anything is logged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if log_format == "json" else TextFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    logging.raiseExceptions = False         # a broken pipe at stderr must not stop a broker
