"""A replica: changes, snapshots, what is applied twice, and what it costs."""
import random
import time
from typing import Any

from topology import changes
from topology.model import Binding, Exchange, Permission, Queue, User
from topology.replica import Replica

SEED = 20_261_121


def state(replica: Replica) -> list[str]:
    return sorted(map(str, replica.snapshot_ops()))


class History:
    """Random changes that make sense, and the state after each."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.truth = Replica()
        self.ops: list[dict[str, Any]] = []
        self.queue_id = 0
        self.add(changes.vhost_add("/"))

    def add(self, op: dict[str, Any]) -> None:
        self.truth.apply_ops([op])
        self.ops.append(op)

    def step(self) -> None:
        source, vhost = self.source, self.truth.vhosts["/"]
        own = [exchange for exchange in vhost.exchanges.values() if exchange.name.startswith("x")]
        action = source.randrange(9)
        name = f"{source.randrange(6)}"
        if action in (0, 1) and f"q{name}" not in vhost.queues:
            self.queue_id += 1
            owner = f"g0.1.{source.randrange(3)}" if source.random() < 0.3 else None
            self.add(changes.queue_add(Queue(self.queue_id, f"q{name}", "/", owner=owner, exclusive=bool(owner))))
        elif action == 2 and vhost.queues:
            self.add(changes.queue_delete(source.choice(list(vhost.queues.values()))))
        elif action == 3 and f"x{name}" not in vhost.exchanges:
            self.add(changes.exchange_add(Exchange("/", f"x{name}", source.choice(["topic", "fanout", "headers"]))))
        elif action == 4 and own:
            self.add(changes.exchange_delete(source.choice(own)))
        elif action in (5, 6) and own and vhost.queues:
            target: Any = source.choice([*own, *vhost.queues.values()])
            kind: Any = "queue" if isinstance(target, Queue) else "exchange"
            binding = Binding("/", source.choice(own).name, target.name, kind, source.choice(["", "a.#"]), {"n": 1})
            self.add(changes.binding_add(binding, False))
        elif action == 7 and (bindings := list(vhost.bindings)):
            self.add(changes.binding_delete(source.choice(bindings), False))
        elif action == 8:
            self.add(changes.user_add(User(f"u{name}", "", "", ())))
            self.add(changes.permission_set(f"u{name}", "/", Permission("", name, "")))


def test_a_snapshot_makes_the_same_state() -> None:
    history = History(SEED)
    for _ in range(300):
        history.step()
    copy = Replica()
    copy.load({"version": 7, "ops": list(history.truth.snapshot_ops())})
    assert state(copy) == state(history.truth)
    assert copy.catalog_version == 7 and copy.version == 1
    assert sorted(copy.owners()) == sorted(history.truth.owners())


def test_changes_that_a_snapshot_already_holds_lead_to_the_same_state() -> None:
    for seed in range(SEED, SEED + 25):
        history = History(seed)
        for _ in range(150):
            history.step()
        early = Replica()
        early.apply_ops(history.truth.snapshot_ops())
        early.apply_ops(history.ops[history.source.randrange(len(history.ops)):])
        assert state(early) == state(history.truth)


def test_deleting_everything_leaves_nothing_behind() -> None:
    history = History(SEED)
    for _ in range(300):
        history.step()
    replica = history.truth
    vhost = replica.vhosts["/"]
    for queue in list(vhost.queues.values()):
        replica.apply_ops([changes.queue_delete(queue)])
    for exchange in list(vhost.exchanges.values()):
        if exchange.name.startswith("x"):
            replica.apply_ops([changes.exchange_delete(exchange)])
    assert not list(vhost.bindings) and not replica.owners() and not replica.queue_ids()
    assert not vhost.bindings._by_source and not vhost.bindings._by_destination and not vhost.bindings._exchanges_of


def test_version_moves_with_each_change() -> None:
    replica = Replica()
    seen = {replica.version}
    for n, op in enumerate([changes.vhost_add("/"), changes.queue_add(Queue(1, "q", "/"))]):
        replica.apply({"version": n + 1, "ops": [op]})
        assert replica.version not in seen
        seen.add(replica.version)
    assert replica.catalog_version == 2


def test_a_change_costs_the_same_among_a_hundred_thousand_queues() -> None:
    replica = Replica()
    ops = [changes.vhost_add("/"), changes.exchange_add(Exchange("/", "x", "topic"))]
    queues = [Queue(n, f"q{n}", "/", owner=f"g0.1.{n % 1000}", exclusive=True) for n in range(1, 100_001)]
    ops += [changes.queue_add(queue) for queue in queues]
    ops += [changes.binding_add(Binding("/", "x", f"q{n}", "queue", f"k.{n}.#"), False) for n in range(1, 10_001)]
    replica.apply_ops(ops)
    deletions = [changes.queue_delete(queue) for queue in queues[:2000]]
    started = time.perf_counter()
    for op in deletions:
        replica.apply_ops([op])
    assert (time.perf_counter() - started) / len(deletions) < 0.001
    started = time.perf_counter()
    for n in range(3000, 4000):
        assert [queue.name for queue in replica.route("/", "x", f"k.{n}.a.b").queues] == [f"q{n}"]
    assert (time.perf_counter() - started) / 1000 < 0.001
