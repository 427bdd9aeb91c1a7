"""The class connection: login, limits, the vhost, the end. In the order of the handshake."""
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from amqp091.errors import CommandInvalid, LoginRefused, NotAllowed
from amqp091.method_table import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
)
from gateway.handshake import State, Tuning, login_refused, negotiate
from gateway.sasl import MECHANISMS, Credentials

if TYPE_CHECKING:
    from gateway.connection import Connection

logger = logging.getLogger(__name__)

CLIENT_NAME_CHARACTERS_MAX: Final = 255
"""As much of a client-provided name as log lines carry."""
IMPERSONATOR: Final = "impersonator"


def start_ok(client: "Connection", method: ConnectionStartOk) -> None:
    """Who the client is. Its capabilities count from here, also for how a refusal is told."""
    client.client_properties = method.client_properties
    capabilities = method.client_properties.get("capabilities")
    client.capabilities = capabilities if isinstance(capabilities, dict) else {}
    given_name = method.client_properties.get("connection_name")
    if isinstance(given_name, str) and given_name:
        client.log_name = f"{client.name} - {given_name[:CLIENT_NAME_CHARACTERS_MAX]}"
        logger.info("connection %s has a client-provided name", client)
    read = MECHANISMS.get(method.mechanism)
    if read is None:
        raise CommandInvalid(f"unknown authentication mechanism '{method.mechanism}'")
    client.mechanism = method.mechanism
    _log_in(client, read(method.response))
    offered = client.gateway.settings.offered
    client.send(
        ConnectionTune(channel_max=offered.channel_max, frame_max=offered.frame_max, heartbeat=offered.heartbeat_s)
    )


def _log_in(client: "Connection", credentials: Credentials) -> None:
    gateway = client.gateway
    user = gateway.replica.authenticate(credentials.user, credentials.password)
    if user is None:
        raise _refused(client, f"user '{credentials.user}' - invalid credentials")
    if user.name in gateway.settings.loopback_users and not client.ends.from_this_machine:
        raise _refused(client, f"user '{user.name}' can only connect via localhost")
    client.user_name = user.name
    client.user_id = user.name.encode("utf-8", "surrogateescape")
    client.impersonator = IMPERSONATOR in user.tags


def _refused(client: "Connection", detail: str) -> LoginRefused:
    logger.error("AMQP connection %s: %s login refused: %s", client, client.mechanism, detail)
    return login_refused(client.mechanism)


def tune_ok(client: "Connection", method: ConnectionTuneOk) -> None:
    """The limits, which hold from the next frame on."""
    tuning = negotiate(client.gateway.settings.offered, Tuning(method.channel_max, method.frame_max, method.heartbeat))
    client.frame_max = tuning.frame_max
    client.channel_max = tuning.channel_max
    client.liveness.start_heartbeat(tuning.heartbeat_s)


def open_vhost(client: "Connection", method: ConnectionOpen) -> Coroutine[Any, None, None] | None:
    """The last step: limits of the node, the vhost, and where they are limited its connections and the user's."""
    gateway, vhost = client.gateway, method.virtual_host
    gateway.check_connection_limit(client)
    _check_access(client, vhost)
    if gateway.quotas.limits_connections(client.user_name, vhost):
        return _open_counted(client, vhost)
    _opened(client, vhost)
    return None


async def _open_counted(client: "Connection", vhost: str) -> None:
    await client.gateway.quotas.open_connection(client, vhost)
    if not client.closing:
        _check_access(client, vhost)        # it may be gone meanwhile
        _opened(client, vhost)


def _opened(client: "Connection", vhost: str) -> None:
    client.vhost = vhost
    client.opened = True
    client.send(ConnectionOpenOk())
    logger.info(
        "connection %s: user '%s' authenticated and granted access to vhost '%s'", client, client.user_name, vhost
    )


def _check_access(client: "Connection", vhost: str) -> None:
    """Before any count: whoever may not come in takes nobody's place."""
    if client.gateway.replica.vhost(vhost) is None:
        raise NotAllowed(f"vhost {vhost} not found")
    if not client.gateway.replica.has_access(client.user_name, vhost):
        raise NotAllowed(f"access to vhost '{vhost}' refused for user '{client.user_name}'")


def update_secret(client: "Connection", method: ConnectionUpdateSecret) -> None:
    """A new password for the same user, checked like the first, and the vhost again."""
    secret = method.new_secret.decode("utf-8", "surrogateescape")
    if client.gateway.replica.authenticate(client.user_name, secret) is None:
        logger.error("secret update was refused for user '%s' on connection %s", client.user_name, client)
        raise NotAllowed("New secret was refused by one of the backends")
    _check_access(client, client.vhost)
    client.send(ConnectionUpdateSecretOk())
    logger.info("connection %s: user '%s' updated secret, reason: %s", client, client.user_name, method.reason)


def close(client: "Connection", method: ConnectionClose) -> None:
    """The client's wish, or its own close crossing ours."""
    if client.state is State.RUNNING:
        client.close_for_client()
    elif client.state is State.CLOSED:
        client.ending.cross()


def close_ok(client: "Connection", method: ConnectionCloseOk) -> None:
    """The client has heard our close."""
    client.ending.agree()
