"""The topic exchange: words between dots, `*` for one word, `#` for any number of them.

Binding keys form a trie of words. A routing key walks it with the set of all
nodes that it can be in, so the cost is bounded by the nodes that match and the
words of the key, however many `#` the binding keys hold: nothing backtracks.
"""
from __future__ import annotations

from collections.abc import Collection
from typing import Final

from topology.exchanges.table import Bound, Headers, bound_with, bound_without, places_of
from topology.model import Binding, Destination

SEPARATOR: Final = "."
ONE_WORD: Final = "*"
ANY_WORDS: Final = "#"


def words_of(key: str) -> list[str]:
    """The words of a key. The empty key has none; between two dots there is an empty one."""
    return key.split(SEPARATOR) if key else []


class _Node:
    """A place in the trie: what is bound here, and where the next word leads. Most are one or the other alone."""

    __slots__ = ("bound", "children", "repeats")

    def __init__(self, repeats: bool = False) -> None:
        self.children: dict[str, _Node] | None = None
        self.bound: Bound = None
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
            if node.children is None:
                node.children = {}
            child = node.children.get(word)
            if child is None:
                child = node.children[word] = _Node(repeats=word == ANY_WORDS)
            node = child
        node.bound = bound_with(node.bound, binding.target)

    def remove(self, binding: Binding) -> None:
        words = words_of(binding.routing_key)
        node = self._root
        path: list[tuple[_Node, dict[str, _Node], str]] = []        # from a node by a word
        for word in words:
            children = node.children
            assert children is not None
            path.append((node, children, word))
            node = children[word]
        node.bound = bound_without(node.bound, binding.target)
        for parent, children, word in reversed(path):
            if node.children or node.bound is not None:
                break
            del children[word]
            node = parent
            if not children:
                node.children = None

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
        found: dict[Destination, None] = {}
        for node in reached:
            if node.bound is not None:
                found.update(dict.fromkeys(places_of(node.bound)))
        return found.keys()


def _with_empty_repeats(reached: dict[_Node, None]) -> dict[_Node, None]:
    """The nodes, and those that a `#` standing for no word reaches from them."""
    pending = list(reached)
    while pending:
        children = pending.pop().children
        child = children.get(ANY_WORDS) if children else None
        if child is not None and child not in reached:
            reached[child] = None
            pending.append(child)
    return reached
