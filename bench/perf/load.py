"""What a run does: the options of `warren perf run`, checked, as one value that travels to the workers as JSON.

Knows no broker; where the load goes is url.py's, which key goes to which queue is plan.py's.
"""
from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CONNECTIONS_MAX: Final = 100_000
"""Of producers, and of consumers: more than a machine has ports for."""
QUEUES_MAX: Final = 100_000
KEYS_MAX: Final = 1_000_000
BINDINGS_MAX: Final = 1 << 24
"""Queues times routing keys: the table of what is bound to what has an entry for each."""
SIZE_MAX: Final = 512 << 20
WINDOW_MAX: Final = 1 << 24
COUNT_MAX: Final = 1 << 47
"""A sequence number beyond 48 bits is taken for foreign (core/verifier.pxd)."""

SECONDS_DEFAULT: Final = 5.0
DECLARATIONS_DEFAULT: Final = 10_000
"""Of a churn that only declares."""
PREFIX_DEFAULT: Final = "perf"

STREAM: Final = "stream"
"""The queue type that has no basic.get, and gives each consumer everything."""
STAMP_BYTES: Final = 24
"""Of a body: what is needed to know a message again (core/template.pxd)."""

Mode = Literal["both", "publish", "drain", "churn"]
Rpc = Literal["direct", "queue"]
Churn = Literal["connection", "channel", "queue", "declare", "binding", "exchange"]
ExchangeType = Literal["direct", "fanout", "topic", "headers"]
Connections = Annotated[int, Field(ge=0, le=CONNECTIONS_MAX)]
Processes = Annotated[int, Field(ge=1, le=256)]


class Load(BaseModel):
    """Names are those of the options; units stand last. See bench/README.md for what each means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # shape
    mode: Mode = "both"                     # publish: only fill the queues; drain: only empty them; churn: no messages
    churn: Churn | None = None              # what the producers' connections open and close without end
    producers: Connections = 1
    consumers: Connections = 1
    queues: Annotated[int, Field(ge=0, le=QUEUES_MAX)] = 1
    queue: Annotated[str, Field(min_length=1, max_length=255)] | None = None   # the only one; it stays where it is
    queue_prefix: Annotated[str, Field(min_length=1, max_length=200)] = PREFIX_DEFAULT
    processes: Processes | None = None      # of the load; None: by the cores

    # messages
    size: Annotated[int, Field(ge=0, le=SIZE_MAX)] = 100
    persistent: bool = False
    mandatory: bool = False
    properties: dict[str, str | int] = {}
    headers: dict[str, Any] = {}

    # how long
    seconds: Annotated[float, Field(gt=0, le=1e6)] | None = None
    warmup_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] | None = None     # of all producers, or to be drained
    drain_timeout_s: Annotated[float, Field(gt=0, le=1e6)] = 10.0

    # queues
    durable: bool = False
    queue_type: str | None = None
    queue_arguments: dict[str, Any] = {}
    keep: bool = False                      # queues and exchange stay
    purge: bool = False                     # queues that exist already may be emptied

    # routing
    exchange_type: ExchangeType | None = None       # None: the default exchange
    routing_keys: Annotated[int, Field(ge=1, le=KEYS_MAX)] | None = None

    # publishing
    confirm: Annotated[int, Field(ge=0, le=WINDOW_MAX)] = 0            # unconfirmed per producer; 0: no confirms
    rate: Annotated[float, Field(ge=0, le=1e8)] = 0.0                  # per producer and second; 0: no limit
    rpc: Rpc | None = None                  # consumers answer: to amq.rabbitmq.reply-to, or a queue of each producer
    requests: Annotated[int, Field(ge=1, le=WINDOW_MAX)] = 1           # without an answer, per producer at most

    # consuming
    auto_ack: bool = False
    consumer_rate: Annotated[float, Field(ge=0, le=1e8)] = 0.0         # per consumer and second; 0: no limit
    ack_every: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    prefetch: Annotated[int, Field(ge=0, le=65535)] = 0                # 0: no limit
    consume_arguments: dict[str, Any] = {}
    polling: bool = False                   # with basic.get
    polling_interval_ms: Annotated[float, Field(ge=0, le=1e6)] = 0.0   # from one basic.get to the next, at least

    verify: bool = True

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """What follows from other options."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        mode = values.get("mode", "both")
        if mode == "churn":
            values["consumers"] = 0
            values["queues"] = values.get("producers", 1) if values.get("churn") == "binding" else 0
            if values.get("churn") == "declare" and values.get("seconds") is None:
                values.setdefault("count", None)
                values["count"] = values["count"] or DECLARATIONS_DEFAULT
        elif mode == "drain":
            values["producers"] = 0
        elif mode == "publish" or not values.get("queues", 1):
            values["consumers"] = 0
        if mode != "drain" and values.get("count") is None and values.get("seconds") is None:
            values["seconds"] = SECONDS_DEFAULT
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Load:
        if self.mode != "drain" and not self.producers:
            raise ValueError("a run without producers is a drain: give --drain")
        if self.mode == "drain" and not (self.consumers and self.queues):
            raise ValueError("a drain needs consumers and queues")
        if (self.mode == "churn") != (self.churn is not None):
            raise ValueError("a churn, and nothing else, opens and closes something without end")
        if self.churn == "declare" and (self.seconds is not None or (self.count or 0) > QUEUES_MAX):
            raise ValueError(f"declarations without deletions are a number, --count, of {QUEUES_MAX} at most")
        if not self.queues and self.exchange_type is None and self.mode != "churn":
            raise ValueError("a run without queues needs an exchange")
        if self.routing_keys is not None and self.exchange_type is None:
            raise ValueError("routing keys are for an exchange: give --exchange-type; "
                             "with the default exchange the keys are the queues' names")
        if self.prefetch and not self.auto_ack and self.ack_every > self.prefetch:
            raise ValueError(f"with a prefetch of {self.prefetch} an acknowledgement for every {self.ack_every} "
                             "messages would never be sent")
        if self.queue is not None and (self.queues != 1 or self.mode == "churn"):
            raise ValueError("a queue with its own name is the only one: leave out --queues, or give --queue-prefix")
        if self.consumer_rate and self.polling:
            raise ValueError("basic.get is held back by --polling-interval, not by --consumer-rate")
        self._check_requests()
        if self.keys * self.queues > BINDINGS_MAX and self.exchange_type is not None:
            raise ValueError(f"queues times routing keys may be {BINDINGS_MAX} at most")
        return self

    def _check_requests(self) -> None:
        """What is asked and answered: requests to servers, and basic.get."""
        if self.rpc is not None:
            if self.mode != "both" or not self.consumers or self.queue_type == STREAM:
                raise ValueError("requests need consumers that answer them, and a queue that is no stream")
            if self.exchange_type is not None or self.confirm:
                raise ValueError("requests go over the default exchange, and are answered instead of confirmed: "
                                 "leave out --exchange-type and --confirm")
            if self.size < STAMP_BYTES:
                raise ValueError(f"answers are known by what is in them: give a --size of {STAMP_BYTES} or more")
        if self.polling and (self.rpc is not None or self.queue_type == STREAM):
            raise ValueError("basic.get is for messages, not for requests, and streams have none")

    @property
    def keys(self) -> int:
        """How many routing keys there are."""
        if self.exchange_type is None:
            return self.queues
        if self.routing_keys is not None:
            return self.routing_keys
        return 1 if self.exchange_type == "fanout" else max(1, self.queues)

    @property
    def exchange(self) -> str:
        """The name of the exchange; empty for the default one."""
        return "" if self.exchange_type is None else self.queue_prefix
