"""Who uses what is limited: connections and channels over all gateways, as far as a limit makes them count.

Gateways ask before they open a connection or channel of a vhost or user that is limited, and say when it is over.
When a limit appears, or the catalog does, each gateway reports what it has that now counts, ahead of its word that it
has applied the change. So while no limit is set nobody asks anything; from the moment that the setting of a limit is
answered the count is exact; and a catalog that was restarted decides again once every gateway has reported.

Owns the counts, in memory alone. Reads no clock, sends nothing.
"""
from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Connection:
    user: str
    vhost: str
    channels: set[int] = field(default_factory=set)


class Usage:
    """The connections that count, by their id, and how many there are of each vhost and user."""

    def __init__(self) -> None:
        self._connections: dict[str, _Connection] = {}
        self._of_vhost: Counter[str] = Counter()
        self._of_user: Counter[str] = Counter()
        self._channels_of_user: Counter[str] = Counter()
        self._unheard: set[str] = set()
        self._all_heard = asyncio.Event()
        self._all_heard.set()

    # what is known

    def expect(self, gateways: Iterable[str]) -> None:
        """Gateways that may have connections from before this catalog; `complete` waits until all are heard."""
        self._unheard.update(gateways)
        self._check_heard()

    def heard(self, gateway: str) -> None:
        """It has reported what counts, or is gone with all it had."""
        self._unheard.discard(gateway)
        self._check_heard()

    def expect_no_longer(self) -> None:
        self._unheard.clear()
        self._check_heard()

    def _check_heard(self) -> None:
        if self._unheard:
            self._all_heard.clear()
        else:
            self._all_heard.set()

    async def complete(self) -> None:
        """What gateways had when this catalog started is counted."""
        await self._all_heard.wait()

    # connections

    def has(self, connection_id: str) -> bool:
        return connection_id in self._connections

    def connections_of_vhost(self, vhost: str) -> int:
        return self._of_vhost[vhost]

    def connections_of_user(self, user: str) -> int:
        return self._of_user[user]

    def open(self, connection_id: str, user: str, vhost: str) -> None:
        """Counts from now on; once, however often this is said."""
        if connection_id not in self._connections:
            self._connections[connection_id] = _Connection(user, vhost)
            self._of_vhost[vhost] += 1
            self._of_user[user] += 1

    def close(self, connection_id: str) -> None:
        """With its channels. An unknown one never counted."""
        connection = self._connections.pop(connection_id, None)
        if connection is not None:
            _subtract(self._of_vhost, connection.vhost, 1)
            _subtract(self._of_user, connection.user, 1)
            _subtract(self._channels_of_user, connection.user, len(connection.channels))

    def ids(self) -> list[str]:
        return list(self._connections)

    # channels

    def has_channel(self, connection_id: str, number: int) -> bool:
        connection = self._connections.get(connection_id)
        return connection is not None and number in connection.channels

    def channels_of_user(self, user: str) -> int:
        return self._channels_of_user[user]

    def open_channel(self, connection_id: str, number: int) -> None:
        """Of a connection that counts."""
        connection = self._connections[connection_id]
        if number not in connection.channels:
            connection.channels.add(number)
            self._channels_of_user[connection.user] += 1

    def close_channel(self, connection_id: str, number: int) -> None:
        connection = self._connections.get(connection_id)
        if connection is not None and number in connection.channels:
            connection.channels.remove(number)
            _subtract(self._channels_of_user, connection.user, 1)


def _subtract(counter: Counter[str], key: str, count: int) -> None:
    counter[key] -= count
    if not counter[key]:
        del counter[key]        # names come and go
