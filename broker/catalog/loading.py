"""Definitions that are loaded when the broker starts: the settings load_definitions and definitions_skip_if_unchanged.

Runs before anybody is answered, so the state that gateways and shards get first holds them already. A file that is
wrong stops the start; what it would have changed is not there then, while files before it in a directory are.
"""
from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from amqp091.errors import AMQPError
from broker.catalog.core import Catalog
from broker.catalog.requests.definitions import decide
from bus.context import StartError
from topology import changes
from topology.definitions import DOCUMENT_BYTES_MAX, IMPORTED_HASH, parse

logger = logging.getLogger(__name__)


def load_definitions(catalog: Catalog, path: Path, *, skip_if_unchanged: bool) -> None:
    """One file, or all files of a directory in the order of their names. StartError."""
    contents = [(file, _read(file)) for file in _files(path)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for _, content in contents)).hexdigest()
    if skip_if_unchanged and catalog.topology.global_parameters.get(IMPORTED_HASH) == digest:
        logger.info("the definitions in %s have not changed since they were loaded", path)
        return
    for file, content in contents:
        _load(catalog, file, content)
    decision = catalog.decide()
    decision.add(changes.global_parameter_set(IMPORTED_HASH, digest))
    decision.commit_now()


def _files(path: Path) -> list[Path]:
    try:
        return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(path: Path, error: OSError) -> StartError:
    return StartError(f"load_definitions: {path} cannot be read: {error.strerror}")


def _load(catalog: Catalog, file: Path, content: bytes) -> None:
    try:
        decision, plan = decide(catalog, parse(content))
        decision.commit_now()
    except AMQPError as error:
        raise StartError(f"load_definitions: {file}: {' '.join(error.text.split())}") from None
    for warning in plan.warnings:
        logger.warning("%s: %s", file, warning)
    changed = ", ".join(f"{count} {category}" for category, count in plan.counts.items())
    logger.info("loaded the definitions in %s: %s", file, changed or "nothing to change")
