"""How many calls of agents a run may make, over all of its executions and processes: a file that grows by one byte with each call.

A process that dies has spent what it spent; a run that is resumed, or killed a hundred times, spends no more than was allowed. A person
raises what is allowed by writing a number into a file beside it: a run's parameters stay what they were.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import BudgetSpent

_NAME: Final = "agent-calls"
_RAISED: Final = "agent-calls-allowed"


class Budget:
    """The calls of one run.

    Attributes:
        raised: File in which a person allows more of them than the run was given.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        self._limit = limit
        self._file = folder / _NAME
        self.raised = folder / _RAISED

    @property
    def limit(self) -> int:
        """How many calls there may be, as of now."""
        with suppress(OSError, ValueError):
            return max(self._limit, int(self.raised.read_text("utf-8")))
        return self._limit

    def allow(self, calls: int) -> None:
        """Allow so many calls from now on, those that were made included."""
        write_whole(self.raised, f"{calls}\n".encode())

    def spend(self, what: str) -> None:
        """Spend one call.

        Args:
            what: What it is for.

        Raises:
            BudgetSpent: There is none left.
        """
        limit = self.limit
        if not self._taken(limit):
            raise BudgetSpent(
                f"{what}: the run's budget of {limit} calls of agents is used up",
                hint=f"look at what it was spent on; write a higher number into {self.raised} to allow more",
            )

    def _taken(self, limit: int) -> bool:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(descriptor).st_size >= limit:
                return False
            os.write(descriptor, b".")
            return os.fstat(descriptor).st_size <= limit  # others may have written in between
        finally:
            os.close(descriptor)
