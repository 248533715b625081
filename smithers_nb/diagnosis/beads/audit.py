"""The reason-loss audit: of everything that ought to have a reason, how much has one, how much lost it, and on which rows.

Counts follow the definitions of the corpus' `beads/2026/README.md`. A count that the store cannot show is None, never 0. Nothing is
judged from prose: bd's own rules about the words of a reason are shown as a hint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from smithers_nb.diagnosis.beads.coverage import NO_CLOSES, NO_RECLAIMS, SNAPSHOTS, coverage
from smithers_nb.diagnosis.beads.reasons import fails_by_bd, is_default, is_one_word, is_terse, non_completing_by_bd
from smithers_nb.frames import frame_from_rows
from smithers_nb.model.beads import Move
from smithers_nb.model.rows import Index, Key, Ms, Text  # noqa: TC001  # frames read the annotations
from smithers_nb.sources.beads.moves import UNCLAIMS, moves
from smithers_nb.sources.beads.shapes import LOGS, Log

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.sources.base import Problem
    from smithers_nb.sources.beads.contents import Contents, Issue

    Lost = Mapping[str, Sequence[Move | Issue]]

COUNTS: Final = (
    "closes",
    "closes_no_reason",
    "closes_default",
    "closes_one_word",
    "closes_terse",
    "give_backs",
    "give_backs_no_reason",
    "reopens",
    "reopens_no_reason",
    "reopen_reason_gone",
    "second_reason_dropped",
    "bounced_3",
    "lease_reclaims_no_reason",
)
"""The counts of the audit, in the order in which they are shown."""

THRESHOLDS: Final = tuple(name for name in COUNTS if name not in ("closes", "give_backs", "reopens"))
"""Counts of something lost, for which a limit makes sense."""

_BOUNCED: Final = 3
_IDLE_US: Final = 7 * 86_400_000_000
_WIP: Final = frozenset({"in_progress", "hooked"})
_RECLAIMS: Final = UNCLAIMS - {"unclaimed", "bead.unclaimed", "unhook"}
_SWEEPS: Final = ("order:", "sweep", "reap", "patrol", "janitor", "daemon", "deacon", "controller", "scheduler")


class EvidenceRow(NamedTuple):
    """One row behind a count."""

    finding: Annotated[Key, "name of the count"]
    bead_id: Annotated[Key, "bead"]
    at: Annotated[Ms, "time"]
    actor: Annotated[Text, "who did it"]
    holder: Annotated[Text, "who had the work before"]
    by: Annotated[Key, "for a give-back, whether the holder, another, a sweep or unknown did it; else empty"]
    reason: Annotated[Key, "the reason as recorded, or the earlier one that is lost"]
    ref: Annotated[Key, "where the row stands: FILE:LINE, or event:SEQ in a ledger"]


class CountRow(NamedTuple):
    """One count of an audit."""

    name: Annotated[Key, "name of the count, as in the JSON"]
    number: Annotated[Index | None, "how many; NA where the store cannot show it"]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        counts: The counts of `COUNTS`; None where the store cannot show it.
        more: Counts beside them: rows, leases, outcomes, hints.
        lost: Makes the rows behind the counts of something lost.
        coverage: What each part of the store can and cannot show.
        other_logs: Counts of logs that were not counted, by kind.
        problems: What could not be read.
    """

    counts: Mapping[str, int | None]
    more: Mapping[str, Any]
    lost: Callable[[], Iterable[EvidenceRow]]
    coverage: tuple[Mapping[str, Any], ...]
    other_logs: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @cached_property
    def evidence(self) -> tuple[EvidenceRow, ...]:
        """Every row behind a count of something lost; made when it is asked for, because a fleet has a hundred thousand."""
        return tuple(self.lost())

    def as_json(self, rows: int | None = None) -> dict[str, Any]:
        """Return one object: the counts, the further counts, coverage, problems, and the evidence by count.

        Args:
            rows: Rows of evidence per count; all by default.
        """
        evidence: dict[str, list[dict[str, Any]]] = {}
        for row in self.evidence:
            listed = evidence.setdefault(row.finding, [])
            if rows is None or len(listed) < rows:
                listed.append({name: value for name, value in row._asdict().items() if name != "finding"})
        return {
            **self.counts,
            **self.more,
            "coverage": [dict(part) for part in self.coverage],
            "other_logs": {log: dict(counts) for log, counts in self.other_logs.items()},
            "problems": [problem._asdict() for problem in self.problems],
            "evidence": evidence,
        }

    def frame(self) -> pd.DataFrame:
        """Return the counts as a frame, one row per count of `COUNTS` (columns of `CountRow`)."""
        return frame_from_rows(CountRow, [CountRow(*pair) for pair in self.counts.items()])

    def evidence_frame(self) -> pd.DataFrame:
        """Return the rows behind the counts as a frame (columns of `EvidenceRow`)."""
        return frame_from_rows(EvidenceRow, self.evidence)

    def over(self, limits: Mapping[str, int]) -> list[str]:
        """Name the counts that are above their limits."""
        values = {**self.more, **self.counts}
        return [f"{name} {values[name]} > {limit}" for name, limit in limits.items() if (values.get(name) or 0) > limit]


def audit(contents: Contents, problems: Iterable[Problem] = ()) -> Audit:
    """Audit a store.

    Args:
        contents: What was read of it.
        problems: What could not be read.
    """
    found = {log: list(moves(log, part.steps, contents.rows(part), _comments(contents, log))) for log, part in contents.logs.items()}
    counted = _counted(found)
    issues = list(contents.issues.values())
    if counted is None:
        counts, lost = _row_counts(issues) if issues else (dict.fromkeys(COUNTS), {})
        more: dict[str, Any] = _hints([issue.reason for issue in issues if issue.status == "closed"])
    else:
        counts, lost = _log_counts(counted, found[counted])
        more = _log_extras(counted, found[counted])
    row_more, row_lost = _rows(contents, issues)
    others: dict[str, dict[str, int | None]] = {log: _log_counts(log, found[log])[0] for log in LOGS if log in found and log != counted}
    evidence = partial(_evidence, {**lost, **row_lost})
    return Audit(counts, more | row_more, evidence, tuple(coverage(contents, counted)), others, tuple(problems))


def _comments(contents: Contents, log: Log) -> dict[str, list[int]]:
    """Collect the times of comments that may explain a move; a change in `interactions.jsonl` has its reason in itself or has none."""
    places = (contents.comments,) if log == "interactions" else (contents.comments, contents.row_comments)
    beads = {bead_id for place in places for bead_id in place}
    return {bead_id: sorted(moment for place in places for moment in place.get(bead_id, ())) for bead_id in beads}


def _counted(found: Mapping[Log, list[Move]]) -> Log | None:
    """Choose the log that shows most; two logs of one store tell of the same moves, so they are never added."""
    return max((log for log in LOGS if log in found), key=lambda log: (len(found[log]), -LOGS.index(log)), default=None)


def _log_counts(log: Log, found: list[Move]) -> tuple[dict[str, int | None], Lost]:
    closes = [move for move in found if move.kind == "close"]
    given = [move for move in found if move.kind == "give_back"]
    reopened = [move for move in found if move.kind == "reopen"]
    bounced = {bead_id for bead_id, number in Counter(move.bead_id for move in given).items() if number >= _BOUNCED}
    lost: dict[str, Sequence[Move | Issue]] = {
        "closes_no_reason": [move for move in closes if not move.reason],
        "closes_default": [move for move in closes if is_default(move.reason)],
        "closes_one_word": [move for move in closes if is_one_word(move.reason)],
        "closes_terse": [move for move in closes if is_terse(move.reason)],
        "give_backs_no_reason": [move for move in given if not move.explained],
        "reopens_no_reason": [move for move in reopened if not move.explained],
        "reopen_reason_gone": [move for move in reopened if move.gone],
        "second_reason_dropped": [move for move in closes if move.again and move.reason and move.reason != move.earlier],
        "lease_reclaims_no_reason": [move for move in given if move.how in _RECLAIMS and not move.explained],
    }
    counts: dict[str, int | None] = {name: len(rows) for name, rows in lost.items()}
    counts |= {"closes": len(closes), "give_backs": len(given), "reopens": len(reopened), "bounced_3": len(bounced)}
    if log in NO_CLOSES:
        hidden = [name for name in COUNTS if name.startswith(("close", "reopen", "second"))]
        counts |= dict.fromkeys(hidden)
    if log in NO_RECLAIMS:
        counts["lease_reclaims_no_reason"] = None
    lost["bounced_3"] = [move for move in given if move.bead_id in bounced]
    return {name: counts[name] for name in COUNTS}, lost


def _log_extras(log: Log, found: list[Move]) -> dict[str, Any]:
    closes = [move for move in found if move.kind == "close"]
    given = [move for move in found if move.kind == "give_back"]
    failed = [move for move in found if move.kind == "fail"]
    by = Counter(_by(move) for move in given)
    most = Counter(move.bead_id for move in given)
    return {
        "closes_again": sum(move.again for move in closes),
        "give_backs_no_reason_strict": sum(not move.reason for move in given),
        "give_backs_by": {who: by.get(who, 0) for who in ("holder", "another", "sweep", "unknown")},
        "bounced_most": max(most.values(), default=0),
        "failures": len(failed),
        "failures_no_reason": sum(not move.explained for move in failed),
        "outcomes_absent": sum(not move.outcome for move in closes) if log in SNAPSHOTS else None,
        "shipped_without_commit": sum(move.outcome == "shipped" and not move.commit for move in closes) if log in SNAPSHOTS else None,
    } | _hints([move.reason for move in closes])


def _row_counts(issues: list[Issue]) -> tuple[dict[str, int | None], Lost]:
    """Count the closes of a store that has only rows; whatever needs a log is not known."""
    closed = [issue for issue in issues if issue.status == "closed"]
    lost: dict[str, Sequence[Move | Issue]] = {f"closes_{name}": rows for name, rows in _row_losses(closed).items()}
    counts: dict[str, int | None] = dict.fromkeys(COUNTS)
    counts |= {"closes": len(closed)} | {name: len(rows) for name, rows in lost.items()}
    return counts, lost


def _row_losses(closed: list[Issue]) -> dict[str, list[Issue]]:
    return {
        "no_reason": [issue for issue in closed if not issue.reason],
        "default": [issue for issue in closed if is_default(issue.reason)],
        "one_word": [issue for issue in closed if is_one_word(issue.reason)],
        "terse": [issue for issue in closed if is_terse(issue.reason)],
    }


def _rows(contents: Contents, issues: list[Issue]) -> tuple[dict[str, Any], Lost]:
    """Count what rows show by themselves, apart from any log."""
    if not issues:
        return {}, {}
    closed = [issue for issue in issues if issue.status == "closed"]
    work = [issue for issue in issues if issue.status in _WIP]
    now = max((issue.updated_at or 0 for issue in issues), default=0)
    leased = [issue for issue in work if issue.lease_expires_at is not None]
    expired = [issue for issue in leased if (issue.lease_expires_at or 0) < now]
    never = [issue for issue in expired if issue.heartbeat_at == issue.started_at]
    idle = [issue for issue in work if issue.updated_at is not None and now - issue.updated_at >= _IDLE_US]
    blocked = [issue for issue in issues if is_unexplained(issue, contents.dependent)]
    shipped = [issue for issue in closed if issue.outcome == "shipped" and not issue.commit]
    more = {"rows": len(issues), "rows_closed": len(closed)}
    more |= {f"rows_closed_{name}": len(rows) for name, rows in _row_losses(closed).items()}
    more |= {
        "rows_wip": len(work),
        "rows_wip_no_assignee": sum(not issue.assignee for issue in work),
        "rows_wip_leased": len(leased),
        "wip_lease_expired": len(expired),
        "wip_lease_never_renewed": len(never),
        "wip_untouched_7d": len(idle),
        "blocked_without_reason": len(blocked),
        "rows_outcomes_absent": sum(not issue.outcome for issue in closed),
        "rows_shipped_without_commit": len(shipped),
    }
    listed = {"wip_lease_expired": expired, "wip_untouched_7d": idle}
    return more, {**listed, "blocked_without_reason": blocked, "rows_shipped_without_commit": shipped}


def is_unexplained(issue: Issue, dependent: Collection[str]) -> bool:
    """Whether an issue is blocked and neither its row nor a dependency says by what.

    Args:
        issue: The row.
        dependent: Beads that have a dependency in a table of their own.
    """
    return issue.status == "blocked" and not issue.blocked_why and issue.bead_id not in dependent


def _hints(reasons: list[str]) -> dict[str, Any]:
    told = Counter(reasons).items()  # most closes of a fleet say one of a few things
    failed = sum(number for reason, number in told if fails_by_bd(reason))
    other = sum(number for reason, number in told if non_completing_by_bd(reason))
    return {"hint_failure_by_bd_rule": failed, "hint_non_completing_by_bd_rule": other}


def _evidence(lost: Lost) -> Iterator[EvidenceRow]:
    for finding, rows in lost.items():
        for row in rows:
            yield _move_evidence(finding, row) if isinstance(row, Move) else _row_evidence(finding, row)


def _move_evidence(finding: str, move: Move) -> EvidenceRow:
    reason = move.earlier if finding == "reopen_reason_gone" else move.reason
    by = _by(move) if move.kind == "give_back" else ""
    return EvidenceRow(finding, move.bead_id, move.at, move.actor, move.holder, by, reason, move.ref)


def _row_evidence(finding: str, issue: Issue) -> EvidenceRow:
    at = None if issue.updated_at is None else issue.updated_at // 1_000
    return EvidenceRow(finding, issue.bead_id, at, None, issue.assignee, "", issue.reason, issue.ref)


def _by(move: Move) -> str:
    """Who gave the work back: a sweep by its event or its name, else by comparison with the holder."""
    if move.how in _RECLAIMS or (move.actor and _sweeps(move.actor)):
        return "sweep"
    if not move.actor or not move.holder:
        return "unknown"
    return "holder" if move.actor == move.holder else "another"


@lru_cache(1_000)
def _sweeps(actor: str) -> bool:
    return any(word in actor.lower() for word in _SWEEPS)
