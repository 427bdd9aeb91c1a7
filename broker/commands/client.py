"""The command line's way to a running broker: found by its data directory, asked over the control bus."""
from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from broker.data_directory import read_broker_file
from bus.control import ControlClient, ControlError, ControlTimeout, Message

CALL_TIMEOUT_S: Final = 10.0
"""What a process has for an answer, unless a command needs more."""
WAY_S: Final = 5.0
"""What the question and the answer have for their way through the supervisor."""
DEFAULT_DATA: Final = "data"

data_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--data", type=click.Path(path_type=Path), envvar="WARREN_DATA", default=DEFAULT_DATA, show_default=True,
    help="Data directory of the broker.",
)


class BrokerClient:
    """Questions to the broker that runs on a data directory."""

    def __init__(self, data: Path, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        try:
            description = read_broker_file(data)
        except OSError as error:
            raise click.ClickException(f"data directory {data} cannot be read: {error.strerror}") from None
        if description is None or not _runs(int(description["pid"])):
            raise click.ClickException(f"no broker is running on data directory {data}: start it, or give --data")
        self._address = str(description["control_address"])
        self._data = data

    def ask(self, message: Message) -> Message:
        """One question to the supervisor."""
        return asyncio.run(self._ask([message]))[0]

    def call(self, role: str, index: int | None, message: Message) -> list[Message]:
        """One question to a process, or to all of a role (index None): their answers."""
        question = {"verb": "call", "role": role, "index": index, "message": message, "timeout_s": self._timeout_s}
        answers: list[Message] = self.ask(question)["answers"]
        return answers

    def catalog(self, verb: str, **fields: Any) -> Message:
        """One question to the catalog."""
        return self.call("catalog", 0, {"verb": verb, **fields})[0]

    async def _ask(self, messages: list[Message]) -> list[Message]:
        client = ControlClient(self._address, f"cli-{uuid.uuid4()}")
        await client.start()
        try:
            return [await client.request(message, self._timeout_s + WAY_S) for message in messages]
        except ControlTimeout:
            raise ControlError(0, f"the broker on {self._data} does not answer") from None
        finally:
            await client.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
