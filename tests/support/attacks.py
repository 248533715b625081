"""What an attack did, counted: tried, and how often something was lost, doubled, leaked, or passed that must not pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

PROPERTY = "attack"


@dataclass
class Tally:
    """The counts of one attack.

    Attributes:
        what: What was attacked.
        tried: How often.
        lost: Work, rows or answers that are gone, and whoever waits for ever.
        doubled: Work that was done again although its result was kept, and decisions that were made twice.
        leaked: Secrets that are still to be read.
        passed: Gates that were passed undecided, and runs that ended with a status that is not true.
    """

    what: str
    tried: int = 0
    lost: int = 0
    doubled: int = 0
    leaked: int = 0
    passed: int = 0

    @property
    def held(self) -> bool:
        """Whether nothing gave way."""
        return not (self.lost or self.doubled or self.leaked or self.passed)


def table(properties: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lay out the sums of all attacks, a line each; no lines when there were none."""
    sums: dict[str, Tally] = {}
    names = [field.name for field in fields(Tally)[1:]]
    for counts in (found[PROPERTY] for found in properties if PROPERTY in found):
        total = sums.setdefault(counts["what"], Tally(counts["what"]))
        for name in names:
            setattr(total, name, getattr(total, name) + counts[name])
    head = f"{'':24}" + "".join(f"{name:>9}" for name in names)
    rows = [f"{what:24}" + "".join(f"{asdict(total)[name]:9}" for name in names) for what, total in sorted(sums.items())]
    return [head, *rows] if rows else []
