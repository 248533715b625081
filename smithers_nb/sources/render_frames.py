"""The task graph of a run, from its stored render frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.model.rows import TaskRow
from smithers_nb.sources.query import Wanted

if TYPE_CHECKING:
    from smithers_nb.sources.smithers import SmithersSource


def tasks(source: SmithersSource, wanted: Wanted) -> list[TaskRow]:
    """Read the tasks of one run, or of every run, as last rendered."""
    del source, wanted
    return []
