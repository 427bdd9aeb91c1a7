"""Where a load goes: `amqp://user:password@host:port/vhost`, as RabbitMQ's URI specification has it."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from amqp091.constants import PROTOCOL_PORT
from bench.perf.errors import LoadError

DEFAULT_URL: Final = "amqp://guest:guest@127.0.0.1:5672/%2F"


@dataclass(frozen=True)
class Address:
    """One broker, one virtual host, one user."""

    host: str
    port: int = PROTOCOL_PORT
    user: str = "guest"
    password: str = "guest"
    vhost: str = "/"

    @property
    def place(self) -> str:
        """For people: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(url: str) -> Address:
    """The parts of a URL. An absent part has its default; no path and `/` alone are the virtual host "/"."""
    if "://" not in url:
        url = f"amqp://{url}"
    try:
        parts = urlsplit(url)
        port = parts.port or PROTOCOL_PORT
    except ValueError as error:
        raise LoadError(f"{url!r} is no URL: {error}") from None
    if parts.scheme == "amqps":
        raise LoadError("TLS is not supported by the load tool: give an amqp:// URL")
    if parts.scheme != "amqp":
        raise LoadError(f"{url!r} is no amqp:// URL")
    if not parts.hostname:
        raise LoadError(f"{url!r} names no host")
    if parts.query or parts.fragment:
        raise LoadError(f"{url!r}: parameters in a URL are not supported")
    return Address(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username) if parts.username is not None else "guest",
        password=unquote(parts.password) if parts.password is not None else "guest",
        vhost=unquote(parts.path[1:]) or "/",
    )
