"""The catalog process: opens the store, answers on the control bus, stops when it is told to.

Effects only: the sockets, the clock and the thread are here and in the
committer; what is decided is in core and requests.
"""
from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

from broker.catalog import schema
from broker.catalog.core import Catalog, Message
from broker.catalog.distribution import GATEWAY, SHARD
from broker.catalog.loading import load_definitions
from broker.catalog.service import Service
from broker.catalog.store import Store, first_rows
from bus.context import ProcessContext
from bus.control import ControlServer
from topology import changes
from topology.model import Permission, User
from topology.passwords import DEFAULT_ALGORITHM, hash_password

logger = logging.getLogger(__name__)

EXPECTED_S: Final = 5.0         # how long gateways and shards have to subscribe before nobody waits for them
ASK_SHARD_S: Final = 2.0
EVERYTHING: Final = ".*"
ADMINISTRATOR: Final = "administrator"


async def run(context: ProcessContext) -> None:
    """Serves until it is stopped, or until a change could not be written."""
    store = open_store(context.data_directory, context.runtime_directory, context.settings)
    service: Service

    async def handle(peer: str, message: Message) -> Message | None:
        return await service.handle(peer, message)

    server = ControlServer(context.catalog_address, handle)

    async def ask_shard(index: int, message: Message) -> Message:
        return await server.ask(f"{SHARD}-{index}", message, ASK_SHARD_S)

    catalog = Catalog(
        store, shard_count=int(context.settings["shards"]), epoch=context.incarnation, send=server.push,
        ask_shard=ask_shard, cluster_name=context.settings["cluster_name"],
    )
    if context.incarnation == 1:
        prepare(catalog, context.settings)
    service = Service(catalog)
    gateways = [f"{GATEWAY}-{index}" for index in range(context.gateway_count)]
    catalog.distribution.expect(gateways + [f"{SHARD}-{index}" for index in range(context.shard_count)])
    if context.incarnation > 1:
        catalog.usage.expect(gateways)          # they may have connections

    def peer_gone(message: Message) -> None:
        if message["role"] in (GATEWAY, SHARD):
            server.forget_peer(f"{message['role']}-{message['index']}")
            service.peer_gone(message)

    context.on_push("peer.gone", peer_gone)
    context.on_request(service.handle_supervisor)
    await server.start()
    committing = asyncio.create_task(catalog.committer.run())
    committing.add_done_callback(lambda task: _committer_ended(context, task))
    expecting = context.loop.call_later(EXPECTED_S, _stop_expecting, catalog)
    await context.ready()
    await context.stopping.wait()
    expecting.cancel()
    committing.cancel()
    await asyncio.wait([committing])
    catalog.committer.close()
    await server.close()
    store.close()


def open_store(data_directory: Path, runtime_directory: Path, settings: dict[str, Any]) -> Store:
    """The store; at the first start a new one with the default vhost and user, unless definitions bring their own.

    UnusableCatalog.
    """
    path = data_directory / schema.CATALOG_FILE
    if not path.exists():
        schema.create(path, first_rows([] if settings.get("load_definitions") else _defaults(settings)))
        logger.info("created the catalog %s", path)
    return Store(data_directory, runtime_directory)


def prepare(catalog: Catalog, settings: dict[str, Any]) -> None:
    """What a start of the broker does to a catalog before anybody is answered. StartError."""
    path = settings.get("load_definitions")
    if path:
        load_definitions(catalog, Path(path), skip_if_unchanged=bool(settings.get("definitions_skip_if_unchanged")))
    elif not catalog.topology.vhosts and not catalog.topology.users:
        # Definitions were to bring them, and have not: nobody could ever log in.
        decision = catalog.decide()
        for op in _defaults(settings):
            decision.add(op)
        decision.commit_now()


def _defaults(settings: dict[str, Any]) -> list[changes.Op]:
    user, vhost = settings["default_user"], settings["default_vhost"]
    return [
        changes.vhost_add(vhost),
        changes.user_add(User(user, hash_password(settings["default_pass"]), DEFAULT_ALGORITHM, (ADMINISTRATOR,))),
        changes.permission_set(user, vhost, Permission(EVERYTHING, EVERYTHING, EVERYTHING)),
    ]


def _stop_expecting(catalog: Catalog) -> None:
    missing = catalog.distribution.expect_no_longer()
    catalog.usage.expect_no_longer()
    if missing:
        logger.warning("not heard of within %g s, not waited for: %s", EXPECTED_S, ", ".join(missing))


def _committer_ended(context: ProcessContext, task: asyncio.Task[None]) -> None:
    """A change whose fate is unknown is never answered: the process ends, the next one reads what is on the disk."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        context.fail(error)
