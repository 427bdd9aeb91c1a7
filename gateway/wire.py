"""The socket's side as a connection sees it: who is at both ends, what may be done to it."""
import ipaddress
from typing import Final, NamedTuple, Protocol


class Ends(NamedTuple):
    """Both ends of a TCP connection."""

    peer_host: str
    peer_port: int
    host: str
    port: int

    @property
    def from_this_machine(self) -> bool:
        """Whether the client came over the loopback interface, by IPv6 or by IPv4, plain or mapped."""
        try:
            address = ipaddress.ip_address(self.peer_host.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        return f"{_bracketed(self.peer_host)}:{self.peer_port} -> {_bracketed(self.host)}:{self.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Wire(Protocol):
    """Implemented over a transport by gateway/transport.py."""

    @property
    def received_bytes(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...

    def flush(self) -> None:
        """Hands the connection's output to the socket, unless that is full."""
    def stop_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def finish(self) -> None:
        """What was written still goes out; then the end."""
    def abort(self) -> None: ...


class NoWire:
    """Where there was a socket: of a connection that is over."""

    received_bytes = 0
    sent_bytes = 0

    def flush(self) -> None: ...
    def stop_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


NO_WIRE: Final = NoWire()
