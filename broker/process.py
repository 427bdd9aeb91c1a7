"""The start of every process but the supervisor, just forked by the nursery.

Takes its title, makes sure that it dies with the supervisor, connects to the control bus, and runs the role until it
is told to stop. It tells the supervisor in one line why a start failed.
"""
from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import setproctitle
import uvloop

from broker import logs
from broker.data_directory import explain
from bus.context import ProcessContext, StartError
from bus.control import ControlClient, ControlError, Message
from bus.doorbell import Doorbell, map_board
from bus.pace import until_next

logger = logging.getLogger(__name__)

ROLE_MODULES: Final = {"catalog": "broker.catalog", "gateway": "gateway.worker", "shard": "shards.worker"}
HEARTBEAT_INTERVAL_S: Final = 1.0
FAILURE_TOLD_S_MAX: Final = 2.0

EXIT_FAILED: Final = 1
EXIT_CANNOT_START: Final = 78
"""EX_CONFIG of sysexits.h: starting again changes nothing."""

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36

Run = Callable[[ProcessContext], Awaitable[None]]


def main(role: str, index: int, parameters: dict[str, Any]) -> int:
    """Runs it to its end; the exit code."""
    die_with(parameters["supervisor_pid"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C reaches the whole group; the supervisor decides
    title = f"warren: {role}" if role == "catalog" else f"warren: {role} {index}"
    setproctitle.setproctitle(title)
    logs.configure(_identity(role, index), parameters["settings"]["log_level"], parameters["settings"]["log_format"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(role, index, parameters))


def _identity(role: str, index: int) -> str:
    return role if role == "catalog" else f"{role}-{index}"


def adopt_orphans() -> None:
    """What descendants of this process leave behind becomes its children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(supervisor_pid: int) -> None:
    """Of this process, whose parent is the supervisor."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor_pid:                  # it died before the call
        os._exit(EXIT_FAILED)


async def _run(role: str, index: int, parameters: dict[str, Any]) -> int:
    loop = asyncio.get_running_loop()
    context_box: list[ProcessContext] = []

    def on_push(message: Message) -> None:
        context_box[0].receive_push(message)

    async def handle(message: Message) -> Message | None:
        return await context_box[0].receive_request(message)

    control = ControlClient(
        parameters["supervisor_address"], _identity(role, index), on_push=on_push, handle=handle
    )
    context = _context(role, index, parameters, control, loop)
    context_box.append(context)
    await control.start()
    loop.add_signal_handler(signal.SIGTERM, context.stopping.set)
    loop.set_exception_handler(_log_exception)
    heart = loop.create_task(_beat(context))
    try:
        return await _run_role(role, context)
    finally:
        heart.cancel()
        await control.close()


async def _run_role(role: str, context: ProcessContext) -> int:
    name = ROLE_MODULES[role]
    try:
        run: Run = importlib.import_module(name).run
    except ImportError as error:
        return await _cannot_start(context, f"{context.identity}: {name} cannot be imported: {error}")
    gc.collect()
    gc.freeze()                                         # modules never die: the collector need not look at them
    try:
        await _run_until_stopped(run, context)
    except (StartError, _unknown_format()) as error:
        return await _cannot_start(context, str(error))
    except OSError as error:
        logger.critical("stopped by an error", exc_info=error)
        path = Path(error.filename) if isinstance(error.filename, str) else context.data_directory
        return await _cannot_start(context, f"{context.identity}: {explain(error, path)}", EXIT_FAILED)
    except Exception as error:
        logger.critical("stopped by an error", exc_info=error)
        text = f"{context.identity}: {type(error).__name__}: {error}"
        return await _cannot_start(context, text, EXIT_FAILED)
    return EXIT_FAILED if context.failed is not None else 0


async def _run_until_stopped(run: Run, context: ProcessContext) -> None:
    """A role that serves ends by itself when it is to stop; one that is still starting is cancelled."""
    running = asyncio.ensure_future(run(context))
    stopping = asyncio.ensure_future(context.stopping.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done() and not context.serving:
        running.cancel()
        await asyncio.wait((running,))
    if not running.cancelled():
        await running


def _unknown_format() -> type[Exception]:
    from log.formats import UnknownFormat

    return UnknownFormat


async def _cannot_start(context: ProcessContext, text: str, code: int = EXIT_CANNOT_START) -> int:
    """Tells the supervisor why, which matters where the broker is just starting."""
    try:
        await context.control.request(context.signed({"verb": "failed", "text": text}), FAILURE_TOLD_S_MAX)
    except ControlError:
        logger.error("%s", text)
    return code


async def _beat(context: ProcessContext) -> None:
    while True:
        context.tell({"verb": "alive"})
        await asyncio.sleep(until_next(context.loop.time(), HEARTBEAT_INTERVAL_S))


def _log_exception(loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
    error = details.get("exception")
    logger.error("%s", details.get("message", "error in the event loop"), exc_info=error)


def _context(
    role: str, index: int, parameters: dict[str, Any], control: ControlClient, loop: asyncio.AbstractEventLoop
) -> ProcessContext:
    board = map_board(parameters["doorbell_board"])
    doorbells = {
        (bell_role, bell_index): Doorbell(board, slot, descriptor)
        for slot, (bell_role, bell_index, descriptor) in enumerate(parameters["doorbells"])
    }
    return ProcessContext(
        role=role,
        index=index,
        incarnation=parameters["incarnation"],
        settings=parameters["settings"],
        data_directory=Path(parameters["data_directory"]),
        runtime_directory=Path(parameters["runtime_directory"]),
        shared_directory=Path(parameters["shared_directory"]),
        shard_count=parameters["shard_count"],
        gateway_count=parameters["gateway_count"],
        catalog_address=parameters["catalog_address"],
        reply_key=bytes.fromhex(parameters["reply_key"]),
        control=control,
        loop=loop,
        doorbells=doorbells,
        listen_sockets=[socket.socket(fileno=descriptor) for descriptor in parameters["listen_descriptors"]],
    )
