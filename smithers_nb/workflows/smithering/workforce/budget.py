"""How many calls of agents a run may make, over all of its executions and processes: a file that grows by one byte with each call.

A process that dies has spent what it spent; a run that is resumed, or killed a hundred times, spends no more than was allowed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_NAME: Final = "agent-calls"


class Budget:
    """The calls of one run.

    Attributes:
        limit: How many there may be.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        self.limit = limit
        self._file = folder / _NAME

    def take(self) -> bool:
        """Spend one call, and return whether it was still allowed."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(descriptor).st_size >= self.limit:
                return False
            os.write(descriptor, b".")
            return os.fstat(descriptor).st_size <= self.limit  # others may have written in between
        finally:
            os.close(descriptor)
