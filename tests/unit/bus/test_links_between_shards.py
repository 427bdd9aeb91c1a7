"""Two shards, each the other's client and server: what is on one of their links has nothing to do with the other."""
from __future__ import annotations

from pathlib import Path

from bus.links import SHARED_MEMORY, LinkEnd
from tests.unit.bus.conftest import Side, World, until


class Shards:
    """Shard 0 with a gateway, shard 1, and a link each way between them; what came over which link."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gateway = world.side("gateway")
        self.shards = [world.side("shard", index=index) for index in range(2)]
        self.heard: list[list[tuple[str, int, bool, bytes]]] = [[], []]
        for shard in self.shards:
            self.listen(shard)
        world.connect(self.gateway, self.shards[0])
        self.join(0, 1)
        self.join(1, 0)

    def listen(self, shard: Side) -> None:
        def hear(link: LinkEnd, view: memoryview) -> None:
            self.heard[shard.index].append((link.peer_role, link.peer, link.serving, bytes(view)))

        shard.on_batch = hear

    def join(self, client: int, server: int) -> None:
        self.world.connect(self.shards[client], self.shards[server])

    def client(self, client: int, server: int) -> LinkEnd:
        end = self.shards[client].links.get(server)
        assert end is not None
        return end

    def server(self, server: int, client: int) -> LinkEnd:
        return self.shards[server].end_of(self.shards[client], serving=True)


async def test_each_link_carries_its_own_batches(world: World) -> None:
    shards = Shards(world)
    shards.client(0, 1).send(b"from 0 to its server 1")
    shards.client(1, 0).send(b"from 1 to its server 0")
    shards.server(0, 1).send(b"from 0 to its client 1")
    shards.server(1, 0).send(b"from 1 to its client 0")
    shards.gateway.end.send(b"from the gateway")
    await until(lambda: sum(map(len, shards.heard)) == 5)
    assert sorted(shards.heard[0]) == [
        ("gateway", 0, True, b"from the gateway"),
        ("shard", 1, False, b"from 1 to its client 0"),
        ("shard", 1, True, b"from 1 to its server 0"),
    ]
    assert sorted(shards.heard[1]) == [
        ("shard", 0, False, b"from 0 to its client 1"),
        ("shard", 0, True, b"from 0 to its server 1"),
    ]


async def test_batches_of_each_link_are_counted_from_one(world: World) -> None:
    shards = Shards(world)
    assert [shards.client(0, 1).send(b"a"), shards.client(0, 1).send(b"b")] == [1, 2]
    assert [shards.server(0, 1).send(b"a"), shards.server(0, 1).send(b"b")] == [1, 2]
    assert shards.gateway.end.send(b"a") == 1


async def test_many_batches_cross_both_ways_at_once(world: World) -> None:
    shards = Shards(world)
    sent = [number.to_bytes(4, "big") * (1 + number * 37 % 3000) for number in range(300)]
    for batch in sent:
        shards.client(0, 1).send(batch)
        shards.client(1, 0).send(batch)
    await until(lambda: all(len(heard) == len(sent) for heard in shards.heard))
    assert [batch for _, _, _, batch in shards.heard[0]] == sent
    assert [batch for _, _, _, batch in shards.heard[1]] == sent


async def test_one_of_the_two_links_goes_down_alone(world: World) -> None:
    shards = Shards(world)
    gone = shards.client(0, 1)
    world.disconnect(shards.shards[0], shards.shards[1], serving=False)
    assert gone.closed
    assert shards.shards[0].links.get(1) is None
    shards.server(0, 1).send(b"still")
    await until(lambda: len(shards.heard[1]) == 1)
    assert shards.heard[1] == [("shard", 0, False, b"still")]
    shards.gateway.end.send(b"still")
    await until(lambda: shards.heard[0] == [("gateway", 0, True, b"still")])


async def test_a_restarted_shard_is_joined_anew_both_ways(world: World) -> None:
    shards = Shards(world)
    shards.client(0, 1).send(b"before")
    await until(lambda: len(shards.heard[1]) == 1)
    shards.shards[1].links.close()
    for serving in (True, False):
        world.disconnect(shards.shards[0], shards.shards[1], serving=serving)
    assert [end.peer_role for end in shards.shards[0].links.up()] == ["gateway"]
    assert shards.shards[0].downs == 2
    shards.shards[1] = world.side("shard", index=1, incarnation=2)
    shards.listen(shards.shards[1])
    shards.join(0, 1)
    shards.join(1, 0)
    assert shards.client(0, 1).send(b"after") == 1
    assert shards.client(1, 0).send(b"after") == 1
    await until(lambda: len(shards.heard[1]) == 2 and len(shards.heard[0]) == 1)
    assert shards.heard[1][1] == ("shard", 0, True, b"after")
    assert shards.heard[0] == [("shard", 1, True, b"after")]


async def test_a_broken_link_is_named_by_who_serves(short_directory: Path) -> None:
    world = World(SHARED_MEMORY, short_directory)
    shards = Shards(world)
    path = world.connect(shards.shards[1], shards.shards[0])
    assert path is not None
    shards.client(1, 0).send(b"x" * 64)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4)
    await until(lambda: bool(world.pushed))
    assert world.pushed[0] == {
        "verb": "link.broken", "serving": True, "peer_role": "shard", "peer": 1, "incarnation": 1,
    }
    world.close()
