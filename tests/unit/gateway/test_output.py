"""Clients that ask and do not read: what they asked for waits with them."""
from amqp091.method_table import BasicGet, BasicGetOk, QueueDeclare
from gateway.connection import OUTPUT_BYTES_MAX
from gateway.core import PAUSE_OUTPUT
from tests.unit.gateway.bench import Bench, scenario, turn
from tests.unit.gateway_core.records import Get, get_ok

BODY_BYTES = 1 << 20
GETS = 50


@scenario
async def test_gets_of_a_client_that_does_not_read_wait_until_it_does(bench: Bench) -> None:
    client = await bench.opened()
    await client.call(1, QueueDeclare(queue="q"))
    queue = bench.replica.queue("/", "q")
    assert queue is not None
    link = bench.links[queue.shard]
    del link.answers["get"]
    connection = client.connection
    flush, client.wire.flush = client.wire.flush, lambda: None      # type: ignore[method-assign]
    connection.writable = False
    connection.frame_max = 1 << 22      # the test's own reading is quicker so
    client.send(1, *[BasicGet(queue="q", no_ack=True)] * GETS)

    def stopped() -> bool:
        return connection.paused

    async def answer() -> int:
        """As the shard does, as long as something is asked."""
        answered = 0
        while True:
            await turn()
            asked = [record for record in link.records if isinstance(record, Get)]
            link.records.clear()
            if not asked:
                return answered
            for request in asked:
                answered += 1
                link.say(get_ok(request.request_id, bytes(BODY_BYTES)))

    assert await answer() * BODY_BYTES < OUTPUT_BYTES_MAX + 3 * BODY_BYTES
    assert OUTPUT_BYTES_MAX < connection.output_bytes < OUTPUT_BYTES_MAX + 2 * BODY_BYTES
    assert stopped() and not client.wire.reading
    got = 0
    while stopped():
        client.wire.flush = flush       # type: ignore[method-assign]
        got += sum(isinstance(method, BasicGetOk) for _, method in client.methods())
        client.wire.flush = lambda: None        # type: ignore[method-assign]
        connection.go_on(PAUSE_OUTPUT)
        await answer()
    client.wire.flush = flush           # type: ignore[method-assign]
    got += sum(isinstance(method, BasicGetOk) for _, method in client.methods())
    assert got == GETS and client.wire.reading
