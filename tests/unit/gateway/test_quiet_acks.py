"""Acknowledgements for which no consumer waits do not wake the shard; all others do."""
import asyncio

from amqp091.method_table import BasicQos, TxCommit, TxSelect
from gateway.turn import QUIET_S
from tests.unit.gateway.bench import Bench, Client, Link, scenario, turn
from tests.unit.gateway.test_consuming import consuming
from tests.unit.gateway_core import frames
from tests.unit.gateway_core.records import ACK, Settled, deliver


def settled(link: Link) -> list[tuple[int, int]]:
    return [(record.outcome, record.delivery_sequence) for record in link.records if isinstance(record, Settled)]


async def holding(bench: Bench, count: int, prefetch: int = 0) -> tuple[Client, Link]:
    """A client with so many unacknowledged deliveries."""
    client, link, handle = await consuming(bench)
    if prefetch:
        await client.call(1, BasicQos(prefetch_count=prefetch))
    for _ in range(count):
        link.say(deliver(handle, b"x"))
    await turn()
    return client, link


async def ack(client: Client, tag: int, *, multiple: bool = False) -> None:
    client.raw(frames.ack(1, tag, multiple=multiple))
    await turn()


@scenario
async def test_a_consumer_without_prefetch_waits_for_none(bench: Bench) -> None:
    client, link = await holding(bench, 3)
    await ack(client, 1)
    await ack(client, 3, multiple=True)
    assert settled(link) == [(ACK, 1), (ACK, 3)]
    assert (link.quiet_count, link.woken_count) == (2, 0)


@scenario
async def test_the_shard_is_woken_for_them_soon_and_once(bench: Bench) -> None:
    client, link = await holding(bench, 2)
    await ack(client, 1)
    await ack(client, 2)
    await asyncio.sleep(3 * QUIET_S)
    assert (link.quiet_count, link.woken_count) == (2, 1)


@scenario
async def test_who_is_woken_for_a_publish_needs_no_other_waking(bench: Bench) -> None:
    client, link = await holding(bench, 1)
    await ack(client, 1)
    client.raw(frames.publish(1, b"x"))
    await turn()
    await asyncio.sleep(3 * QUIET_S)
    assert (link.quiet_count, link.woken_count) == (1, 0)


@scenario
async def test_an_ack_that_comes_with_a_publish_goes_with_it(bench: Bench) -> None:
    client, link = await holding(bench, 1)
    client.raw(frames.ack(1, 1) + frames.publish(1, b"x"))
    await turn()
    assert settled(link) == [(ACK, 1)] and link.quiet_count == 0


@scenario
async def test_with_a_prefetch_of_one_each_ack_is_waited_for(bench: Bench) -> None:
    client, link = await holding(bench, 1, prefetch=1)
    await ack(client, 1)
    assert settled(link) == [(ACK, 1)] and link.quiet_count == 0


@scenario
async def test_a_consumer_near_its_prefetch_waits_for_acks(bench: Bench) -> None:
    client, link = await holding(bench, 10, prefetch=10)
    quiet = []
    for tag in range(1, 11):
        before = link.quiet_count
        await ack(client, tag)
        quiet.append(link.quiet_count > before)
    # from five on, of which the one just acknowledged is not known to the shard
    assert quiet == [False] * 5 + [True] * 5


@scenario
async def test_what_the_shard_has_not_heard_of_counts_as_unacknowledged(bench: Bench) -> None:
    client, link = await holding(bench, 6, prefetch=10)
    await ack(client, 6, multiple=True)
    assert settled(link) == [(ACK, 6)] and link.quiet_count == 0


@scenario
async def test_a_shard_is_not_kept_from_many(bench: Bench) -> None:
    client, link = await holding(bench, 300)
    await ack(client, 256, multiple=True)
    assert link.quiet_count == 1
    await ack(client, 257)
    assert link.quiet_count == 1        # together they are too many
    await ack(client, 258)
    assert link.quiet_count == 2        # it was woken for them


@scenario
async def test_a_cancelled_prefetch_is_forgotten(bench: Bench) -> None:
    client, link = await holding(bench, 1, prefetch=1)
    await client.call(1, BasicQos(prefetch_count=0))
    await ack(client, 1)
    assert link.quiet_count == 1


@scenario
async def test_other_words_on_deliveries_are_told_at_once(bench: Bench) -> None:
    client, link = await holding(bench, 2)
    client.raw(frames.nack(1, 1))
    await turn()
    client.raw(frames.reject(1, 2))
    await turn()
    assert len(settled(link)) == 2 and link.quiet_count == 0


@scenario
async def test_a_commit_is_waited_for(bench: Bench) -> None:
    client, link = await holding(bench, 1)
    await client.call(1, TxSelect())
    await ack(client, 1)
    client.send(1, TxCommit())
    await turn()
    assert settled(link) == [(ACK, 1)] and link.quiet_count == 0
