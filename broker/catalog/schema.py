"""The catalog's database: its tables, its version, and how a file becomes one.

    <data directory>/catalog.db              what outlives the broker, synchronous=FULL
    <runtime directory>/catalog-transient.db what outlives only the catalog process; same tables

A new database is made under another name and renamed when it is complete, so a
file called catalog.db always has a header. The header (application id and
user_version, at fixed offsets of SQLite's format) is read before SQLite opens
the file: a database of an unknown version is refused with nothing touched. One of
an older version is brought up to date when the catalog opens it.

    version  what it brought
          1  vhosts, users, permissions, exchanges, queues, bindings
          2  policies
          3  topic permissions, parameters (vhost limits among them), limits of users, metadata of vhosts
"""
from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bus.context import StartError

CATALOG_FILE: Final = "catalog.db"
TRANSIENT_FILE: Final = "catalog-transient.db"
UNFINISHED_SUFFIX: Final = ".new"
SQLITE_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")

SCHEMA_VERSION: Final = 3
SCHEMA_VERSION_OLDEST: Final = 1            # read, and brought up to date by UPGRADES
APPLICATION_ID: Final = 0x57524E43          # "WRNC"
SQLITE_MAGIC: Final = b"SQLite format 3\0"
HEADER_BYTES: Final = 100
USER_VERSION_OFFSET: Final = 60
APPLICATION_ID_OFFSET: Final = 68
BUSY_TIMEOUT_S: Final = 5.0                 # a predecessor that was killed may take a moment to vanish

VERSION_1: Final = """
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE vhosts (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    hashing_algorithm TEXT NOT NULL,
    tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE permissions (
    user TEXT NOT NULL,
    vhost TEXT NOT NULL,
    configure TEXT NOT NULL,
    write TEXT NOT NULL,
    read TEXT NOT NULL,
    PRIMARY KEY (user, vhost)
) WITHOUT ROWID;
CREATE TABLE exchanges (
    vhost TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    auto_delete INTEGER NOT NULL,
    internal INTEGER NOT NULL,
    arguments TEXT NOT NULL,
    PRIMARY KEY (vhost, name)
) WITHOUT ROWID;
CREATE TABLE queues (
    queue_id INTEGER PRIMARY KEY,
    vhost TEXT NOT NULL,
    name TEXT NOT NULL,
    auto_delete INTEGER NOT NULL,
    exclusive INTEGER NOT NULL,
    owner TEXT,
    arguments TEXT NOT NULL,
    shard INTEGER NOT NULL
);
CREATE INDEX queues_by_name ON queues (vhost, name);
CREATE TABLE bindings (
    vhost TEXT NOT NULL,
    source TEXT NOT NULL,
    destination_kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    arguments TEXT NOT NULL,
    PRIMARY KEY (vhost, source, destination_kind, destination, routing_key, arguments)
) WITHOUT ROWID;
CREATE INDEX bindings_by_destination ON bindings (vhost, destination_kind, destination);
"""
POLICIES: Final = """
CREATE TABLE policies (
    vhost TEXT NOT NULL,
    operator INTEGER NOT NULL,
    name TEXT NOT NULL,
    pattern TEXT NOT NULL,
    apply_to TEXT NOT NULL,
    priority NUMERIC NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (vhost, operator, name)
) WITHOUT ROWID;
"""
RIGHTS_AND_LIMITS: Final = """
CREATE TABLE topic_permissions (
    user TEXT NOT NULL,
    vhost TEXT NOT NULL,
    exchange TEXT NOT NULL,
    write TEXT NOT NULL,
    read TEXT NOT NULL,
    PRIMARY KEY (user, vhost, exchange)
) WITHOUT ROWID;
CREATE TABLE parameters (
    vhost TEXT NOT NULL,
    component TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (vhost, component, name)
) WITHOUT ROWID;
CREATE TABLE global_parameters (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
ALTER TABLE users ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE vhosts ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
"""
UPGRADES: Final[dict[int, str]] = {1: POLICIES, 2: RIGHTS_AND_LIMITS}
"""The statements that lead from a version to the next."""


class UnusableCatalog(StartError):
    """The database cannot be used as it is; the text says what is wrong and what to do."""


def check_header(path: Path) -> int:
    """The version of a catalog; UnusableCatalog unless this program reads it. Reads the file and nothing more."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise UnusableCatalog(f"the catalog {path} cannot be read: {error.strerror}") from error
    if len(header) < HEADER_BYTES or not header.startswith(SQLITE_MAGIC):
        raise UnusableCatalog(f"{path} is not a catalog: it is no SQLite database. It was left as it is.")
    (application_id,) = struct.unpack_from(">I", header, APPLICATION_ID_OFFSET)
    (version,) = struct.unpack_from(">I", header, USER_VERSION_OFFSET)
    if application_id != APPLICATION_ID:
        raise UnusableCatalog(f"{path} is not a catalog: it belongs to another program. It was left as it is.")
    check_version(path, version)
    return int(version)


def check_version(path: Path, version: int) -> None:
    """UnusableCatalog unless this program reads the version."""
    if not SCHEMA_VERSION_OLDEST <= version <= SCHEMA_VERSION:
        raise UnusableCatalog(
            f"the catalog {path} has version {version}, this program reads versions {SCHEMA_VERSION_OLDEST} to "
            f"{SCHEMA_VERSION}. It was left as it is; start the version of the program that wrote it."
        )


def upgrade(path: Path, connection: sqlite3.Connection) -> None:
    """Brings the main database of a connection up to date, in one transaction. UnusableCatalog where it is too new.

    The header of the file may be behind: what was committed last can still be in the write-ahead log.
    """
    (version,) = connection.execute("PRAGMA main.user_version").fetchone()
    check_version(path, version)
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for older in range(version, SCHEMA_VERSION):
        for statement in UPGRADES[older].split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA main.user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def create(path: Path, statements: Iterable[tuple[str, tuple[object, ...]]] = (), *, lasting: bool = True) -> None:
    """A new database at `path` with the rows that the statements insert: complete, or not there.

    A `lasting` one is on the disk when this returns.
    """
    unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
    try:
        remove(unfinished)
        _fill(unfinished, statements)
        if lasting:
            sync(unfinished)
        remove(path)        # a journal left by a database that was here before would be taken for the new one's
        os.replace(unfinished, path)
        if lasting:
            sync(path.parent)
    except (OSError, sqlite3.DatabaseError) as error:
        raise UnusableCatalog(
            f"the catalog {path} cannot be created: {error}. Is the directory writable, has the disk room?"
        ) from error


def _fill(unfinished: Path, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
    connection = sqlite3.connect(unfinished, isolation_level=None)
    try:
        connection.executescript(
            f"PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF; PRAGMA application_id={APPLICATION_ID}; "
            f"PRAGMA user_version={SCHEMA_VERSION}; BEGIN; {VERSION_1}{''.join(UPGRADES.values())}"
        )
        for statement, values in statements:
            connection.execute(statement, values)
        connection.execute("COMMIT")
    finally:
        connection.close()


def remove(path: Path) -> None:
    """The database and what SQLite keeps beside it, as far as it is there."""
    for suffix in SQLITE_COMPANIONS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """What was written to a file, or which files a directory names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def highest_shard(data_directory: str | os.PathLike[str]) -> int:
    """The highest shard that a durable queue is placed on; -1 where there is none.

    For the supervisor, before it starts the catalog: queues stay on their shard
    when the configured number of shards is reduced. UnusableCatalog as above.
    """
    path = Path(data_directory) / CATALOG_FILE
    if not path.exists():
        return -1
    check_header(path)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        (highest,) = connection.execute("SELECT max(shard) FROM queues").fetchone()
    except sqlite3.DatabaseError as error:
        raise UnusableCatalog(f"the catalog {path} cannot be read: {error}") from error
    finally:
        connection.close()
    return -1 if highest is None else int(highest)
