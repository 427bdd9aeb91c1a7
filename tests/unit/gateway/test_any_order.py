"""Whatever a client says in whatever order, the broker never fails: it answers, refuses or closes."""
import asyncio
from typing import Any, get_args, get_type_hints

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amqp091.method_table import METHOD_CLASSES
from amqp091.methods import encode
from gateway.handshake import State
from tests.unit.gateway.bench import Bench, turn
from tests.unit.gateway_core import frames

NAMES = st.sampled_from(["", "q", "r", "x", "amq.direct", "amq.fanout", "amq.gen-x", "t", "\udcff", "a\nb"])
TABLES = st.sampled_from([
    {}, {"x-max-length": 1}, {"x-max-length": -1}, {"x-priority": "a"}, {"x-match": "all"}, {"alternate-exchange": "x"},
    {"x-dead-letter-exchange": "x"}, {"x-queue-type": "stream"}, {"\udcff": 1},
])
BY_LETTER = {
    "b": st.booleans(), "o": st.integers(0, 255), "s": st.sampled_from([0, 1, 2, 65535]),
    "l": st.sampled_from([0, 1, 7]),
    "L": st.sampled_from([0, 1, 2, 99]), "S": NAMES, "B": st.binary(max_size=6), "T": TABLES,
}
CLIENT_METHODS = sorted(key for key in METHOD_CLASSES if key[0] != 10 and key[1] % 10 == 0)


def one_method(key: tuple[int, int]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A method with arguments out of a few that mean something."""
    cls = METHOD_CLASSES[key]
    hints = get_type_hints(cls, include_extras=True)
    fields = {name: BY_LETTER[get_args(hint)[1]] for name, hint in hints.items()}
    return st.fixed_dictionaries(fields).map(lambda values: cls(**values))


METHODS = st.sampled_from(CLIENT_METHODS).flatmap(one_method)
STEPS = st.lists(st.tuples(st.integers(0, 2), METHODS | st.just(b"publish") | st.just(b"open")), max_size=30)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_no_order_of_methods_is_a_bug_of_ours(steps: list[tuple[int, Any]]) -> None:
    async def scenario() -> None:
        bench = Bench()
        client = await bench.opened()
        for channel, step in steps:
            if step == b"publish":
                client.raw(frames.publish(channel, b"x"))
            elif step == b"open":
                client.raw(frames.method(channel, 20, 10, b"\0"))
            else:
                client.raw(encode(channel, step))
            await turn()
            for _, method in client.methods():
                assert getattr(method, "reply_code", 0) != 541, f"{step} on channel {channel}"
            if client.connection.state is not State.RUNNING:
                break
        client.connection.on_wire_lost()
        await turn()
        assert client.connection.closed and not bench.gateway.connections
        assert bench.gateway.requests.unanswered_count == 0

    asyncio.run(scenario())


