"""What the command line may ask a gateway: its connections, channels and consumers, and to close a connection.

Reads only, but for close_connection. Fields are named as rabbitmqctl names them.
"""
from collections.abc import Callable, Iterator
from typing import Any, Final

from amqp091.tables import to_json
from bus.control import ControlError
from gateway.channel import Channel
from gateway.connection import Connection
from gateway.gateway import Gateway

NOT_FOUND: Final = 404
UNKNOWN_VERB: Final = 503
CLOSE_REASON_DEFAULT: Final = "closed by an operator"

Message = dict[str, Any]


class Control:
    """The verbs of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._verbs: dict[str, Callable[[Message], Message]] = {
            "list_connections": self._list_connections,
            "list_channels": self._list_channels,
            "list_consumers": self._list_consumers,
            "close_connection": self._close_connection,
        }

    async def handle(self, message: Message) -> Message:
        verb = self._verbs.get(message.get("verb", ""))
        if verb is None:
            raise ControlError(UNKNOWN_VERB, f"a gateway does not know the verb {message.get('verb')!r}")
        return verb(message)

    def _list_connections(self, message: Message) -> Message:
        return {"connections": [_connection(item) for item in self._gateway.connections.values()]}

    def _list_channels(self, message: Message) -> Message:
        return {"channels": [_channel(item) for item in self._channels()]}

    def _list_consumers(self, message: Message) -> Message:
        return {"consumers": [row for channel in self._channels() for row in _consumers(channel)]}

    def _close_connection(self, message: Message) -> Message:
        connection = self._gateway.connections.get(message["id"])
        if connection is None:
            raise ControlError(NOT_FOUND, f"no connection {message['id']!r}")
        connection.close_forced(message.get("reason") or CLOSE_REASON_DEFAULT)
        return {}

    def _channels(self) -> Iterator[Channel]:
        for connection in list(self._gateway.connections.values()):
            for channel in list(connection.channels.values()):
                if isinstance(channel, Channel):
                    yield channel


def _connection(connection: Connection) -> Message:
    return {
        "id": connection.id,
        "name": connection.name,
        "user": connection.user_name,
        "vhost": connection.vhost,
        "state": connection.shown_state,
        "channels": len(connection.channels),
        "channel_max": connection.channel_max,
        "frame_max": connection.frame_max,
        "timeout": connection.liveness.heartbeat.interval_s,
        "host": connection.ends.host,
        "port": connection.ends.port,
        "peer_host": connection.ends.peer_host,
        "peer_port": connection.ends.peer_port,
        "protocol": "AMQP 0-9-1",
        "auth_mechanism": connection.mechanism,
        "connected_at": connection.connected_at_ms,
        "recv_oct": connection.wire.received_bytes,
        "send_oct": connection.wire.sent_bytes,
        "client_properties": to_json(connection.client_properties),
    }


def _channel(channel: Channel) -> Message:
    connection = channel.connection
    return {
        "name": f"{connection.name} ({channel.number})",
        "connection": connection.id,
        "number": channel.number,
        "user": connection.user_name,
        "vhost": connection.vhost,
        "state": "closing" if channel.closing else "running",
        "transactional": channel.transactional,
        "confirm": channel.confirming,
        "consumer_count": len(channel.consumers),
        "messages_unacknowledged": channel.unacked_count,
        "messages_unconfirmed": channel.unconfirmed_count,
        "messages_uncommitted": channel.uncommitted_publishes,
        "acks_uncommitted": channel.uncommitted_settles,
        "prefetch_count": channel.prefetch_count,
        "global_prefetch_count": channel.prefetch.limit,
    }


def _consumers(channel: Channel) -> Iterator[Message]:
    for consumer in channel.consumers.values():
        yield {
            "vhost": consumer.queue.vhost,
            "queue": consumer.queue.name,
            "channel": f"{channel.connection.name} ({channel.number})",
            "connection": channel.connection.id,
            "consumer_tag": consumer.tag.encode("utf-8", "backslashreplace").decode("utf-8"),
            "ack_required": not consumer.no_ack,
            "exclusive": consumer.exclusive,
            "prefetch_count": consumer.prefetch_count,
            "active": consumer.attached and consumer.active,
            "activity_status": consumer.activity_status,
            "arguments": to_json(consumer.arguments),
        }
