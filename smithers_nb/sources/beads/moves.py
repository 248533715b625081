"""From the steps of a log to the moves that ought to have a reason, by the definitions of the corpus' `beads/2026/README.md`.

A bead's steps are put in order (time, then place in the file; a journal by `seq`, gascity by its lines), and its status, holder and last
reason are followed from one to the next.
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
"""A comment of the same bead within a minute counts as the reason of a give-back or a reopen."""

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
"""Events that give work back, whatever status the log shows before them."""

_SAME_MOMENT_US: Final = 1_000_000


Placed = tuple[int, str, int, "Step"]
"""A step and where it stands: its place in the log, its file and line, and the step; plain, because a log has a million."""


class RowReason(NamedTuple):
    """What the current row of a bead has as the reason of its close, and when the row last changed, epoch microseconds."""

    reason: str
    updated_at: int | None


def moves(
    log: Log,
    steps: Iterable[Placed],
    row_of: Callable[[str], RowReason | None] | None = None,
    comments: Mapping[str, list[int]] | None = None,
) -> Iterator[Move]:
    """Find the moves of a log.

    Args:
        log: What kind of log it is.
        steps: Its steps, in the order of the file.
        row_of: Returns the current row of a bead, from a table beside the log. A log of snapshots shows the row itself.
            Where neither shows a row at least as new as a reopen, nothing has kept the earlier reason: it counts as gone.
        comments: Times of comments per bead, epoch microseconds, sorted.

    Yields:
        Moves, bead by bead.
    """
    beads: dict[str, list[Placed]] = defaultdict(list)
    for placed in steps:
        beads[placed[-1].bead_id].append(placed)
    for bead_id, entries in beads.items():
        if log == "journal":
            entries.sort(key=itemgetter(0))
        elif log not in _BY_FILE:
            entries.sort(key=lambda placed: placed[-1].at or 0)  # of one moment, they stay in the order of the file
        said = [step.at for _, _, _, step in entries if step.what == "comment" and step.at]
        beside = comments.get(bead_id) if comments else None
        walk = _Walk(sorted(said + beside) if beside else sorted(said))
        for placed in entries:
            if placed[-1].what != "comment":
                walk.take(placed)
        yield from walk.finish(row_of)


class _Walk:
    """Follows one bead through its steps."""

    def __init__(self, comments: list[int]) -> None:
        self.comments = comments
        self.found: list[Move] = []
        self.status: str | None = None
        self.holder: str | None = None
        self.last_reason = ""
        self.row_reason: str | None = None
        self.unannounced: Move | None = None  # a change to closed whose own event has not come yet
        self.given_back_at: int | None = None

    def take(self, placed: Placed) -> None:
        """Look at the next step."""
        step = placed[-1]
        before, after = step.old or self.status, step.new
        if after is None:
            self.holder = step.assignee or None
            return
        if step.row_reason is not None:
            self.row_reason = step.row_reason
        if after != "closed" and (before == "closed" or step.what == "reopened"):
            self._announce()
            self._add("reopen", placed, earlier=step.old_reason or self.last_reason)
        elif after == "open" and (before in IN_HAND or step.what in UNCLAIMS) and not self._repeats(step):
            self._add("give_back", placed)
            self.given_back_at = step.at
        elif step.closing:
            again = before == "closed" and self.unannounced is None
            self.unannounced = None
            self._add("close", placed, again=again, earlier=self.last_reason or step.old_reason if again else "")
            self.last_reason = step.reason
        elif after == "closed" and before not in (None, "closed"):
            self._announce()
            self.unannounced = self._move("close", placed)
            self.last_reason = step.reason
        elif after == "failed" and before != "failed":
            self._add("fail", placed)
        self._follow(step, after)

    def finish(self, row_of: Callable[[str], RowReason | None] | None) -> list[Move]:
        """Return the moves, with what the row has kept of the reasons."""
        self._announce()
        for index, move in enumerate(self.found):
            if move.kind == "reopen" and move.earlier:
                row = row_of(move.bead_id) if row_of else None
                self.found[index] = move._replace(gone=not self._kept(move, row))
        return self.found

    def _follow(self, step: Step, after: str) -> None:
        self.status = after
        if step.assignee is not None:
            self.holder = step.assignee or None
        elif after == "open":
            self.holder = None
        elif step.what == "claimed":
            self.holder = step.actor

    def _kept(self, move: Move, row: RowReason | None) -> bool:
        if self.row_reason is not None:
            return self.row_reason == move.earlier
        newer = row is not None and (row.updated_at is None or move.at is None or row.updated_at // 1_000 >= move.at)
        return newer and row is not None and row.reason == move.earlier

    def _announce(self) -> None:
        if self.unannounced is not None:
            self.found.append(self.unannounced)
            self.unannounced = None

    def _add(self, kind: MoveKind, placed: Placed, *, again: bool = False, earlier: str = "") -> None:
        self.found.append(self._move(kind, placed, again=again, earlier=earlier))

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
        """Whether an unclaim only names the give-back that a change of status of the same moment showed already."""
        if step.what not in UNCLAIMS or self.status != "open" or step.at is None or self.given_back_at is None:
            return False
        return abs(step.at - self.given_back_at) <= _SAME_MOMENT_US
