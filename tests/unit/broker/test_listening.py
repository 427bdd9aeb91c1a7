"""Reserving the port."""
from __future__ import annotations

import socket

import pytest

from broker.listening import reserve, shown
from bus.context import StartError


def close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def test_port_zero_becomes_a_number_on_which_gateways_can_listen() -> None:
    reserved = reserve("127.0.0.1", 0)
    host, port = reserved[0].getsockname()
    gateways = [socket.socket() for _ in range(2)]
    for gateway in gateways:
        gateway.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        gateway.bind((host, port))
        gateway.listen()
    with socket.create_connection((host, port), timeout=5):
        pass
    close(*gateways, *reserved)


def test_a_port_in_use_is_told_even_where_it_is_shared() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StartError, match="in use by another program: stop it"):
            reserve("127.0.0.1", other.getsockname()[1])


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(StartError, match="does not have that address"):
        reserve("192.0.2.1", 5672)


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(StartError, match="cannot be resolved"):
        reserve("no such host.invalid", 5672)


def test_an_address_is_shown_as_people_write_it() -> None:
    assert shown("127.0.0.1", 5672) == "127.0.0.1:5672"
    assert shown("::1", 5672) == "[::1]:5672"
