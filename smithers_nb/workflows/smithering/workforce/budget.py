"""The number of agent calls a run may make over all its executions and processes, counted by a file that grows by one byte per call.

The calls of a process that died stay counted, so a run that is resumed or killed a hundred times stays within its limit. A person raises
the limit by writing a number into a file next to it, since the parameters of a run do not change.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import BudgetSpent

_COUNT_FILE: Final = "agent-calls"
_LIMIT_FILE: Final = "agent-calls-allowed"


class Budget:
    """The agent calls of one run.

    Attributes:
        raised: File with a higher limit, written by a person.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        self._limit = limit
        self._file = folder / _COUNT_FILE
        self.raised = folder / _LIMIT_FILE

    @property
    def limit(self) -> int:
        """The current limit."""
        with suppress(OSError, ValueError):
            return max(self._limit, int(self.raised.read_text("utf-8")))
        return self._limit

    def allow(self, calls: int) -> None:
        """Raise the limit to this total, which includes the calls already made."""
        write_whole(self.raised, f"{calls}\n".encode())

    def spend(self, what: str) -> None:
        """Spend one call.

        Args:
            what: What the call is for, named in the error.

        Raises:
            BudgetSpent: No call is left.
        """
        limit = self.limit
        if not self._take(limit):
            raise BudgetSpent(
                f"{what}: the run's budget of {limit} agent calls is used up",
                hint=f"check what it was spent on; write a higher number into {self.raised} to allow more",
            )

    def _take(self, limit: int) -> bool:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(descriptor).st_size >= limit:
                return False
            os.write(descriptor, b".")
            return os.fstat(descriptor).st_size <= limit  # other processes may have written in between
        finally:
            os.close(descriptor)
