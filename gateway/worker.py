"""The gateway process: puts a Gateway together with its links, its catalog and its sockets, and runs it.

Decides nothing about AMQP. Returns when the supervisor says stop.
"""
import asyncio
import importlib.metadata
import logging
import platform
from typing import Final

from bus.context import ProcessContext
from bus.control import ControlClient, Message
from bus.pace import until_next
from gateway.control import Control
from gateway.gateway import Gateway, GatewaySettings
from gateway.handshake import Tuning, server_properties
from gateway.listener import open_sockets, serve
from gateway.transport import ClientProtocol
from gateway.wheel import TICK_S
from topology.client import TopologyClient
from topology.replica import Replica

logger = logging.getLogger(__name__)

STOP_WAIT_S_MAX: Final = 3.0
"""What clients have to answer our connection.close when the broker stops."""
DISTRIBUTION: Final = "warren"


def version() -> str:
    """The broker's version, as installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def gateway_settings(context: ProcessContext) -> GatewaySettings:
    settings = context.settings
    return GatewaySettings(
        name=f"g{context.index}.{context.incarnation}",
        shard_count=context.shard_count,
        server_properties=server_properties(
            version(), settings["cluster_name"], f"Python {platform.python_version()}"
        ),
        offered=Tuning(settings["channel_max"], settings["frame_max"], settings["heartbeat_s"]),
        handshake_timeout_s=settings["handshake_timeout_s"],
        loopback_users=frozenset(settings["loopback_users"]),
        connection_max=-(-settings["connection_max"] // context.gateway_count),
        consumer_max_per_channel=settings["consumer_max_per_channel"],
        max_message_bytes=settings["max_message_size"],
        reply_key=context.reply_key,
    )


async def run(context: ProcessContext) -> None:
    """One gateway, from its start to the supervisor's stop."""
    loop = context.loop
    sockets = context.listen_sockets or open_sockets(context.settings["host"], context.settings["port"])
    replica = Replica()
    control = ControlClient(
        context.catalog_address, context.identity, on_push=lambda message: catalog.receive_push(message)
    )
    catalog = TopologyClient(
        control, replica, lambda change: gateway.on_topology_change(change), incarnation=context.incarnation
    )
    gateway = Gateway(loop, gateway_settings(context), replica, catalog)

    def on_peer_restarted(message: Message) -> None:
        if message["role"] == "catalog":
            catalog.catalog_restarted()

    gateway.turns = gateway.links = links = context.make_links(
        gateway.on_link_batch, gateway.on_link_up, gateway.on_link_down, gateway.on_link_writable, gateway.end_turn
    )
    await control.start()
    context.on_push("peer.restarted", on_peer_restarted)    # it may be while this waits for the state
    await catalog.start()
    context.on_push("alarm", gateway.on_alarm)
    context.on_request(Control(gateway).handle)
    sweep = Sweep(loop, gateway)
    servers = await serve(loop, sockets, context.settings["backlog"], lambda: ClientProtocol(gateway))
    await context.ready()
    try:
        await context.stopping.wait()
    finally:
        for server in servers:
            server.close()
        await gateway.close_all(STOP_WAIT_S_MAX)
        sweep.cancel()
        links.close()
        await catalog.close()
        await control.close()


class Sweep:
    """The gateway's tick, until it is cancelled. One that fails is followed by the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway: Gateway) -> None:
        self._loop = loop
        self._gateway = gateway
        self._wait()

    def cancel(self) -> None:
        self._handle.cancel()

    def _wait(self) -> None:
        self._handle = self._loop.call_later(until_next(self._loop.time(), TICK_S), self._tick)

    def _tick(self) -> None:
        self._wait()
        self._gateway.tick()
