"""The states of a connection from its first byte to its end, and which method leads where.

The table is the whole truth: a method that has no entry for the state is an error.
Also what is negotiated in the handshake and how it fails. Owns no connection, sends nothing.

    header -> starting -> tuning -> opening -> running -> closing | closed
"""
import enum
from typing import Any, Final, NamedTuple

from amqp091 import constants
from amqp091.constants import MethodId
from amqp091.errors import AMQPError, ChannelErrorHard, LoginRefused, NotAllowed

PROTOCOL_HEADERS_ACCEPTED: Final = (constants.PROTOCOL_HEADER, constants.PROTOCOL_HEADER_0_9_1_OLD)
LOCALES: Final = b"en_US"
SILENT_CLOSE_DELAY_S: Final = 3.0
"""A peer that misbehaves before it is trusted waits this long for its close, so that it cannot hammer."""
CLOSE_OK_WAIT_S_MAX: Final = 30.0
"""As long as a client has for its close-ok, or its heartbeat interval if that is shorter."""
CHANNEL_MAX_MIN: Final = 1
NO_LIMIT: Final = 0

PRODUCT: Final = "Warren"
CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


class State(enum.Enum):
    """Where a connection is. The values are RabbitMQ's words, used in texts and listings."""

    HEADER = "pre_init"
    STARTING = "starting"
    TUNING = "tuning"
    OPENING = "opening"
    RUNNING = "running"
    CLOSING = "closing"     # the client asked for the end, close-ok is to come
    CLOSED = "closed"       # this side asked for the end, or has answered: only close and close-ok count
    ENDED = "ended"         # nothing is read any more


TRANSITIONS: Final[dict[tuple[State, MethodId], State]] = {
    (State.STARTING, constants.CONNECTION_START_OK): State.TUNING,
    (State.TUNING, constants.CONNECTION_TUNE_OK): State.OPENING,
    (State.OPENING, constants.CONNECTION_OPEN): State.RUNNING,
    (State.RUNNING, constants.CONNECTION_UPDATE_SECRET): State.RUNNING,
    (State.RUNNING, constants.CONNECTION_CLOSE): State.CLOSING,
    (State.CLOSING, constants.CONNECTION_CLOSE): State.CLOSING,
    (State.CLOSED, constants.CONNECTION_CLOSE): State.CLOSED,
    (State.CLOSED, constants.CONNECTION_CLOSE_OK): State.ENDED,
}

ENDING: Final = frozenset({State.CLOSING, State.CLOSED, State.ENDED})
"""States in which a method without an entry is dropped, not an error."""


def next_state(state: State, method: MethodId) -> State | None:
    """Where the method leads; None: drop it. Raises 504 where it has no business."""
    following = TRANSITIONS.get((state, method))
    if following is None and state not in ENDING:
        raise ChannelErrorHard(f"unexpected method in connection state {state.value}")
    return following


class Farewell(enum.Enum):
    """How a connection that failed is let go."""

    CLOSE = "connection.close with the reason, then wait for close-ok"
    SILENT = "no word, and the socket closed after a delay"


def farewell(state: State, error: AMQPError, told: bool) -> Farewell:
    """Before a client is trusted it is told the reason only where that helps an honest one.

    `told`: the client announced authentication_failure_close.
    """
    if state is State.HEADER:
        return Farewell.SILENT
    if state is State.STARTING:
        return Farewell.CLOSE if told else Farewell.SILENT
    if state is State.TUNING:
        return Farewell.CLOSE if isinstance(error, NotAllowed) else Farewell.SILENT
    return Farewell.CLOSE


def login_refused(mechanism: str) -> LoginRefused:
    """All that a client learns of a refused login; the log knows more."""
    return LoginRefused(
        f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
    )


class Tuning(NamedTuple):
    """The limits of one connection. 0 means none."""

    channel_max: int
    frame_max: int
    heartbeat_s: int


def negotiate(offered: Tuning, answered: Tuning) -> Tuning:
    """What tune-ok settles; 530 where it exceeds the offer. The client alone chooses the heartbeat."""
    _check("frame_max", constants.FRAME_MIN_SIZE, offered.frame_max, answered.frame_max)
    _check("channel_max", CHANNEL_MAX_MIN, offered.channel_max, answered.channel_max)
    return answered


def _check(field: str, minimum: int, offered: int, answered: int) -> None:
    if answered != NO_LIMIT and answered < minimum:
        raise NotAllowed(
            f"negotiated {field} = {answered} is lower than the minimum allowed value ({minimum})",
            method=constants.CONNECTION_TUNE,
        )
    if offered != NO_LIMIT and (answered == NO_LIMIT or answered > offered):
        unlimited = " (no limit)" if field == "channel_max" and answered == NO_LIMIT else ""
        raise NotAllowed(
            f"negotiated {field} = {answered}{unlimited} is higher than the maximum allowed value ({offered})",
            method=constants.CONNECTION_TUNE,
        )


def server_properties(version: str, cluster_name: str, platform: str) -> dict[str, Any]:
    """What connection.start says about this broker."""
    return {
        "capabilities": dict.fromkeys(CAPABILITIES, True),
        "cluster_name": cluster_name,
        "copyright": "Copyright (c) the Warren authors",
        "information": "AMQP 0-9-1 broker",
        "platform": platform,
        "product": PRODUCT,
        "version": version,
    }


def describe_bad_header(header: bytes) -> str:
    """For the log: what kind of client came to the wrong door."""
    if header[:4] in (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI"):
        return "an HTTP request: an HTTP client uses the AMQP port"
    if header[:2] == b"\x16\x03":
        return "a TLS hello: the client speaks TLS on the plain AMQP port"
    if header[:4] == b"AMQP":
        return f"AMQP version {'-'.join(str(octet) for octet in header[4:8])}: this port speaks 0-9-1"
    return f"unknown protocol header {header!r}"
