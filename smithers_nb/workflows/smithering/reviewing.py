"""Independent reviews of the result by different model families, and what they say together, put together by rule."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from smithers_nb.errors import SmitheringError
from smithers_nb.workflows.smithering.results import Issue, ReviewFinding, ReviewSynthesis
from smithers_nb.workflows.smithering.work import together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from smithers_nb.workflows.smithering.work import Work

REVIEWERS: Final = 3
QUORUM: Final = 2
"""Fewer answers than this are one opinion and no synthesis."""

_MUST: Final = frozenset({"critical", "major"})


def reviews(work: Work, checkout: Path, about: dict[str, object]) -> list[ReviewFinding]:
    """Ask up to three families at once; one that gives no answer is left out."""
    families = work.workforce.families[:REVIEWERS]
    asked = together([partial(_asked, work, family, checkout, about) for family in families], REVIEWERS)
    return [found for found in asked if found is not None]


def synthesis(found: Sequence[ReviewFinding]) -> ReviewSynthesis:
    """Put reviews together: critical and major issues have to be fixed, everything else would be nice; the same title counts once."""
    names = tuple(each.reviewer for each in found)
    if len({*names}) < QUORUM:
        told = f"no synthesis: {len(names)} of {REVIEWERS} reviewers answered, {QUORUM} are needed"
        return ReviewSynthesis(approved=False, summary=told, reviewers=names)
    issues: dict[str, Issue] = {}
    for issue in (issue for each in found for issue in each.issues):
        key = " ".join(re.findall(r"\w+", f"{issue.file} {issue.title}".lower()))
        if key not in issues or (issue.severity in _MUST and issues[key].severity not in _MUST):
            issues[key] = issue
    must = tuple(issue for issue in issues.values() if issue.severity in _MUST)
    nice = tuple(issue for issue in issues.values() if issue.severity not in _MUST)
    said = sum(each.approved for each in found)
    summary = f"{said} of {len(found)} reviewers approve; {len(must)} issues must be fixed, {len(nice)} would be nice to fix"
    return ReviewSynthesis(approved=not must and said >= QUORUM, summary=summary, must_fix=must, nice_to_have=nice, reviewers=names)


def _asked(work: Work, family: str, checkout: Path, about: dict[str, object]) -> ReviewFinding | None:
    def named(row: ReviewFinding) -> ReviewFinding:
        return ReviewFinding(**{**vars(row), "reviewer": family})

    node_id = f"review:{re.sub(r'[^A-Za-z0-9._-]', '-', family)}"
    try:
        return work.asked(node_id, ReviewFinding, "prd", "backpressure", family=family, folder=checkout, then=named, extra=about)
    except SmitheringError:
        return None  # its failed attempt is in the journal, and the quorum decides
