"""`warren serve`: runs the broker until it is told to stop."""
from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import setproctitle
import uvloop

from broker import logs
from broker.catalog.schema import highest_shard
from broker.data_directory import DataDirectory, explain
from broker.ground import Ground
from broker.link_registry import links_bytes
from broker.listening import reserve
from broker.process import EXIT_CANNOT_START
from broker.runtime_directory import RuntimeDirectory
from broker.service_manager import ServiceManager, activated_sockets
from broker.settings import Settings, load
from broker.supervisor import Supervisor
from bus.context import StartError

logger = logging.getLogger(__name__)


@click.command()
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), envvar="WARREN_SETTINGS",
              help="TOML file with settings; `warren settings` lists them.")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of everything that survives a restart.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="AMQP port; 0 takes any free one.")
@click.option("--gateways", type=int, help="Processes that speak AMQP.")
@click.option("--shards", type=int, help="Processes that own queues.")
@click.option("--link", type=click.Choice(["shared-memory", "zeromq"]), help="Kind of link between them.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["text", "json"]))
def serve(settings_file: Path | None, **flags: Any) -> None:
    """Run the broker. It is ready when it prints its `ready` line."""
    try:
        settings = load(settings_file, os.environ, flags)
        sys.exit(_serve(settings))
    except StartError as error:
        _complain(error)
    except OSError as error:
        logger.debug("cannot start", exc_info=error)
        _complain(explain(error, Path(error.filename) if isinstance(error.filename, str) else settings.data))


def _complain(error: StartError) -> NoReturn:
    click.echo(f"warren: {error}", err=True)
    sys.exit(EXIT_CANNOT_START)


def _serve(settings: Settings) -> int:
    service = ServiceManager(os.environ)
    setproctitle.setproctitle("warren: supervisor")
    logs.configure("supervisor", settings.log_level, settings.log_format)
    listeners = activated_sockets(os.environ)
    held = listeners or reserve(settings.host, settings.port)
    host, port = held[0].getsockname()[:2]
    data = DataDirectory(settings.data)
    try:
        settings = _with_all_shards(settings, data.path)
        shared_bytes = links_bytes(settings.gateways, settings.shards, settings.link_ring_bytes)
        runtime = RuntimeDirectory(data.short_id, os.environ, shared_bytes)
        try:
            supervisor = Supervisor(Ground(settings, data, runtime, host, port, listeners, service))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(supervisor.run())
        finally:
            runtime.close()
    finally:
        data.close()
        for listener in held:
            listener.close()


def _with_all_shards(settings: Settings, data: Path) -> Settings:
    """A queue stays on its shard, so there are never fewer shards than queues are placed on."""
    needed = highest_shard(data) + 1
    if settings.shards >= needed:
        return settings
    logger.warning("%d shards instead of %d: that many hold queues already", needed, settings.shards)
    return settings.model_copy(update={"shards": needed})


COMMANDS: Final = (serve,)
