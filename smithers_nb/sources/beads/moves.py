"""Derive the moves that should have a reason from the steps of a log, as defined in the corpus' `beads/2026/README.md`.

The steps of a bead are sorted by time, then by line; a journal by `seq`, the logs of gascity and gt by line only. Status, holder and last
reason are then followed from step to step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.model.beads import IN_HAND, Move, MoveKind

if TYPE_CHECKING:
    from smithers_nb.sources.beads.shapes import Log
    from smithers_nb.sources.beads.steps import Step

COMMENT_WINDOW_US: Final = 60_000_000
"""A comment on the same bead within a minute counts as the reason of a give-back or reopen."""

_BY_FILE: Final = frozenset({"gascity", "gt"})
UNCLAIMS: Final = frozenset(
    {
        "unclaimed",
        "lease_reclaimed",
        "unhook",
        "bead.unclaimed",
        "bead.lease_reclaimed",
        "bead.dead_assignee_reopened",
        "hook.claim.reclaimed_stale",
    }
)
"""Events that give work back, regardless of the status before them."""

_SAME_MOMENT_US: Final = 1_000_000

Placed = tuple[int, str, int, "Step"]
"""Position in the log, file, line and step; a plain tuple, because a log can have a million."""


class RowReason(NamedTuple):
    """Close reason in the current row of a bead, and when the row last changed in epoch microseconds."""

    reason: str
    updated_at: int | None


def moves(
    log: Log,
    steps: Iterable[Placed],
    row_of: Callable[[str], RowReason | None] | None = None,
    comments: Mapping[str, list[int]] | None = None,
) -> Iterator[Move]:
    """Yield the moves of a log, bead by bead.

    Args:
        log: Kind of log.
        steps: Its steps in file order.
        row_of: Returns the current row of a bead from a table next to the log; a log of snapshots contains the rows itself.
            If neither has a row at least as new as a reopen, nothing preserves the earlier reason, so it counts as gone.
        comments: Sorted times of comments per bead in epoch microseconds.
    """
    beads: dict[str, list[Placed]] = defaultdict(list)
    for placed in steps:
        beads[placed[-1].bead_id].append(placed)
    for bead_id, entries in beads.items():
        if log == "journal":
            entries.sort(key=itemgetter(0))
        elif log not in _BY_FILE:
            entries.sort(key=lambda placed: placed[-1].at or 0)  # stable, so steps of the same moment stay in file order
        commented = [step.at for _, _, _, step in entries if step.what == "comment" and step.at]
        walk = _Walk(sorted([*commented, *((comments or {}).get(bead_id) or ())]))
        for placed in entries:
            if placed[-1].what != "comment":
                walk.take(placed)
        yield from walk.finish(row_of)


class _Walk:
    """Follows one bead through its steps."""

    def __init__(self, comments: list[int]) -> None:
        self.comments = comments
        self.moves: list[Move] = []
        self.status: str | None = None
        self.holder: str | None = None
        self.last_reason = ""
        self.row_reason: str | None = None
        self.pending_close: Move | None = None  # a change to closed whose own event may still follow
        self.given_back_at: int | None = None

    def take(self, placed: Placed) -> None:
        """Follow the next step."""
        step = placed[-1]
        before, after = step.old or self.status, step.new
        if after is None:
            self.holder = step.assignee or None
            return
        if step.row_reason is not None:
            self.row_reason = step.row_reason
        if after != "closed" and (before == "closed" or step.what == "reopened"):
            self._flush_close()
            self._add("reopen", placed, earlier=step.old_reason or self.last_reason)
        elif after == "open" and (before in IN_HAND or step.what in UNCLAIMS) and not self._repeats(step):
            self._add("give_back", placed)
            self.given_back_at = step.at
        elif step.closing:
            again = before == "closed" and self.pending_close is None
            self.pending_close = None
            self._add("close", placed, again=again, earlier=self.last_reason or step.old_reason if again else "")
            self.last_reason = step.reason
        elif after == "closed" and before not in (None, "closed"):
            self._flush_close()
            self.pending_close = self._move("close", placed)
            self.last_reason = step.reason
        elif after == "failed" and before != "failed":
            self._add("fail", placed)
        self._follow(step, after)

    def finish(self, row_of: Callable[[str], RowReason | None] | None) -> list[Move]:
        """Return the moves, with the lost reasons of reopens marked as gone."""
        self._flush_close()
        for index, move in enumerate(self.moves):
            if move.kind == "reopen" and move.earlier:
                row = row_of(move.bead_id) if row_of else None
                self.moves[index] = move._replace(gone=not self._is_kept(move, row))
        return self.moves

    def _follow(self, step: Step, after: str) -> None:
        self.status = after
        if step.assignee is not None:
            self.holder = step.assignee or None
        elif after == "open":
            self.holder = None
        elif step.what == "claimed":
            self.holder = step.actor

    def _is_kept(self, move: Move, row: RowReason | None) -> bool:
        if self.row_reason is not None:
            return self.row_reason == move.earlier
        newer = row is not None and (row.updated_at is None or move.at is None or row.updated_at // 1_000 >= move.at)
        return newer and row is not None and row.reason == move.earlier

    def _flush_close(self) -> None:
        if self.pending_close is not None:
            self.moves.append(self.pending_close)
            self.pending_close = None

    def _add(self, kind: MoveKind, placed: Placed, *, again: bool = False, earlier: str = "") -> None:
        self.moves.append(self._move(kind, placed, again=again, earlier=earlier))

    def _move(self, kind: MoveKind, placed: Placed, *, again: bool = False, earlier: str = "") -> Move:
        _, file, line, step = placed
        metadata = step.metadata
        return Move(
            kind,
            step.bead_id,
            None if step.at is None else step.at // 1_000,
            step.actor,
            f"{file}:{line}",
            step.reason,
            bool(step.reason) or (kind != "close" and (step.beside or self._commented(step.at))),
            step.what if step.what in UNCLAIMS or step.what == "reopened" else "status",
            step.holder or self.holder,
            again,
            earlier,
            outcome=str(metadata.get("gc.work_outcome") or metadata.get("gc.outcome") or "") if metadata else "",
            commit=str(metadata.get("gc.work_commit") or "") if metadata else "",
        )

    def _commented(self, at: int | None) -> bool:
        if at is None:
            return False
        index = bisect_left(self.comments, at - COMMENT_WINDOW_US)
        return index < len(self.comments) and self.comments[index] <= at + COMMENT_WINDOW_US

    def _repeats(self, step: Step) -> bool:
        """Return whether an unclaim repeats the give-back that a status change of the same moment already showed."""
        if step.what not in UNCLAIMS or self.status != "open" or step.at is None or self.given_back_at is None:
            return False
        return abs(step.at - self.given_back_at) <= _SAME_MOMENT_US
