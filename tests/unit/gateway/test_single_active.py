"""What a gateway knows of single active consumers: their standing, kept for a shard that comes back."""
from typing import Any

from amqp091.method_table import BasicConsume, BasicConsumeOk
from gateway.control import Control
from tests.unit.gateway.bench import Bench, Client, Link, scenario, turn
from tests.unit.gateway.test_consuming import with_queue
from tests.unit.gateway_core.records import event, response

STANDING = {"arrival": 77, "active": False}


async def waiting(bench: Bench) -> tuple[Client, Link, int]:
    """A consumer that another one is active before, and its handle."""
    client, link = await with_queue(bench)
    link.answers["consume"] = STANDING
    assert await client.call(1, BasicConsume(queue="q", consumer_tag="t")) == [(1, BasicConsumeOk("t"))]
    return client, link, link.asked("consume")[-1].document["consumer"]


async def listed(bench: Bench) -> tuple[bool, str]:
    [row] = (await Control(bench.gateway).handle({"verb": "list_consumers"}))["consumers"]
    return row["active"], row["activity_status"]


@scenario
async def test_a_consumer_of_an_ordinary_queue_has_no_standing(bench: Bench) -> None:
    client, link = await with_queue(bench)
    await client.call(1, BasicConsume(queue="q", consumer_tag="t"))
    assert not STANDING.keys() & link.asked("consume")[0].document.keys()
    assert await listed(bench) == (True, "up")


@scenario
async def test_it_becomes_active_and_waits_again(bench: Bench) -> None:
    _, link, handle = await waiting(bench)
    assert await listed(bench) == (False, "waiting")
    for active, shown in [(True, "single_active"), (False, "waiting")]:
        link.say(event({"event": "active", "consumer": handle, "active": active}))
        await turn()
        assert await listed(bench) == (active, shown)


@scenario
async def test_a_shard_that_is_back_hears_of_the_standing_and_of_the_end_of_it(bench: Bench) -> None:
    _, link, handle = await waiting(bench)
    link.say(event({"event": "active", "consumer": handle, "active": True}))
    await turn()
    bench.gateway.on_link_down(link)        # type: ignore[arg-type]
    link.records.clear()
    del link.answers["consume"]
    said = link.attached_count
    bench.gateway.on_link_up(link)          # type: ignore[arg-type]
    await turn()
    [asked] = link.asked("consume")
    assert (asked.document["arrival"], asked.document["active"], link.attached_count) == (77, True, said + 1)
    assert await listed(bench) == (False, "suspected_down")
    # what the shard says behind its answer counts
    link.say(response(asked.request_id, {"arrival": 77, "active": True})
             + event({"event": "active", "consumer": handle, "active": False}))
    await turn()
    assert await listed(bench) == (False, "waiting")


@scenario
async def test_a_word_about_a_consumer_that_has_gone_is_nothing(bench: Bench) -> None:
    client, link, handle = await waiting(bench)
    client.connection.on_wire_lost()
    link.say(event({"event": "active", "consumer": handle, "active": True}))
    await turn()
    rows: Any = await Control(bench.gateway).handle({"verb": "list_consumers"})
    assert rows == {"consumers": []}
