"""Sort the lines of a store's files and tables into logs, issue rows and comments as they are read.

Only what an audit needs is kept of each line, so a large export is never in memory as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from smithers_nb.sources.beads.moves import Placed, RowReason
from smithers_nb.sources.beads.shapes import LOGS, NUMBERED, Log, Shape
from smithers_nb.sources.beads.steps import CREATED, READERS, Step, as_dict, instant_us, reason_in, text

_MAX_CLOCK_SKEW_US = 14 * 3_600_000_000


class Issue(NamedTuple):
    """The fields of a current row that an audit needs; times in epoch microseconds.

    Attributes:
        reason: Reason of the close or failure, stripped; empty for none.
        outcome: `gc.work_outcome` or `gc.outcome`; empty for none.
        blocked_why: A reason in its metadata or a dependency in its row explains why it is blocked.
    """

    bead_id: str
    ref: str
    status: str
    reason: str
    assignee: str | None
    updated_at: int | None
    started_at: int | None
    lease_expires_at: int | None
    heartbeat_at: int | None
    outcome: str
    commit: str
    blocked_why: bool


class LogPart:
    """All lines of one kind of log in a store.

    Attributes:
        files: Files and tables they came from.
        records: Number of lines, including those that are not a step of a bead.
        steps: Steps in reading order.
        without_actor: Number of lines that name no actor.
        begun: Beads whose creation the log shows.
        seqs: The log's own line numbers, in order.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.files: list[str] = []
        self.records = 0
        self.steps: list[Placed] = []
        self.without_actor = 0
        self.begun: set[str] = set()
        self.seqs: list[int] = []
        self._file = ""
        self._known: set[tuple[object, ...]] = set()  # steps of earlier files, because a file may be a copy of another

    def begin(self, file: str) -> None:
        """Start reading a file."""
        self._file = file
        if file not in self.files:
            self.files.append(file)
            self._known = {_identity(placed[-1]) for placed in self.steps}

    def add(self, entries: Iterable[tuple[int, Mapping[str, Any], Shape]]) -> None:
        """Add lines of the current file; most are not steps, so this does little work per line."""
        read, steps, file, by_seq = READERS[self.log], self.steps, self._file, self.log == "journal"
        key, created = CREATED.get(self.log, ("", ""))
        taken = without_actor = 0
        numbered, known, seq = self.log in NUMBERED, self._known, None
        for number, record, _ in entries:
            value = record.get
            taken += 1
            if numbered:
                seq = value("seq")
                if isinstance(seq, int):
                    self.seqs.append(seq)
            if not value("actor") and not value("agent_id"):
                without_actor += 1
            if key and value(key) == created:
                self.begun.add(str(value("issue_id") or value("bead_id") or value("subject")))
            step = read(record)
            if step is None or (known and _identity(step) in known):
                continue
            steps.append((seq if by_seq and isinstance(seq, int) else len(steps), file, number, step))
        self.records += taken
        self.without_actor += without_actor

    @property
    def first_at(self) -> int | None:
        """Time of the first step in epoch microseconds."""
        return self._ends[0]

    @property
    def last_at(self) -> int | None:
        """Time of the last step in epoch microseconds."""
        return self._ends[1]

    @cached_property
    def _ends(self) -> tuple[int | None, int | None]:
        times = [placed[-1].at for placed in self.steps if placed[-1].at is not None]
        return min(times, default=None), max(times, default=None)


class Contents:
    """Everything an audit needs from a store of beads, read once.

    Attributes:
        logs: Its logs by kind.
        issues: Its current rows by id, the newest per bead.
        comments: Times of comments per bead in epoch microseconds.
        row_comments: Times of the comments inside issue rows, likewise.
        shapes: Number of lines per file and shape.
        config: Settings of the store (`config.jsonl`, table `config`).
        dependent: Beads that wait for another according to a dependency table.
        dolt: There is a Dolt database next to the files, which may be newer than they are.
        beside: Current rows next to a log that was named by itself; they are not counted.
    """

    def __init__(self) -> None:
        self.logs: dict[Log, LogPart] = {}
        self.issues: dict[str, Issue] = {}
        self.comments: dict[str, list[int]] = defaultdict(list)
        self.row_comments: dict[str, list[int]] = defaultdict(list)
        self.shapes: dict[str, dict[Shape, int]] = defaultdict(lambda: defaultdict(int))
        self.config: dict[str, str] = {}
        self.dependent: set[str] = set()
        self.dolt = False
        self.beside: dict[str, RowReason] = {}

    def read(self, file: str, entries: Iterable[tuple[int, dict[str, Any], Shape]]) -> None:
        """Add the lines of a file, or the rows of its tables."""
        counted = self.shapes[file]
        for shape, group in groupby(entries, key=itemgetter(2)):
            if shape in LOGS:
                part = self.logs.setdefault(shape, LogPart(shape))
                part.begin(file)
                before = part.records
                part.add(group)
                counted[shape] += part.records - before
                continue
            for number, record, _ in group:
                counted[shape] += 1
                self._add(shape, f"{file}:{number}", record)

    def _add(self, shape: Shape, ref: str, record: Mapping[str, Any]) -> None:
        if shape in ("issue", "bead"):
            self._add_issue(ref, record)
        elif shape == "comment":
            _add_comment(self.comments, record.get("issue_id"), record.get("created_at"))
        elif shape == "dependency":
            self.dependent.add(str(record.get("issue_id")))
        elif shape == "config" and isinstance(record.get("value"), str):
            self.config[str(record.get("key"))] = record["value"]

    def rows(self, log: LogPart) -> Callable[[str], RowReason | None]:
        """Return a function that looks up the close reason in the current row of a bead, or in the row next to a single log.

        In real stores the clocks of rows and logs can be hours apart (local time written as UTC). If the newest row is within
        `_MAX_CLOCK_SKEW_US` of the log's end, all rows count as current; otherwise each is only as current as its own time.
        """
        newest = max((row.updated_at or 0 for found in (self.beside, self.issues) for row in found.values()), default=0)
        current = log.last_at is None or newest >= log.last_at - _MAX_CLOCK_SKEW_US

        def row_of(bead_id: str) -> RowReason | None:
            row = self.issues.get(bead_id) or self.beside.get(bead_id)
            return None if row is None else RowReason(row.reason, None if current else row.updated_at)

        return row_of

    def _add_issue(self, ref: str, record: Mapping[str, Any]) -> None:
        value = record.get
        bead_id = value("id") or value("bead_id")
        if not isinstance(bead_id, str):
            self.shapes[ref.rpartition(":")[0]]["other"] += 1
            return
        updated = instant_us(value("updated_at"))
        known = self.issues.get(bead_id)
        if known is not None and (updated or 0) < (known.updated_at or 0):
            return
        comments = value("comments")
        for comment in comments if isinstance(comments, list) else ():
            if isinstance(comment, dict):
                _add_comment(self.row_comments, bead_id, comment.get("created_at"))
        metadata = as_dict(value("metadata"))
        reason = text(value("close_reason"))
        if metadata and not reason:
            reason = text(metadata.get("close_reason")) or text(reason_in(metadata).get("message"))
        self.issues[bead_id] = Issue(
            bead_id,
            ref,
            text(value("status")),
            reason,
            text(value("assignee")) or text(value("assignee_agent_bead_id")) or None,
            updated,
            instant_us(value("started_at")),
            instant_us(value("lease_expires_at")),
            instant_us(value("heartbeat_at")),
            text(metadata.get("gc.work_outcome")) or text(metadata.get("gc.outcome")) if metadata else "",
            text(metadata.get("gc.work_commit")) if metadata else "",
            bool((metadata and text(metadata.get("blocked_reason"))) or value("dependencies")),
        )


def _add_comment(comments: dict[str, list[int]], bead_id: object, at: object) -> None:
    moment = instant_us(at)
    if isinstance(bead_id, str) and moment is not None:
        comments[bead_id].append(moment)


def _identity(step: Step) -> tuple[object, ...]:
    """Return what a step has in common with the same step in a copy of its log."""
    return step[:7]
