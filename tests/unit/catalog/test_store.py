"""The database file: versions, damage, leftovers, and what becomes of it."""
import sqlite3
from pathlib import Path

import pytest

from broker.catalog import highest_shard, schema
from broker.catalog.process import open_store
from broker.catalog.schema import UnusableCatalog
from broker.catalog.store import Store
from topology import changes
from topology.model import Binding, Exchange, Queue

SETTINGS = {"default_user": "admin", "default_pass": "secret", "default_vhost": "main", "shards": 1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "runtime").mkdir()
    return tmp_path / "data"


@pytest.fixture
def runtime(tmp_path: Path, data: Path) -> Path:
    return tmp_path / "runtime"


def test_the_first_start_makes_the_default_vhost_and_user(data: Path, runtime: Path) -> None:
    store = open_store(data, runtime, SETTINGS)
    topology = store.load()
    store.close()
    user = topology.authenticate("admin", "secret")
    assert user is not None and user.tags == ("administrator",)
    assert topology.permitted("admin", "main", "configure", "anything")
    assert list(topology.vhosts) == ["main"]
    again = open_store(data, runtime, {**SETTINGS, "default_user": "other"})
    assert list(again.load().users) == ["admin"]
    again.close()


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("pragma", "text"),
    [("user_version=99", "has version 99, this program reads versions 1 to"), ("application_id=7", "another program")],
)
def test_an_unknown_version_is_refused_and_nothing_touched(
    data: Path, runtime: Path, pragma: str, text: str
) -> None:
    open_store(data, runtime, SETTINGS).close()
    connection = sqlite3.connect(data / schema.CATALOG_FILE)
    connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = files(data)
    for start in (lambda: open_store(data, runtime, SETTINGS), lambda: highest_shard(data)):
        with pytest.raises(UnusableCatalog, match=text):
            start()
    assert files(data) == before


@pytest.mark.parametrize("version", range(schema.SCHEMA_VERSION_OLDEST, schema.SCHEMA_VERSION))
def test_a_catalog_of_an_older_version_is_brought_up_to_date(data: Path, runtime: Path, version: int) -> None:
    store = open_store(data, runtime, SETTINGS)
    fresh = _tables(store)
    store.close()
    schema.remove(data / schema.CATALOG_FILE)
    _write_old(data / schema.CATALOG_FILE, version)
    assert schema.check_header(data / schema.CATALOG_FILE) == version
    assert highest_shard(data) == 0
    for _ in range(2):
        store = open_store(data, runtime, SETTINGS)
        assert schema.check_header(data / schema.CATALOG_FILE) == schema.SCHEMA_VERSION
        replica = store.load()
        assert [queue.name for queue in replica.queues()] == ["q"]
        assert (replica.vhosts["main"].vhost.description, replica.vhosts["main"].limits) == ("", {})
        assert (replica.users["u"].tags, replica.users["u"].limits) == (("administrator",), {})
        assert _tables(store) == fresh
        store.close()


def _write_old(path: Path, version: int) -> None:
    """A database as that version made it, with a vhost, a user and a queue."""
    connection = sqlite3.connect(path)
    steps = [schema.UPGRADES[older] for older in range(schema.SCHEMA_VERSION_OLDEST, version)]
    connection.executescript(schema.VERSION_1 + "".join(steps))
    connection.executescript(
        f"PRAGMA application_id={schema.APPLICATION_ID}; PRAGMA user_version={version};"
        "INSERT INTO vhosts (name) VALUES ('main');"
        "INSERT INTO users (name, password_hash, hashing_algorithm, tags) VALUES ('u', '', '', '[\"administrator\"]');"
        "INSERT INTO queues VALUES (1, 'main', 'q', 0, 0, NULL, '{}', 0);"
    )
    connection.close()


def _tables(store: Store) -> list[tuple[str, ...]]:
    return store._connection.execute("SELECT name, sql FROM main.sqlite_master ORDER BY name").fetchall()


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 4096])
def test_a_file_that_is_no_catalog_is_refused_and_nothing_touched(
    data: Path, runtime: Path, content: bytes
) -> None:
    (data / schema.CATALOG_FILE).write_bytes(content)
    with pytest.raises(UnusableCatalog, match="is not a catalog"):
        open_store(data, runtime, SETTINGS)
    assert files(data) == {schema.CATALOG_FILE: content}


def test_a_creation_that_was_cut_off_is_done_again(data: Path, runtime: Path) -> None:
    (data / (schema.CATALOG_FILE + schema.UNFINISHED_SUFFIX)).write_bytes(b"half")
    open_store(data, runtime, SETTINGS).close()
    assert list(files(data)) == [schema.CATALOG_FILE]


def test_a_damaged_database_says_so(data: Path, runtime: Path) -> None:
    open_store(data, runtime, SETTINGS).close()
    path = data / schema.CATALOG_FILE
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UnusableCatalog, match="damaged"):
        open_store(data, runtime, SETTINGS).load()


def test_a_directory_without_write_permission_says_what_to_do(data: Path, runtime: Path) -> None:
    with pytest.raises(UnusableCatalog, match=r"cannot be created.*writable"):
        open_store(data / "missing", runtime, SETTINGS)


def test_a_damaged_transient_database_is_thrown_away(data: Path, runtime: Path) -> None:
    (runtime / schema.TRANSIENT_FILE).write_bytes(b"junk")
    store = open_store(data, runtime, SETTINGS)
    store.load()
    store.close()


def test_highest_shard(data: Path, runtime: Path) -> None:
    assert highest_shard(data) == -1
    store = open_store(data, runtime, SETTINGS)
    assert highest_shard(data) == -1
    store.write([
        changes.queue_add(Queue(1, "a", "main", durable=True, shard=2)),
        changes.queue_add(Queue(2, "b", "main", durable=True, shard=5)),
        changes.queue_add(Queue(3, "c", "main", durable=False, shard=9)),
    ])
    assert highest_shard(data) == 5
    store.close()


def test_bindings_that_lost_an_end_between_two_files_are_dropped_for_good(data: Path, runtime: Path) -> None:
    store = open_store(data, runtime, SETTINGS)
    queue = Queue(1, "q", "main", durable=True)
    source = Exchange("main", "x", "fanout", durable=False)
    binding = changes.binding_add(Binding("main", "x", "q", "queue", "k"), False)
    store.write([changes.queue_add(queue), changes.exchange_add(source), binding])
    store._connection.execute("DELETE FROM main.queues")        # as if only one file had been committed
    assert not list(store.load().vhosts["main"].bindings)
    store.write([changes.queue_add(queue)])
    assert not list(store.load().vhosts["main"].bindings)
    store.close()


def test_a_transaction_is_whole_or_not_there(data: Path, runtime: Path) -> None:
    store = open_store(data, runtime, SETTINGS)
    store._connection.execute("PRAGMA main.max_page_count=60")
    big = {"filler": "x" * 60_000}
    with pytest.raises(Exception, match="full"):
        store.write([
            changes.queue_add(Queue(n, f"q{n}", "main", durable=True, arguments=big)) for n in range(1, 20)
        ])
    assert not list(store.load().queues())
    store.write([changes.queue_add(Queue(1, "q1", "main", durable=True))])
    assert [queue.name for queue in store.load().queues()] == ["q1"]
    store.close()
