"""A connection that is over takes no memory, at once: nothing waits for the collector, or for a visit of the wheel."""
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from amqp091.method_table import BasicConsume, ChannelClose, ConnectionClose, QueueDeclare
from tests.unit.gateway.bench import Bench, turn


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    logging.disable()                   # records that pytest keeps hold errors with all that their frames knew
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


USES: dict[str, list[tuple[Any, ...]]] = {
    "nothing": [],
    "an exclusive queue": [QueueDeclare(queue="own", exclusive=True)],
    "a consumer": [QueueDeclare(queue="own"), BasicConsume(queue="own", consumer_tag="tag")],
    "an error of the channel": [QueueDeclare(queue="missing", passive=True)],
    "a channel closed": [ChannelClose(200, "bye", 0, 0)],
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("polite", [True, False], ids=["said goodbye", "hung up"])
async def test_a_connection_is_freed_when_it_is_over(use: str, polite: bool) -> None:
    bench = Bench()
    client = await bench.opened()
    for method in USES[use]:
        await client.call(1, method)
    gone = [weakref.ref(client.connection), *map(weakref.ref, client.connection.open_channels())]
    if polite:
        await client.call(0, ConnectionClose(200, "bye", 0, 0))
    client.connection.on_wire_lost()
    bench.gateway.wake()                # as the transport does
    await turn()
    del client
    assert [ref() for ref in gone] == [None] * len(gone)
