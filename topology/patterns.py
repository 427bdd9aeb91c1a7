"""Permission patterns: RabbitMQ's (PCRE, searched anywhere in the name) on Python's regular expressions.

Where the two languages write the same thing differently, the pattern is
rewritten; what Python has no word for is refused when the permission is set.

A pattern with repeats inside or beside one another may search for longer than anyone lives, in 30 characters.
Such a one is searched for by the package regex, which stops at a bound; see docs/decisions/bounded-patterns.md.
"""
from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Final, Protocol

import regex  # type: ignore[import-untyped]

logger = logging.getLogger(__name__)

PATTERN_CACHE_SIZE: Final = 1024
PATTERN_CHARACTERS_MAX: Final = 4096
REPEATS_MAX: Final = 2
"""With so many repeats, none of them of a group, a search takes at most the cube of 255 steps: some 0.1 s at worst."""
REPEAT: Final = re.compile(r"(?<!\\)[*+{]|(?<![\\(])\?")
SEARCH_S_MAX: Final = 0.05
"""Of the processor's time, for one search of any other pattern in one name. Honest ones take microseconds."""
NOTHING: Final = "^$"           # what an empty pattern stands for: no resource has an empty name

POSIX_CLASSES: Final = {
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:alnum:]": "a-zA-Z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:space:]": r"\s",
    "[:blank:]": r" \t",
    "[:punct:]": r"!-/:-@\[-`{-~",
    "[:xdigit:]": "0-9A-Fa-f",
    "[:word:]": r"\w",
    "[:cntrl:]": r"\x00-\x1f\x7f",
    "[:graph:]": r"\x21-\x7e",
    "[:print:]": r"\x20-\x7e",
}
ESCAPES: Final = {"z": r"\Z", "Z": r"(?=\n?\Z)", "h": r"[ \t]", "R": r"(?:\r\n|\n|\r)", "e": r"\x1b"}
ESCAPES_IN_CLASS: Final = {"h": r" \t", "e": r"\x1b"}


class InvalidPattern(ValueError):
    """A pattern that is no regular expression, or one that cannot be expressed here. `reason`: without the pattern."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class Searchable(Protocol):
    """A pattern, ready to search with."""

    def search(self, name: str, /) -> object | None: ...


class Bounded:
    """A pattern that may search for ages. Once it has, it matches nothing, as one that RabbitMQ gives up does."""

    __slots__ = ("_given_up", "_pattern", "_search")

    def __init__(self, pattern: str, rewritten: str) -> None:
        self._pattern = pattern
        self._search = regex.compile(rewritten, regex.ASCII | regex.VERSION0).search
        self._given_up = False

    def search(self, name: str, /) -> object | None:
        if self._given_up:
            return None
        try:
            found: object | None = self._search(name, timeout=SEARCH_S_MAX)
        except TimeoutError:
            self._given_up = True
            logger.error(
                "the pattern %r took too long to be searched for in %r; it matches nothing from now on. "
                "Write it without repeats inside one another", self._pattern, name)
            return None
        return found


def is_simple(rewritten: str) -> bool:
    """Whether Python's own search, which is several times faster, cannot take long. Errs on the safe side."""
    repeats = list(REPEAT.finditer(rewritten))
    if len(repeats) > REPEATS_MAX or any(rewritten[repeat.start() - 1] in ")?" for repeat in repeats):
        return False
    return "|" not in rewritten or rewritten.count("(") < 2     # each choice doubles the ways


@lru_cache(maxsize=PATTERN_CACHE_SIZE)
def compiled(pattern: str) -> Searchable:
    """The pattern, ready to search with. InvalidPattern where it is none."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        too_long = f"pattern longer than {PATTERN_CHARACTERS_MAX} characters"
        raise InvalidPattern(too_long, too_long)
    try:
        # RabbitMQ matches bytes: character classes know ASCII only.
        rewritten = _rewritten(pattern or NOTHING)
        plain = re.compile(rewritten, re.ASCII)
        return plain if is_simple(rewritten) else Bounded(pattern, rewritten)
    except (re.error, regex.error, OverflowError, RecursionError) as problem:
        raise InvalidPattern(f"invalid regular expression '{pattern}': {problem}", str(problem)) from None


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern occurs in the name; a pattern that cannot be compiled matches nothing."""
    try:
        return compiled(pattern).search(name) is not None
    except InvalidPattern:
        return False


def _rewritten(pattern: str) -> str:
    """The same pattern in Python's words."""
    out: list[str] = []
    flags = ""
    in_class = False
    i = 0
    while i < len(pattern):
        character = pattern[i]
        if character == "\\" and i + 1 < len(pattern):
            escaped = pattern[i + 1]
            if escaped == "Q":
                end = pattern.find(r"\E", i + 2)
                end = len(pattern) if end < 0 else end
                out.append(re.escape(pattern[i + 2:end]))
                i = end + 2
                continue
            if escaped != "E":
                words = ESCAPES_IN_CLASS if in_class else ESCAPES
                out.append(words.get(escaped, character + escaped))
            i += 2
            continue
        if in_class:
            posix = next((name for name in POSIX_CLASSES if pattern.startswith(name, i)), None)
            if posix:
                out.append(POSIX_CLASSES[posix])
                i += len(posix)
                continue
            # A lone bracket inside a class is a plain character; Python warns about nested sets.
            out.append(r"\[" if character == "[" else character)
            in_class = character != "]"
            i += 1
            continue
        if character == "[":
            in_class = True
            out.append("[")
            i += 1
            if i < len(pattern) and pattern[i] == "^":
                out.append("^")
                i += 1
            if i < len(pattern) and pattern[i] == "]":      # first in a class: a plain character
                out.append(r"\]")
                i += 1
            continue
        named = re.match(r"\(\?<([A-Za-z_]\w*)>", pattern[i:]) if character == "(" else None
        if named:
            out.append(f"(?P<{named[1]}>")
            i += named.end()
            continue
        inline = re.match(r"\(\?([imsx]+)\)", pattern[i:]) if character == "(" and not any(out) else None
        if inline:
            flags += inline[1]
            i += inline.end()
            continue
        out.append(character)
        i += 1
    return (f"(?{flags})" if flags else "") + "".join(out)
