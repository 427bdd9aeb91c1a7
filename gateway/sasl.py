"""Reads what a client answers in the mechanisms PLAIN and AMQPLAIN.

Pure functions from response bytes to credentials. Checks no password, knows no user.
"""
from collections.abc import Callable
from typing import Final, NamedTuple

from amqp091.errors import SyntaxError_
from amqp091.tables import decode_table


class Credentials(NamedTuple):
    """Who the client says it is, and its proof."""

    user: str
    password: str


def plain(response: bytes) -> Credentials:
    """NUL user NUL password, RFC 4616 without an authorization identity."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise SyntaxError_("response to mechanism PLAIN is invalid")
    return Credentials(_text(parts[1]), _text(parts[2]))


def amqplain(response: bytes) -> Credentials:
    """A field table with LOGIN and PASSWORD, without its length."""
    table = decode_table(len(response).to_bytes(4, "big") + response)
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    if user is None or password is None:
        raise SyntaxError_("AMQPLAIN auth info is missing LOGIN or PASSWORD field")
    if not isinstance(user, str | bytes) or not isinstance(password, str | bytes):
        raise SyntaxError_("AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field")
    return Credentials(_text(user), _text(password))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "surrogateescape")


MECHANISMS: Final[dict[str, Callable[[bytes], Credentials]]] = {"PLAIN": plain, "AMQPLAIN": amqplain}
"""In the order in which connection.start offers them."""
