"""What the files and tables of a store hold, sorted into logs, issue rows and comments as they are read, line by line.

Only what an audit needs is kept of each line, so that a large export is never in memory as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from smithers_nb.sources.beads.moves import Placed, RowReason
from smithers_nb.sources.beads.shapes import LOGS, Log, Shape, shape_of
from smithers_nb.sources.beads.steps import CREATED, Step, as_dict, instant_us, read_step, reason_in, text

_CLOCKS_APART_US = 14 * 3_600_000_000


class Issue(NamedTuple):
    """A current row, as far as an audit asks; times in epoch microseconds.

    Attributes:
        reason: Reason of the close or of the failure, stripped; empty for none.
        outcome: `gc.work_outcome` or `gc.outcome`; empty for none.
        blocked_why: A reason in its metadata or a dependency in its row explains that it is blocked.
    """

    bead_id: str
    ref: str
    status: str
    type: str
    reason: str
    assignee: str | None
    updated_at: int | None
    started_at: int | None
    lease_expires_at: int | None
    heartbeat_at: int | None
    outcome: str
    commit: str
    blocked_why: bool


@dataclass
class LogPart:
    """One kind of log of a store.

    Attributes:
        files: Files and tables it came from.
        records: Lines of this kind, those that are no step of a bead included.
        seqs: Numbers that the log itself gives its lines, in order.
    """

    log: Log
    files: list[str] = field(default_factory=list)
    records: int = 0
    steps: list[Placed] = field(default_factory=list)
    without_actor: int = 0
    begun: set[str] = field(default_factory=set)
    first_at: int | None = None
    last_at: int | None = None
    seqs: list[int] = field(default_factory=list)


class Contents:
    """Everything that a store of beads holds, read once.

    Attributes:
        logs: Its logs by kind.
        issues: Its current rows by id; of two rows of one bead, the newer one.
        comments: Times of comments per bead, epoch microseconds.
        row_comments: The same of comments that stand inside issue rows.
        shapes: Lines per file and shape.
        config: Settings of the store (`config.jsonl`, table `config`).
        dependent: Beads that a table of dependencies says wait for another.
        beside: Current rows beside a log that was named alone; they are not counted.
    """

    def __init__(self) -> None:
        self.logs: dict[Log, LogPart] = {}
        self.issues: dict[str, Issue] = {}
        self.comments: dict[str, list[int]] = defaultdict(list)
        self.row_comments: dict[str, list[int]] = defaultdict(list)
        self.shapes: dict[str, dict[Shape, int]] = defaultdict(lambda: defaultdict(int))
        self.config: dict[str, str] = {}
        self.dependent: set[str] = set()
        self.beside: dict[str, RowReason] = {}
        self._known: dict[Log, set[tuple[object, ...]]] = {}

    def take(self, file: str, number: int, record: Mapping[str, Any], shape: Shape | None = None) -> None:
        """Sort in one line of a file, or one row of a table."""
        shape = shape or shape_of(record)
        self.shapes[file][shape] += 1
        if shape in LOGS:
            self._take_log(shape, file, number, record)
        elif shape in ("issue", "bead"):
            self._take_issue(f"{file}:{number}", record)
        elif shape == "comment":
            _note_time(self.comments, record.get("issue_id"), record.get("created_at"))
        elif shape == "dependency":
            self.dependent.add(str(record.get("issue_id")))
        elif shape == "config" and isinstance(record.get("value"), str):
            self.config[str(record.get("key"))] = record["value"]

    def rows(self, log: LogPart) -> dict[str, RowReason]:
        """Return what the current rows, or those beside a single log, have as the reason of their close.

        Rows and logs of one store were met with clocks hours apart (local time that claims to be UTC), so rows whose newest is within
        `_CLOCKS_APART_US` of the log's end count as current; of older ones each is as good as its own time.
        """
        found = self.beside | {bead_id: RowReason(issue.reason, issue.updated_at) for bead_id, issue in self.issues.items()}
        newest = max((row.updated_at or 0 for row in found.values()), default=0)
        current = log.last_at is None or newest >= log.last_at - _CLOCKS_APART_US
        return {bead_id: row._replace(updated_at=None) for bead_id, row in found.items()} if current else found

    def _take_log(self, log: Log, file: str, number: int, record: Mapping[str, Any]) -> None:
        part = self.logs.setdefault(log, LogPart(log))
        part.records += 1
        if file not in part.files:
            part.files.append(file)
            self._known[log] = {_identity(placed.step) for placed in part.steps}
        seq = record.get("seq")
        if isinstance(seq, int):
            part.seqs.append(seq)
        part.without_actor += not record.get("actor") and not record.get("agent_id")
        what = record.get("event_type") or record.get("type") or record.get("op")
        if what in CREATED:
            part.begun.add(str(record.get("issue_id") or record.get("bead_id") or record.get("subject")))
        step = read_step(log, record)
        if step is None or (self._known[log] and _identity(step) in self._known[log]):
            return
        if step.at is not None:
            part.first_at = step.at if part.first_at is None else min(part.first_at, step.at)
            part.last_at = step.at if part.last_at is None else max(part.last_at, step.at)
        order = seq if log == "journal" and isinstance(seq, int) else len(part.steps)
        part.steps.append(Placed(order, f"{file}:{number}", step))

    def _take_issue(self, ref: str, record: Mapping[str, Any]) -> None:
        bead_id = record.get("id") or record.get("bead_id")
        if not isinstance(bead_id, str):
            return
        updated = instant_us(record.get("updated_at"))
        known = self.issues.get(bead_id)
        if known is not None and (updated or 0) < (known.updated_at or 0):
            return
        for comment in record.get("comments") or () if isinstance(record.get("comments"), list) else ():
            if isinstance(comment, dict):
                _note_time(self.row_comments, bead_id, comment.get("created_at"))
        metadata = as_dict(record.get("metadata"))
        reason = text(record.get("close_reason")) or text(metadata.get("close_reason")) or text(reason_in(metadata).get("message"))
        self.issues[bead_id] = Issue(
            bead_id,
            ref,
            text(record.get("status")),
            text(record.get("issue_type")) or text(record.get("type")),
            reason,
            text(record.get("assignee")) or text(record.get("assignee_agent_bead_id")) or None,
            updated,
            instant_us(record.get("started_at")),
            instant_us(record.get("lease_expires_at")),
            instant_us(record.get("heartbeat_at")),
            text(metadata.get("gc.work_outcome")) or text(metadata.get("gc.outcome")),
            text(metadata.get("gc.work_commit")),
            bool(text(metadata.get("blocked_reason")) or record.get("dependencies")),
        )


def _note_time(comments: dict[str, list[int]], bead_id: object, at: object) -> None:
    moment = instant_us(at)
    if isinstance(bead_id, str) and moment is not None:
        comments[bead_id].append(moment)


def _identity(step: Step) -> tuple[object, ...]:
    """What tells an entry from the same one in a copy of its log."""
    return step[:7]
