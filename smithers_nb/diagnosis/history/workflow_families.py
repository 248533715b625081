"""Which workflows are rounds of the same work.

People who repair by hand leave names such as `checkout`, `checkout-repair-2`, `fix-checkout`, `checkout-final-r3`. Gets workflow
names and gives each the stem that it shares with the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from smithers_nb.diagnosis.failure.order import by_time, is_own_run
from smithers_nb.diagnosis.text.conventions import words

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow

_NUMBERED = re.compile(r"([a-z]*)(?:\d{1,4}|20\d{6})")
_PARTS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


def families(names: Iterable[str]) -> dict[str, str]:
    """Map each workflow name to the stem of its family; a name without relatives is its own stem."""
    stems = {name: stem(name) for name in names}
    known = set(stems.values())
    return {name: _repaired(name, known) or found for name, found in stems.items()}


def by_family(runs: Iterable[RunRow]) -> dict[str, list[RunRow]]:
    """Group the runs that somebody launched: families by name, in each the oldest run first; runs without a workflow are left out."""
    own = [(run.workflow, run) for run in by_time(runs) if is_own_run(run) and run.workflow is not None]
    stems = families(workflow for workflow, _ in own)
    grouped: dict[str, list[RunRow]] = {family: [] for family in sorted(set(stems.values()))}
    for workflow, run in own:
        grouped[stems[workflow]].append(run)
    return grouped


def stem(name: str) -> str:
    """Strip words and numbers that name a round from both ends of a workflow name."""
    parts = _parts(name)
    first, last = 0, len(parts)
    while last > first and _is_round(parts[last - 1]):
        last -= 1
    while first < last and (parts[first] in words("rounds", "ends") or parts[first].isdigit()):
        first += 1
    return "-".join(parts[first:last]) or "-".join(parts) or name


def is_repair(name: str) -> bool:
    """Return whether a name says that this workflow repairs or repeats another."""
    parts = _parts(name)
    core = stem(name).split("-")
    around = [part for part in parts if part not in core]
    return any(part in words("rounds", "anywhere") for part in parts) or any(part in words("rounds", "at_an_end") for part in around)


def _repaired(name: str, known: set[str]) -> str | None:
    parts = _parts(name)
    repairs = (place for place, part in enumerate(parts) if place and part in words("rounds", "anywhere"))
    return next((head for place in repairs if (head := stem("-".join(parts[:place]))) in known), None)


def _is_round(part: str) -> bool:
    numbered = _NUMBERED.fullmatch(part)
    return part in words("rounds", "ends") or (numbered is not None and (not numbered[1] or numbered[1] in _before_numbers()))


def _before_numbers() -> tuple[str, ...]:
    return words("rounds", "ends") + words("rounds", "before_numbers")


def _parts(name: str) -> list[str]:
    return [part.lower() for part in _PARTS.split(name) if part]
