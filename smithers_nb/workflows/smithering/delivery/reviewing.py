"""Independent reviews of the result by different model families, and what they say together, put together by rule.

Every reviewer is of another family, because two answers of one family are one opinion. What they say together is counted, not written by
a model, and fewer than two answers say nothing together.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from smithers_nb.redact import redact
from smithers_nb.workflows.smithering.results.delivery import ReviewFinding, ReviewSynthesis
from smithers_nb.workflows.smithering.work import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from smithers_nb.workflows.smithering.results.plan import Issue
    from smithers_nb.workflows.smithering.work import Work

REVIEWERS: Final = ("fable", "codex", "fast")
"""Their stages are `review:fable`, `review:codex` and `review:fast`."""

QUORUM: Final = 2
"""Fewer answers than this are one opinion and no synthesis."""

_SEVERITIES: Final = ("critical", "major", "minor", "nit")
_MUST: Final = frozenset({"critical", "major"})
_WORD: Final = re.compile(r"[a-z0-9]{3,}")
_SAME: Final = 0.6


def reviewers_of(families: Iterable[str]) -> dict[str, str]:
    """Return the model family of each reviewer; there are never more reviewers than families."""
    return dict(zip(REVIEWERS, dict.fromkeys(families), strict=False))


def reviews(work: Work, checkout: Path, about: dict[str, object]) -> list[ReviewFinding]:
    """Ask every reviewer, each of another family; one that gives no answer is left out, and the quorum decides."""
    calls = [partial(_asked, work, name, family, checkout, about) for name, family in reviewers_of(work.workforce.families).items()]
    return [found for found in together(calls, len(REVIEWERS)) if found is not None]


def synthesis(found: Sequence[ReviewFinding]) -> ReviewSynthesis:
    """Put reviews together: every issue once, with its gravest severity; critical and major ones have to be fixed.

    It is approved when nothing has to be fixed and two reviewers approve, who are most of them. With fewer than two answers there is none,
    and nothing that one of them found is taken over.
    """
    names = tuple(dict.fromkeys(each.reviewer for each in found))
    if len(names) < QUORUM:
        told = f"no synthesis: {len(names)} of {len(REVIEWERS)} reviewers answered, {QUORUM} are needed"
        return ReviewSynthesis(approved=False, summary=told, reviewers=names)
    merged: list[tuple[Issue, list[str]]] = []
    for review in found:
        for issue in review.issues:
            place = next((number for number, (known, _) in enumerate(merged) if _is_same(known, issue)), None)
            if place is None:
                merged.append((issue, [review.reviewer]))
                continue
            known, raised = merged[place]
            merged[place] = (min(known, issue, key=_gravity), list(dict.fromkeys([*raised, review.reviewer])))
    merged.sort(key=lambda each: (_gravity(each[0]), -len(each[1])))  # stable: ties stay as they were raised
    issues = [replace(issue, description=f"{issue.description} (raised by {', '.join(raised)})".strip()) for issue, raised in merged]
    must = tuple(issue for issue in issues if issue.severity in _MUST)
    nice = tuple(issue for issue in issues if issue.severity not in _MUST)
    said = sum(each.approved for each in found)
    summary = f"{said} of {len(found)} reviewers approve; {len(must)} issues must be fixed, {len(nice)} would be nice to fix"
    return ReviewSynthesis(approved=not must and said >= QUORUM, summary=summary, must_fix=must, nice_to_have=nice, reviewers=names)


def _asked(work: Work, name: str, family: str, checkout: Path, about: dict[str, object]) -> ReviewFinding | None:
    found = work.ask(
        f"review:{name}",
        ReviewFinding,
        "prd",
        "backpressure",
        family=family,
        folder=checkout,
        then=lambda row: replace(row, reviewer=name),
        otherwise=lambda error: ReviewFinding(approved=False, summary=f"no answer: {redact(str(error))}"),
        extra=about,
    )
    return found if found.reviewer else None


def _gravity(issue: Issue) -> int:
    return _SEVERITIES.index(issue.severity)


def _is_same(one: Issue, other: Issue) -> bool:
    """Return whether two issues are one: not about different files, and in mostly the same words."""
    if one.file and other.file and one.file != other.file:
        return False
    words, others = set(_WORD.findall(one.title.lower())), set(_WORD.findall(other.title.lower()))
    shared = words & others
    return one.title == other.title or (bool(shared) and len(shared) >= _SAME * min(len(words), len(others)))
