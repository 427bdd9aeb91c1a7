"""What a publish was refused for, in RabbitMQ's words (which print Erlang terms).

Builds errors only; each is raised by the compiled code that found the fault.
"""
import re
from typing import Final

from amqp091.constants import BASIC_PUBLISH
from amqp091.errors import NotImplemented_, PreconditionFailed
from amqp091.tables import decode_table, type_name

INTEGER: Final = re.compile(r"[+-]?[0-9]+")


def text_of(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def immediate() -> NotImplemented_:
    return NotImplemented_("immediate=true", method=BASIC_PUBLISH)


def message_too_large(body_bytes: int, body_bytes_max: int) -> PreconditionFailed:
    return PreconditionFailed(
        f"message size {body_bytes} is larger than configured max size {body_bytes_max}", method=BASIC_PUBLISH
    )


def transaction_too_large(bytes_max: int) -> PreconditionFailed:
    return PreconditionFailed(f"transaction is larger than the maximum of {bytes_max} bytes", method=BASIC_PUBLISH)


def invalid_expiration(expiration: bytes) -> PreconditionFailed:
    text = text_of(expiration)
    integer = INTEGER.match(text)
    if integer is None:
        reason = "no_integer"
    elif integer.end() < len(text):
        reason = f'{{leftover_string,"{text[integer.end():]}"}}'
    elif int(text) < 0:
        reason = f"{{value_negative,{int(text)}}}"
    else:
        reason = f"{{value_too_big,{int(text)}}}"
    return PreconditionFailed(f"invalid expiration '{text}': {reason}", method=BASIC_PUBLISH)


def copies_no_array(name: bytes, headers: bytes) -> PreconditionFailed:
    """`headers`: the table with its length word, found well-formed."""
    key = name.decode()
    kind = type_name(decode_table(headers)[key])
    return PreconditionFailed(
        f'invalid message: {{unacceptable_type_in_header,"{key}",{kind}}}', method=BASIC_PUBLISH
    )


def invalid_deliver_at(name: bytes, headers: bytes) -> PreconditionFailed:
    """`headers`: the table with its length word, found well-formed."""
    key = name.decode()
    value = decode_table(headers)[key]
    if type_name(value) in ("timestamp", "signedint", "long"):
        fault = f"{value} lies beyond the year 9999"
    else:
        fault = f"expected a timestamp or an integer (milliseconds since 1970), got {type_name(value)}"
    return PreconditionFailed(f"invalid header '{key}': {fault}", method=BASIC_PUBLISH)


def no_reply_consumer() -> PreconditionFailed:
    return PreconditionFailed("fast reply consumer does not exist", method=BASIC_PUBLISH)


def wrong_user_id(user_id: bytes, authenticated: bytes) -> PreconditionFailed:
    return PreconditionFailed(
        f"user_id property set to '{text_of(user_id)}' but authenticated user was '{text_of(authenticated)}'",
        method=BASIC_PUBLISH,
    )
