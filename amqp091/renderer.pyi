Buffer = bytes | bytearray | memoryview

def render_deliver(
    channel: int,
    consumer_tag: bytes,
    delivery_tag: int,
    redelivered: bool,
    exchange: bytes,
    routing_key: bytes,
    properties: bytes,
    body: Buffer,
    frame_max: int,
) -> bytes: ...
def render_get_ok(
    channel: int,
    delivery_tag: int,
    redelivered: bool,
    exchange: bytes,
    routing_key: bytes,
    message_count: int,
    properties: bytes,
    body: Buffer,
    frame_max: int,
) -> bytes: ...
def render_return(
    channel: int,
    reply_code: int,
    reply_text: bytes,
    exchange: bytes,
    routing_key: bytes,
    properties: bytes,
    body: Buffer,
    frame_max: int,
) -> bytes: ...
def render_ack(channel: int, delivery_tag: int, multiple: bool = False) -> bytes: ...
def render_nack(channel: int, delivery_tag: int, multiple: bool = False, requeue: bool = False) -> bytes: ...
