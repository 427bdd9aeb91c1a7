"""The topic exchange: words between dots, `*` for one word, `#` for any number of them.

Binding keys form a trie of words. A routing key walks it with the set of all
nodes that it can be in, so the cost is bounded by the nodes that match and the
words of the key, however many `#` the binding keys hold: nothing backtracks.
"""
from __future__ import annotations

from collections.abc import Collection
from typing import Final

from topology.exchanges.table import Destinations, Headers
from topology.model import Binding, Destination

SEPARATOR: Final = "."
ONE_WORD: Final = "*"
ANY_WORDS: Final = "#"


def words_of(key: str) -> list[str]:
    """The words of a key. The empty key has none; between two dots there is an empty one."""
    return key.split(SEPARATOR) if key else []


class _Node:
    """A place in the trie: what is bound here, and where the next word leads."""

    __slots__ = ("children", "destinations", "repeats")

    def __init__(self, repeats: bool = False) -> None:
        self.children: dict[str, _Node] = {}
        self.destinations = Destinations()
        self.repeats = repeats          # reached by `#`: stays reached by any further word


class TopicTable:
    """A trie of the words of binding keys."""

    uses_key = True
    uses_headers = False

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, binding: Binding) -> None:
        node = self._root
        for word in words_of(binding.routing_key):
            child = node.children.get(word)
            if child is None:
                child = node.children[word] = _Node(repeats=word == ANY_WORDS)
            node = child
        node.destinations.include(binding.target)

    def remove(self, binding: Binding) -> None:
        words = words_of(binding.routing_key)
        path = [self._root]
        for word in words:
            path.append(path[-1].children[word])
        path[-1].destinations.exclude(binding.target)
        for word, parent, node in zip(reversed(words), reversed(path[:-1]), reversed(path[1:]), strict=True):
            if node.children or node.destinations:
                break
            del parent.children[word]

    def match(self, routing_key: str, headers: Headers | None) -> Collection[Destination]:
        reached = _with_empty_repeats({self._root: None})
        for word in words_of(routing_key):
            following: dict[_Node, None] = {}
            for node in reached:
                if node.repeats:
                    following[node] = None
                children = node.children
                if children:
                    child = children.get(word)
                    if child is not None:
                        following[child] = None
                    child = children.get(ONE_WORD)
                    if child is not None:
                        following[child] = None
            if not following:
                return ()
            reached = _with_empty_repeats(following)
        found: dict[Destination, int] = {}
        for node in reached:
            found.update(node.destinations)
        return found


def _with_empty_repeats(reached: dict[_Node, None]) -> dict[_Node, None]:
    """The nodes, and those that a `#` standing for no word reaches from them."""
    pending = list(reached)
    while pending:
        child = pending.pop().children.get(ANY_WORDS)
        if child is not None and child not in reached:
            reached[child] = None
            pending.append(child)
    return reached
