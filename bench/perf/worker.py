"""A worker process of a run: `python -P -m bench.perf.worker`, with its part of the load as JSON on its input.

Opens its connections one after the other, hands them to the compiled loop, and ends when the run is over. An error is
one line of JSON on its output. It dies with the process that started it.
"""
from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from amqp091.errors import AMQPError
from amqp091.methods import BasicConsume, ConfirmSelect, ConfirmSelectOk, QueueDeclare, QueueDeclareOk, encode
from bench.perf import plan
from bench.perf.board import Board as SharedBoard
from bench.perf.churn import script
from bench.perf.client import CHANNEL, Client
from bench.perf.core.board import Board
from bench.perf.core.churner import Churner
from bench.perf.core.connection import Connection
from bench.perf.core.consumer import Consumer
from bench.perf.core.loop import Loop
from bench.perf.core.poller import Poller
from bench.perf.core.producer import Producer
from bench.perf.core.requester import Requester
from bench.perf.core.responder import Responder
from bench.perf.core.template import Template
from bench.perf.core.verifier import Verifier
from bench.perf.errors import LoadError
from bench.perf.load import STREAM, Load
from bench.perf.messages import request_properties, template
from bench.perf.topology import consume_frames, get_frames
from bench.perf.url import parse

EXIT_FAILED: Final = 1
PR_SET_PDEATHSIG: Final = 1
NS_PER_S: Final = 1e9
NS_PER_MS: Final = 1e6
PRODUCERS_UNKNOWN_MAX: Final = 1024
"""A drain of what another run published checks producers up to this number; it does not know how many there were."""


@dataclass
class Part:
    """What a worker is given."""

    load: dict[str, Any]
    urls: list[str]
    run: int                            # in the stamp of each message
    worker: int
    workers: int
    board: int                          # descriptor
    coordinator: int                    # process id
    producers: list[int] = field(default_factory=list)
    consumers: list[int] = field(default_factory=list)


class Worker:
    """The connections of one process."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.load = Load(**part.load)
        self._addresses = [parse(url) for url in part.urls]
        self._board = Board(SharedBoard(part.workers, part.board).memory, part.worker)
        self._loop = Loop(self._board)
        self._clients: list[Client] = []            # their sockets stay open as long as they are held

    def open(self) -> None:
        """All connections; the consumers among them first."""
        queues = sorted({queue for one in self.part.consumers for queue in plan.queues_of_consumer(self.load, one)})
        shared = self._verifier(queues) if queues and self.load.verify else None
        for consumer in self.part.consumers:
            # each consumer of a stream has all messages
            own = self.load.queue_type == STREAM and shared is not None
            self._add(self._consumer(consumer, queues, self._verifier(queues) if own else shared))
        if self.load.churn is not None:
            for churner in self.part.producers:
                self._add_churner(churner)
            return
        opened = [(producer, self._open(f"producer {producer}", producer)) for producer in self.part.producers]
        if not opened:
            return
        made = template(self.load, min(client.frame_max for _, client in opened), self.part.run)
        for producer, client in opened:
            if self.load.confirm:
                client.call(ConfirmSelect(), ConfirmSelectOk)
            self._add((self._requester(producer, client) if self.load.rpc is not None
                       else self._producer(producer, client, made), client))

    def run(self) -> None:
        """Until the coordinator ends it."""
        self._loop.run()

    def _open(self, name: str, serial: int) -> Client:
        client = Client(self._addresses[serial % len(self._addresses)], name)
        self._clients.append(client)
        return client

    def _add(self, made: tuple[Connection, Client]) -> None:
        connection, client = made
        _, left = client.detach()
        self._loop.add(connection, left)

    def _add_churner(self, churner: int) -> None:
        """A churner of connections learns on a first one what to say on the others."""
        assert self.load.churn is not None
        client = self._open(f"{self.load.churn} churner {churner}", churner)
        steps, cycle_steps = script(self.load, churner, client)
        quota = plan.quota(self.load, churner)
        reconnects = self.load.churn == "connection"
        if reconnects:
            client.close()
        made = Churner(self._board, client.name, -1 if reconnects else client.descriptor, client.frame_max, steps,
                       cycle_steps, quota, reconnects)
        if reconnects:
            self._loop.add(made, b"", client.connect_again)
        else:
            self._add((made, client))

    def _consumer(self, consumer: int, queues: list[int], verifier: Verifier | None) -> tuple[Connection, Client]:
        client = self._open(f"consumer {consumer}", consumer)
        places = [queues.index(queue) for queue in plan.queues_of_consumer(self.load, consumer)]
        common = (
            self._board, client.name, client.descriptor, client.frame_max, consume_frames(self.load, consumer),
            np.array(places, np.uint32), verifier, 0 if self.load.auto_ack else self.load.ack_every,
            self.load.consumer_rate,
        )
        if self.load.polling:
            made: Consumer = Poller(*common, questions=get_frames(self.load, consumer),
                          interval_ns=int(self.load.polling_interval_ms * NS_PER_MS))
        elif self.load.rpc is not None:
            made = Responder(*common, size=self.load.size)
        else:
            made = Consumer(*common)
        return made, client

    def _verifier(self, queues: list[int]) -> Verifier:
        drain = self.load.mode == "drain"
        producers = PRODUCERS_UNKNOWN_MAX if drain else self.load.producers
        return Verifier(
            self._board, self.part.run, producers, self.load.queues, np.array(queues, np.uint32),
            None if drain else plan.ranks(self.load, queues), drain,
        )

    def _producer(self, producer: int, client: Client, made: Template) -> Producer:
        keys = plan.keys_of_producer(self.load, producer)
        return Producer(
            self._board, client.name, client.descriptor, client.frame_max, made, producer, np.array(keys, np.uint32),
            np.array([plan.copies(self.load, key) for key in keys], np.uint32), plan.quota(self.load, producer),
            self.load.confirm, self.load.rate, self._offset_ns(producer),
        )

    def _requester(self, producer: int, client: Client) -> Requester:
        """With a queue of its own for the answers, which goes with its connection; or without any."""
        reply_to = plan.reply_queue_name(self.load, producer)
        if reply_to != plan.DIRECT_REPLY_TO:
            client.call(QueueDeclare(queue=reply_to, exclusive=True), QueueDeclareOk)
        keys = plan.keys_of_producer(self.load, producer)
        return Requester(
            self._board, client.name, client.descriptor, client.frame_max,
            template(self.load, client.frame_max, self.part.run, request_properties(reply_to)), producer,
            np.array(keys, np.uint32), np.ones(len(keys), np.uint32), plan.quota(self.load, producer),
            self.load.requests, self.load.rate, self._offset_ns(producer),
            start=encode(CHANNEL, BasicConsume(queue=reply_to, no_ack=True)),
        )

    def _offset_ns(self, producer: int) -> int:
        """Producers with a rate are spread over one period."""
        return int(NS_PER_S / self.load.rate * producer / self.load.producers) if self.load.rate else 0


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C is the coordinator's business
    part = Part(**orjson.loads(sys.stdin.buffer.read()))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != part.coordinator:                # it died before the call
        return EXIT_FAILED
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        worker = Worker(part)
        worker.open()
        worker.run()
    except (LoadError, AMQPError, OSError, ValueError, MemoryError) as error:
        # a broker's words may be no UTF-8
        words = (str(error) or type(error).__name__).encode("utf-8", "replace").decode()
        sys.stdout.buffer.write(orjson.dumps({"error": words}))
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
