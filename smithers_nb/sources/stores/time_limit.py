"""How long a query of another program's store may take.

A view that never ends, or a damaged table whose pages point at each other, must not hang the reader. The first slow query gets the whole
time limit; later queries of the same store get little, because what made one query endless probably affects them all.
"""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "SMITHERS_NB_QUERY_SECONDS"
GIVEN_UP: Final = "a query was given up after "
"""Beginning of the message about a query that took too long."""

_SECONDS: Final = 20.0
_SECONDS_AFTERWARDS: Final = 2.0


class TimeLimit:
    """The time limit for queries of one store.

    Attributes:
        seconds: Time limit of the next query in seconds.
    """

    def __init__(self) -> None:
        try:
            self.seconds = max(float(os.environ.get(VARIABLE) or _SECONDS), 0.1)
        except ValueError:
            self.seconds = _SECONDS

    def exceeded(self) -> str:
        """Lower the limit after a query that took too long, and return a message about it."""
        message = f"{GIVEN_UP}{self.seconds:g} s; set {VARIABLE} to wait longer"
        self.seconds = min(self.seconds, _SECONDS_AFTERWARDS)
        return message
