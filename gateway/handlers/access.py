"""The class access, a relic of AMQP 0-8: every request is granted ticket 1, which nothing looks at."""
from typing import Final

from amqp091.method_table import AccessRequest, AccessRequestOk
from gateway.channel import Channel

TICKET: Final = 1


def request(channel: Channel, method: AccessRequest) -> None:
    channel.send(AccessRequestOk(ticket=TICKET))
