"""What the catalog keeps on the disk: operations in, operations out.

Owns the SQLite connection. Durable objects live in the main database, which is
synced at each commit; transient ones in an attached database in the runtime
directory, which is not: it serves a catalog that was restarted under a running
broker and is thrown away when the broker starts. Never decides anything.

A commit covers both databases, but a crash may fall between them. Loading puts
that right: bindings without their ends are dropped.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from broker.catalog import schema
from broker.catalog.schema import UnusableCatalog
from topology.changes import Op
from topology.model import QUEUE
from topology.replica import Replica

MAIN: Final = "main"
TRANSIENT: Final = "transient"
BOTH: Final = (MAIN, TRANSIENT)
QUEUE_IDS_RESERVED: Final = "queue_ids_reserved"
PAGE_CACHE_KIB: Final = 8192
RESERVE_QUEUE_IDS: Final = "queue_ids.reserve"      # an operation for the store alone: upto

Values = Sequence[object]
_MAIN_ONLY: Final = frozenset({
    "vhost.add", "vhost.delete", "user.add", "user.delete", "permission.set", "permission.clear",
    "topic_permission.set", "topic_permission.clear", "policy.set", "policy.clear", "parameter.set", "parameter.clear",
    "global_parameter.set", "global_parameter.clear", RESERVE_QUEUE_IDS,
})


class StoreFull(Exception):
    """The disk has no room for the change; nothing of it was kept."""


class Store:
    """The two databases, open. One thread at a time may call it."""

    def __init__(self, data_directory: Path, runtime_directory: Path) -> None:
        """Opens an existing catalog. UnusableCatalog where the file is not what it should be."""
        self.path = data_directory / schema.CATALOG_FILE
        schema.check_header(self.path)
        transient = runtime_directory / schema.TRANSIENT_FILE
        if not _is_usable(transient):
            schema.remove(transient)
            schema.create(transient, lasting=False)
        try:
            self._connection = self._open(transient)
        except sqlite3.DatabaseError as error:
            raise UnusableCatalog(f"the catalog {self.path} cannot be opened: {error}") from error

    def _open(self, transient: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=schema.BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("ATTACH DATABASE ? AS transient", (str(transient),))
        for name in BOTH:
            connection.execute(f"PRAGMA {name}.journal_mode=WAL")
            connection.execute(f"PRAGMA {name}.cache_size=-{PAGE_CACHE_KIB}")
        connection.execute("PRAGMA transient.synchronous=OFF")
        connection.execute("PRAGMA main.synchronous=FULL")
        schema.upgrade(self.path, connection)
        # A commit whose sync failed may have left pages that only look written: copying them writes them again.
        connection.execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
        return connection

    def close(self) -> None:
        self._connection.close()

    # reading

    def load(self) -> Replica:
        """The state as it was committed last."""
        replica = Replica()
        try:
            replica.apply_ops(self._objects())
            dangling: list[Op] = []
            for op in self._bindings():
                replica.apply_ops((op,))
                if not _is_bound(replica, op):
                    dangling.append({**op, "op": "binding.delete"})
        except (sqlite3.DatabaseError, orjson.JSONDecodeError, KeyError, ValueError) as error:
            raise UnusableCatalog(f"the catalog {self.path} is damaged: {error}") from error
        if dangling:
            self.write(dangling)
        return replica

    def queue_ids_reserved(self) -> int:
        """Queue ids below this were, or may have been, given out."""
        row = self._connection.execute("SELECT value FROM main.counters WHERE name = ?", (QUEUE_IDS_RESERVED,))
        found = row.fetchone()
        return int(found[0]) if found else 1

    def _objects(self) -> Iterator[Op]:
        query = self._connection.execute
        for name, metadata in query("SELECT * FROM main.vhosts"):
            yield {"op": "vhost.add", "name": name, "metadata": orjson.loads(metadata)}
        for name, password_hash, algorithm, tags, limits in query("SELECT * FROM main.users"):
            yield {
                "op": "user.add", "name": name, "password_hash": password_hash, "hashing_algorithm": algorithm,
                "tags": orjson.loads(tags), "limits": orjson.loads(limits),
            }
        for user, vhost, configure, write, read in query("SELECT * FROM main.permissions"):
            yield {
                "op": "permission.set", "user": user, "vhost": vhost, "configure": configure, "write": write,
                "read": read,
            }
        for vhost, operator, name, pattern, apply_to, priority, definition in query("SELECT * FROM main.policies"):
            yield {
                "op": "policy.set", "vhost": vhost, "operator": bool(operator), "name": name, "pattern": pattern,
                "apply_to": apply_to, "priority": priority, "definition": orjson.loads(definition),
            }
        for user, vhost, exchange, write, read in query("SELECT * FROM main.topic_permissions"):
            yield {
                "op": "topic_permission.set", "user": user, "vhost": vhost, "exchange": exchange, "write": write,
                "read": read,
            }
        for vhost, component, name, value in query("SELECT * FROM main.parameters"):
            yield {
                "op": "parameter.set", "vhost": vhost, "component": component, "name": name,
                "value": orjson.loads(value),
            }
        for name, value in query("SELECT * FROM main.global_parameters"):
            yield {"op": "global_parameter.set", "name": name, "value": orjson.loads(value)}
        for schema_name in BOTH:
            durable = schema_name == MAIN
            for vhost, name, type_, auto_delete, internal, arguments in query(f"SELECT * FROM {schema_name}.exchanges"):
                yield {
                    "op": "exchange.add", "vhost": vhost, "name": name, "type": type_, "durable": durable,
                    "auto_delete": bool(auto_delete), "internal": bool(internal), "arguments": orjson.loads(arguments),
                }
            for queue_id, vhost, name, auto_delete, exclusive, owner, arguments, shard in query(
                f"SELECT * FROM {schema_name}.queues"
            ):
                yield {
                    "op": "queue.add", "queue_id": queue_id, "vhost": vhost, "name": name, "durable": durable,
                    "auto_delete": bool(auto_delete), "exclusive": bool(exclusive), "owner": owner,
                    "arguments": orjson.loads(arguments), "shard": shard,
                }

    def _bindings(self) -> Iterator[Op]:
        for schema_name in BOTH:
            for vhost, source, kind, destination, routing_key, arguments in self._connection.execute(
                f"SELECT * FROM {schema_name}.bindings"
            ):
                yield {
                    "op": "binding.add", "vhost": vhost, "source": source, "destination": destination,
                    "destination_kind": kind, "routing_key": routing_key, "arguments": orjson.loads(arguments),
                    "durable": schema_name == MAIN,
                }

    # writing

    def write(self, ops: Iterable[Op]) -> None:
        """All of the operations in one transaction; durable ones are on the disk when this returns.

        StoreFull where there is no room; any other error means that the state of the disk is unknown.
        """
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            for op in ops:
                _WRITE[op["op"]](execute, op)
            execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StoreFull(str(error)) from error
            raise


def needs_disk(ops: Iterable[Op]) -> bool:
    """Whether a commit of the operations waits for the disk."""
    return any(op["op"] in _MAIN_ONLY or op["durable"] for op in ops)


def first_rows(ops: Iterable[Op]) -> list[tuple[str, tuple[object, ...]]]:
    """Operations as statements for a database that is being created."""
    statements: list[tuple[str, tuple[object, ...]]] = []

    def execute(statement: str, values: Values = ()) -> None:
        statements.append((statement.replace(f"{MAIN}.", ""), tuple(values)))

    for op in ops:
        _WRITE[op["op"]](execute, op)
    return statements


def _is_usable(transient: Path) -> bool:
    """Whether there is a transient database of an earlier catalog process. Nothing of value is lost with one."""
    if not transient.exists():
        return False
    try:
        return schema.check_header(transient) == schema.SCHEMA_VERSION
    except UnusableCatalog:
        return False


def _is_bound(replica: Replica, op: Op) -> bool:
    vhost = replica.vhosts.get(op["vhost"])
    if vhost is None or op["source"] not in vhost.exchanges:
        return False
    return op["destination"] in (vhost.queues if op["destination_kind"] == QUEUE else vhost.exchanges)


Execute = Callable[..., Any]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _canonical(value: Any) -> str:
    """The same text for tables that differ only in the order of their fields: it is part of a binding's identity."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _database(op: Op) -> str:
    return MAIN if op["durable"] else TRANSIENT


def _reserve_queue_ids(execute: Execute, op: Op) -> None:
    execute("INSERT OR REPLACE INTO main.counters VALUES (?, ?)", (QUEUE_IDS_RESERVED, op["upto"]))


def _vhost_add(execute: Execute, op: Op) -> None:
    execute("INSERT OR REPLACE INTO main.vhosts VALUES (?, ?)", (op["name"], _json(op["metadata"])))


def _vhost_delete(execute: Execute, op: Op) -> None:
    execute("DELETE FROM main.vhosts WHERE name = ?", (op["name"],))
    for table in ("permissions", "topic_permissions", "policies", "parameters"):
        execute(f"DELETE FROM main.{table} WHERE vhost = ?", (op["name"],))
    for name in BOTH:
        for table in ("bindings", "queues", "exchanges"):
            execute(f"DELETE FROM {name}.{table} WHERE vhost = ?", (op["name"],))


def _exchange_add(execute: Execute, op: Op) -> None:
    execute(
        f"INSERT OR REPLACE INTO {_database(op)}.exchanges VALUES (?, ?, ?, ?, ?, ?)",
        (op["vhost"], op["name"], op["type"], op["auto_delete"], op["internal"], _json(op["arguments"])),
    )


def _exchange_delete(execute: Execute, op: Op) -> None:
    name = _database(op)
    execute(f"DELETE FROM {name}.exchanges WHERE vhost = ? AND name = ?", (op["vhost"], op["name"]))
    for database in BOTH if op["durable"] else (TRANSIENT,):
        execute(f"DELETE FROM {database}.bindings WHERE vhost = ? AND source = ?", (op["vhost"], op["name"]))
    _delete_bindings_to(execute, op, "exchange")


def _queue_add(execute: Execute, op: Op) -> None:
    execute(
        f"INSERT OR REPLACE INTO {_database(op)}.queues VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            op["queue_id"], op["vhost"], op["name"], op["auto_delete"], op["exclusive"], op["owner"],
            _json(op["arguments"]), op["shard"],
        ),
    )


def _queue_delete(execute: Execute, op: Op) -> None:
    execute(f"DELETE FROM {_database(op)}.queues WHERE queue_id = ?", (op["queue_id"],))
    _delete_bindings_to(execute, op, "queue")


def _delete_bindings_to(execute: Execute, op: Op, kind: str) -> None:
    # A durable object may have transient bindings, a transient one has no durable ones.
    for name in BOTH if op["durable"] else (TRANSIENT,):
        execute(
            f"DELETE FROM {name}.bindings WHERE vhost = ? AND destination_kind = ? AND destination = ?",
            (op["vhost"], kind, op["name"]),
        )


def _binding_values(op: Op) -> Values:
    return (
        op["vhost"], op["source"], op["destination_kind"], op["destination"], op["routing_key"],
        _canonical(op["arguments"]),
    )


def _binding_add(execute: Execute, op: Op) -> None:
    execute(f"INSERT OR IGNORE INTO {_database(op)}.bindings VALUES (?, ?, ?, ?, ?, ?)", _binding_values(op))


def _binding_delete(execute: Execute, op: Op) -> None:
    execute(
        f"DELETE FROM {_database(op)}.bindings WHERE vhost = ? AND source = ? AND destination_kind = ? "
        "AND destination = ? AND routing_key = ? AND arguments = ?",
        _binding_values(op),
    )


def _user_add(execute: Execute, op: Op) -> None:
    execute(
        "INSERT OR REPLACE INTO main.users VALUES (?, ?, ?, ?, ?)",
        (op["name"], op["password_hash"], op["hashing_algorithm"], _json(op["tags"]), _json(op["limits"])),
    )


def _user_delete(execute: Execute, op: Op) -> None:
    execute("DELETE FROM main.users WHERE name = ?", (op["name"],))
    for table in ("permissions", "topic_permissions"):
        execute(f"DELETE FROM main.{table} WHERE user = ?", (op["name"],))


def _permission_set(execute: Execute, op: Op) -> None:
    execute(
        "INSERT OR REPLACE INTO main.permissions VALUES (?, ?, ?, ?, ?)",
        (op["user"], op["vhost"], op["configure"], op["write"], op["read"]),
    )


def _permission_clear(execute: Execute, op: Op) -> None:
    execute("DELETE FROM main.permissions WHERE user = ? AND vhost = ?", (op["user"], op["vhost"]))


def _policy_set(execute: Execute, op: Op) -> None:
    execute(
        "INSERT OR REPLACE INTO main.policies VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            op["vhost"], op["operator"], op["name"], op["pattern"], op["apply_to"], op["priority"],
            _json(op["definition"]),
        ),
    )


def _policy_clear(execute: Execute, op: Op) -> None:
    execute(
        "DELETE FROM main.policies WHERE vhost = ? AND operator = ? AND name = ?",
        (op["vhost"], op["operator"], op["name"]),
    )


def _topic_permission_set(execute: Execute, op: Op) -> None:
    execute(
        "INSERT OR REPLACE INTO main.topic_permissions VALUES (?, ?, ?, ?, ?)",
        (op["user"], op["vhost"], op["exchange"], op["write"], op["read"]),
    )


def _topic_permission_clear(execute: Execute, op: Op) -> None:
    execute(
        "DELETE FROM main.topic_permissions WHERE user = ? AND vhost = ? AND exchange = ?",
        (op["user"], op["vhost"], op["exchange"]),
    )


def _parameter_set(execute: Execute, op: Op) -> None:
    execute(
        "INSERT OR REPLACE INTO main.parameters VALUES (?, ?, ?, ?)",
        (op["vhost"], op["component"], op["name"], _json(op["value"])),
    )


def _parameter_clear(execute: Execute, op: Op) -> None:
    execute(
        "DELETE FROM main.parameters WHERE vhost = ? AND component = ? AND name = ?",
        (op["vhost"], op["component"], op["name"]),
    )


def _global_parameter_set(execute: Execute, op: Op) -> None:
    execute("INSERT OR REPLACE INTO main.global_parameters VALUES (?, ?)", (op["name"], _json(op["value"])))


def _global_parameter_clear(execute: Execute, op: Op) -> None:
    execute("DELETE FROM main.global_parameters WHERE name = ?", (op["name"],))


_WRITE: Final[dict[str, Callable[[Execute, Op], None]]] = {
    RESERVE_QUEUE_IDS: _reserve_queue_ids,
    "vhost.add": _vhost_add,
    "vhost.delete": _vhost_delete,
    "exchange.add": _exchange_add,
    "exchange.delete": _exchange_delete,
    "queue.add": _queue_add,
    "queue.delete": _queue_delete,
    "binding.add": _binding_add,
    "binding.delete": _binding_delete,
    "user.add": _user_add,
    "user.delete": _user_delete,
    "permission.set": _permission_set,
    "permission.clear": _permission_clear,
    "policy.set": _policy_set,
    "policy.clear": _policy_clear,
    "topic_permission.set": _topic_permission_set,
    "topic_permission.clear": _topic_permission_clear,
    "parameter.set": _parameter_set,
    "parameter.clear": _parameter_clear,
    "global_parameter.set": _global_parameter_set,
    "global_parameter.clear": _global_parameter_clear,
}
