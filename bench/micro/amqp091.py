"""The protocol: frames, tables, properties, methods. They are called from Python here, which is part of the cost."""
from __future__ import annotations

from typing import Final

from amqp091 import methods, properties, tables
from amqp091.property_edit import edited
from amqp091.renderer import render_ack, render_deliver
from amqp091.scanner import read_content_header, read_frame, read_publish, read_settle
from bench.micro.case import Case, calls

BODY: Final = b"x" * 100
UNITS: Final = 1000
FRAME_MAX: Final = 131_072
TABLE: Final = {"x-match": "all", "number": 12345, "flag": True, "price": 1.5, "nested": {"list": [1, 2, 3]}}
ENCODED_TABLE: Final = tables.encode_table(TABLE)
PROPERTIES: Final = properties.encode(properties.Properties(
    content_type="text/plain", headers=TABLE, delivery_mode=2, message_id="message-000001"))
DECODED: Final = properties.decode(PROPERTIES)
PUBLISH: Final = methods.BasicPublish(exchange="orders", routing_key="eu.shoes.red")
PUBLISH_FRAME: Final = methods.encode(1, PUBLISH)
PUBLISH_PAYLOAD: Final = PUBLISH_FRAME[7:-1]
ACK_PAYLOAD: Final = render_ack(1, 77, True)[7:-1]
HEADER_PAYLOAD: Final = properties.content_header_frame(1, len(BODY), PROPERTIES)[7:-1]
DECLARE: Final = methods.QueueDeclare(queue="jobs", durable=True, arguments={"x-max-length": 1000})
DECLARE_ARGUMENTS: Final = methods.encode_arguments(DECLARE)


def _without_header() -> bytes:
    return edited(PROPERTIES, removed_fields=[b"flag"])


CASES: Final = (
    Case("scanner: a frame", calls(read_frame, PUBLISH_FRAME), UNITS),
    Case("scanner: basic.publish", calls(read_publish, PUBLISH_PAYLOAD), UNITS),
    Case("scanner: basic.ack", calls(read_settle, ACK_PAYLOAD), UNITS),
    Case("scanner: a content header with properties", calls(read_content_header, HEADER_PAYLOAD), UNITS),
    Case("renderer: basic.deliver with 100 bytes", calls(
        render_deliver, 1, b"consumer", 77, False, b"orders", b"eu.shoes.red", b"\0\0", BODY, FRAME_MAX), UNITS),
    Case("renderer: basic.deliver with 64 KiB", calls(
        render_deliver, 1, b"consumer", 77, False, b"orders", b"eu.shoes.red", b"\0\0", BODY * 655, FRAME_MAX), 10),
    Case("renderer: basic.ack", calls(render_ack, 1, 77, True), UNITS),
    Case("tables: decode", calls(tables.decode_table, ENCODED_TABLE), UNITS, "table"),
    Case("tables: encode", calls(tables.encode_table, TABLE), UNITS, "table"),
    Case("properties: decode", calls(properties.decode, PROPERTIES), UNITS, "list"),
    Case("properties: encode", calls(properties.encode, DECODED), UNITS, "list"),
    Case("property_edit: one header less", calls(_without_header), UNITS, "list"),
    Case("methods: encode basic.publish", calls(methods.encode, 1, PUBLISH), UNITS, "method"),
    Case("methods: decode queue.declare", calls(methods.decode, 50, 10, DECLARE_ARGUMENTS), UNITS, "method"),
    Case("methods: encode queue.declare", calls(methods.encode, 1, DECLARE), UNITS, "method"),
)
