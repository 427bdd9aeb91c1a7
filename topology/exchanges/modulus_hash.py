"""The modulus hash exchange: each message goes to one destination, by the remainder of a hash of its routing key.

Binding keys do not matter. With every binding that comes or goes most keys move to another destination; where that
is not wanted, the consistent hash exchange is the one to use.
"""
from __future__ import annotations

from topology.choice import Choice
from topology.exchanges.table import EvenTable


class ModulusHashTable(EvenTable):
    """Destinations, once per binding, in the order of their names."""

    def make_choice(self) -> Choice | None:
        return Choice(self.places) if self.places else None
