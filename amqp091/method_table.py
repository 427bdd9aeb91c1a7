"""The methods of AMQP 0-9-1 as RabbitMQ defines them: one NamedTuple each, fields in wire order.

This is the table that amqp091/methods.py encodes and decodes by: a field's type names its form on
the wire. Owns no code but the registration.
"""
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from amqp091 import constants
from amqp091.constants import MethodId

# The second half of each is the letter that amqp091/fields.pyx reads and writes.
Bit = Annotated[bool, "b"]
Octet = Annotated[int, "o"]
Short = Annotated[int, "s"]
Long = Annotated[int, "l"]
LongLong = Annotated[int, "L"]
ShortStr = Annotated[str, "S"]          # UTF-8 with surrogateescape, at most 255 bytes
LongStr = Annotated[bytes, "B"]
Table = Annotated[dict[str, Any], "T"]

NO_ARGUMENTS: Final[dict[str, Any]] = {}    # a default shared by all: never changed

METHOD_CLASSES: Final[dict[MethodId, type[tuple[Any, ...]]]] = {}
METHOD_IDS: Final[dict[type[tuple[Any, ...]], MethodId]] = {}

MethodClass = TypeVar("MethodClass", bound=type[tuple[Any, ...]])


def method(method_id: MethodId) -> Callable[[MethodClass], MethodClass]:
    """Enters a class in the table."""

    def enter(method_class: MethodClass) -> MethodClass:
        METHOD_CLASSES[method_id] = method_class
        METHOD_IDS[method_class] = method_id
        return method_class

    return enter


@method(constants.CONNECTION_START)
class ConnectionStart(NamedTuple):
    version_major: Octet = 0
    version_minor: Octet = 0
    server_properties: Table = NO_ARGUMENTS
    mechanisms: LongStr = b""
    locales: LongStr = b""


@method(constants.CONNECTION_START_OK)
class ConnectionStartOk(NamedTuple):
    client_properties: Table = NO_ARGUMENTS
    mechanism: ShortStr = ""
    response: LongStr = b""
    locale: ShortStr = ""


@method(constants.CONNECTION_SECURE)
class ConnectionSecure(NamedTuple):
    challenge: LongStr = b""


@method(constants.CONNECTION_SECURE_OK)
class ConnectionSecureOk(NamedTuple):
    response: LongStr = b""


@method(constants.CONNECTION_TUNE)
class ConnectionTune(NamedTuple):
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@method(constants.CONNECTION_TUNE_OK)
class ConnectionTuneOk(NamedTuple):
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@method(constants.CONNECTION_OPEN)
class ConnectionOpen(NamedTuple):
    virtual_host: ShortStr = ""
    capabilities: ShortStr = ""
    insist: Bit = False


@method(constants.CONNECTION_OPEN_OK)
class ConnectionOpenOk(NamedTuple):
    known_hosts: ShortStr = ""


@method(constants.CONNECTION_CLOSE)
class ConnectionClose(NamedTuple):
    reply_code: Short = 0
    reply_text: ShortStr = ""
    class_id: Short = 0
    method_id: Short = 0


@method(constants.CONNECTION_CLOSE_OK)
class ConnectionCloseOk(NamedTuple):
    pass


@method(constants.CONNECTION_BLOCKED)
class ConnectionBlocked(NamedTuple):
    reason: ShortStr = ""


@method(constants.CONNECTION_UNBLOCKED)
class ConnectionUnblocked(NamedTuple):
    pass


@method(constants.CONNECTION_UPDATE_SECRET)
class ConnectionUpdateSecret(NamedTuple):
    new_secret: LongStr = b""
    reason: ShortStr = ""


@method(constants.CONNECTION_UPDATE_SECRET_OK)
class ConnectionUpdateSecretOk(NamedTuple):
    pass


@method(constants.CHANNEL_OPEN)
class ChannelOpen(NamedTuple):
    out_of_band: ShortStr = ""


@method(constants.CHANNEL_OPEN_OK)
class ChannelOpenOk(NamedTuple):
    channel_id: LongStr = b""


@method(constants.CHANNEL_FLOW)
class ChannelFlow(NamedTuple):
    active: Bit = False


@method(constants.CHANNEL_FLOW_OK)
class ChannelFlowOk(NamedTuple):
    active: Bit = False


@method(constants.CHANNEL_CLOSE)
class ChannelClose(NamedTuple):
    reply_code: Short = 0
    reply_text: ShortStr = ""
    class_id: Short = 0
    method_id: Short = 0


@method(constants.CHANNEL_CLOSE_OK)
class ChannelCloseOk(NamedTuple):
    pass


@method(constants.ACCESS_REQUEST)
class AccessRequest(NamedTuple):
    realm: ShortStr = ""
    exclusive: Bit = False
    passive: Bit = False
    active: Bit = False
    write: Bit = False
    read: Bit = False


@method(constants.ACCESS_REQUEST_OK)
class AccessRequestOk(NamedTuple):
    ticket: Short = 0


@method(constants.EXCHANGE_DECLARE)
class ExchangeDeclare(NamedTuple):
    ticket: Short = 0
    exchange: ShortStr = ""
    type: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    nowait: Bit = False
    arguments: Table = NO_ARGUMENTS


@method(constants.EXCHANGE_DECLARE_OK)
class ExchangeDeclareOk(NamedTuple):
    pass


@method(constants.EXCHANGE_DELETE)
class ExchangeDelete(NamedTuple):
    ticket: Short = 0
    exchange: ShortStr = ""
    if_unused: Bit = False
    nowait: Bit = False


@method(constants.EXCHANGE_DELETE_OK)
class ExchangeDeleteOk(NamedTuple):
    pass


@method(constants.EXCHANGE_BIND)
class ExchangeBind(NamedTuple):
    ticket: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    nowait: Bit = False
    arguments: Table = NO_ARGUMENTS


@method(constants.EXCHANGE_BIND_OK)
class ExchangeBindOk(NamedTuple):
    pass


@method(constants.EXCHANGE_UNBIND)
class ExchangeUnbind(NamedTuple):
    ticket: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    nowait: Bit = False
    arguments: Table = NO_ARGUMENTS


@method(constants.EXCHANGE_UNBIND_OK)
class ExchangeUnbindOk(NamedTuple):
    pass


@method(constants.QUEUE_DECLARE)
class QueueDeclare(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    nowait: Bit = False
    arguments: Table = NO_ARGUMENTS


@method(constants.QUEUE_DECLARE_OK)
class QueueDeclareOk(NamedTuple):
    queue: ShortStr = ""
    message_count: Long = 0
    consumer_count: Long = 0


@method(constants.QUEUE_BIND)
class QueueBind(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    nowait: Bit = False
    arguments: Table = NO_ARGUMENTS


@method(constants.QUEUE_BIND_OK)
class QueueBindOk(NamedTuple):
    pass


@method(constants.QUEUE_PURGE)
class QueuePurge(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    nowait: Bit = False


@method(constants.QUEUE_PURGE_OK)
class QueuePurgeOk(NamedTuple):
    message_count: Long = 0


@method(constants.QUEUE_DELETE)
class QueueDelete(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    if_unused: Bit = False
    if_empty: Bit = False
    nowait: Bit = False


@method(constants.QUEUE_DELETE_OK)
class QueueDeleteOk(NamedTuple):
    message_count: Long = 0


@method(constants.QUEUE_UNBIND)
class QueueUnbind(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    arguments: Table = NO_ARGUMENTS


@method(constants.QUEUE_UNBIND_OK)
class QueueUnbindOk(NamedTuple):
    pass


@method(constants.BASIC_QOS)
class BasicQos(NamedTuple):
    prefetch_size: Long = 0
    prefetch_count: Short = 0
    global_: Bit = False


@method(constants.BASIC_QOS_OK)
class BasicQosOk(NamedTuple):
    pass


@method(constants.BASIC_CONSUME)
class BasicConsume(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    consumer_tag: ShortStr = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    nowait: Bit = False
    arguments: Table = NO_ARGUMENTS


@method(constants.BASIC_CONSUME_OK)
class BasicConsumeOk(NamedTuple):
    consumer_tag: ShortStr = ""


@method(constants.BASIC_CANCEL)
class BasicCancel(NamedTuple):
    consumer_tag: ShortStr = ""
    nowait: Bit = False


@method(constants.BASIC_CANCEL_OK)
class BasicCancelOk(NamedTuple):
    consumer_tag: ShortStr = ""


@method(constants.BASIC_PUBLISH)
class BasicPublish(NamedTuple):
    ticket: Short = 0
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    mandatory: Bit = False
    immediate: Bit = False


@method(constants.BASIC_RETURN)
class BasicReturn(NamedTuple):
    reply_code: Short = 0
    reply_text: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@method(constants.BASIC_DELIVER)
class BasicDeliver(NamedTuple):
    consumer_tag: ShortStr = ""
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@method(constants.BASIC_GET)
class BasicGet(NamedTuple):
    ticket: Short = 0
    queue: ShortStr = ""
    no_ack: Bit = False


@method(constants.BASIC_GET_OK)
class BasicGetOk(NamedTuple):
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    message_count: Long = 0


@method(constants.BASIC_GET_EMPTY)
class BasicGetEmpty(NamedTuple):
    cluster_id: ShortStr = ""


@method(constants.BASIC_ACK)
class BasicAck(NamedTuple):
    delivery_tag: LongLong = 0
    multiple: Bit = False


@method(constants.BASIC_REJECT)
class BasicReject(NamedTuple):
    delivery_tag: LongLong = 0
    requeue: Bit = False


@method(constants.BASIC_RECOVER_ASYNC)
class BasicRecoverAsync(NamedTuple):
    requeue: Bit = False


@method(constants.BASIC_RECOVER)
class BasicRecover(NamedTuple):
    requeue: Bit = False


@method(constants.BASIC_RECOVER_OK)
class BasicRecoverOk(NamedTuple):
    pass


@method(constants.BASIC_NACK)
class BasicNack(NamedTuple):
    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = False


@method(constants.CONFIRM_SELECT)
class ConfirmSelect(NamedTuple):
    nowait: Bit = False


@method(constants.CONFIRM_SELECT_OK)
class ConfirmSelectOk(NamedTuple):
    pass


@method(constants.TX_SELECT)
class TxSelect(NamedTuple):
    pass


@method(constants.TX_SELECT_OK)
class TxSelectOk(NamedTuple):
    pass


@method(constants.TX_COMMIT)
class TxCommit(NamedTuple):
    pass


@method(constants.TX_COMMIT_OK)
class TxCommitOk(NamedTuple):
    pass


@method(constants.TX_ROLLBACK)
class TxRollback(NamedTuple):
    pass


@method(constants.TX_ROLLBACK_OK)
class TxRollbackOk(NamedTuple):
    pass
