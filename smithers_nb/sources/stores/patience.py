"""How long a query of somebody else's store may take.

A view that never ends, or a damaged table whose pages point at each other, must not hang whoever reads it. The first query that takes
too long gets the whole time; after that one of the same store gets little, because whatever made one query endless makes all of them so.
"""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "SMITHERS_NB_QUERY_SECONDS"
GIVEN_UP: Final = "a query was given up after "
"""How the words about it begin."""

_SECONDS: Final = 20.0
_SECONDS_AFTERWARDS: Final = 2.0


class Patience:
    """The time limit of one store.

    Attributes:
        seconds: What the next query may take.
    """

    def __init__(self) -> None:
        try:
            self.seconds = max(float(os.environ.get(VARIABLE) or _SECONDS), 0.1)
        except ValueError:
            self.seconds = _SECONDS

    def lost(self) -> str:
        """Take a query that was given up into account, and return what to tell people about it."""
        told = f"{GIVEN_UP}{self.seconds:g} s; set {VARIABLE} to wait longer"
        self.seconds = min(self.seconds, _SECONDS_AFTERWARDS)
        return told
