"""What the files and tables of a store hold, sorted into logs, issue rows and comments as they are read, line by line.

Only what an audit needs is kept of each line, so that a large export is never in memory as a whole.
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
    """One kind of log of a store.

    Attributes:
        files: Files and tables it came from.
        records: Lines of this kind, those that are no step of a bead included.
        steps: Its steps, in the order in which they were read.
        begun: Beads whose beginning it shows.
        seqs: Numbers that the log itself gives its lines, in order.
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
        self._known: set[tuple[object, ...]] = set()  # steps of the files before, of which a file may be a copy

    def begin(self, file: str) -> None:
        """Say that what comes next is of another file."""
        self._file = file
        if file not in self.files:
            self.files.append(file)
            self._known = {_identity(placed[-1]) for placed in self.steps}

    def take(self, entries: Iterable[tuple[int, Mapping[str, Any], Shape]]) -> None:
        """Take lines of the file that was begun; most are no step, so little is asked of each."""
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
        """Time of its first step, epoch microseconds."""
        return self._ends[0]

    @property
    def last_at(self) -> int | None:
        """Time of its last step, epoch microseconds."""
        return self._ends[1]

    @cached_property
    def _ends(self) -> tuple[int | None, int | None]:
        times = [placed[-1].at for placed in self.steps if placed[-1].at is not None]
        return min(times, default=None), max(times, default=None)


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
        dolt: A Dolt database lies beside the files, which they may be older than.
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
        self.dolt = False
        self.beside: dict[str, RowReason] = {}

    def read(self, file: str, entries: Iterable[tuple[int, dict[str, Any], Shape]]) -> None:
        """Sort in the lines of a file, or the rows of its tables."""
        counted = self.shapes[file]
        for shape, group in groupby(entries, key=itemgetter(2)):
            if shape in LOGS:
                part = self.logs.setdefault(shape, LogPart(shape))
                part.begin(file)
                before = part.records
                part.take(group)
                counted[shape] += part.records - before
                continue
            for number, record, _ in group:
                counted[shape] += 1
                self._take(shape, f"{file}:{number}", record)

    def _take(self, shape: Shape, ref: str, record: Mapping[str, Any]) -> None:
        if shape in ("issue", "bead"):
            self._take_issue(ref, record)
        elif shape == "comment":
            _note_time(self.comments, record.get("issue_id"), record.get("created_at"))
        elif shape == "dependency":
            self.dependent.add(str(record.get("issue_id")))
        elif shape == "config" and isinstance(record.get("value"), str):
            self.config[str(record.get("key"))] = record["value"]

    def rows(self, log: LogPart) -> Callable[[str], RowReason | None]:
        """Return a look-up of what the current row of a bead, or the one beside a single log, has as the reason of its close.

        Rows and logs of one store were met with clocks hours apart (local time that claims to be UTC), so rows whose newest is within
        `_CLOCKS_APART_US` of the log's end count as current; of older ones each is as good as its own time.
        """
        newest = max((row.updated_at or 0 for place in (self.beside, self.issues) for row in place.values()), default=0)
        current = log.last_at is None or newest >= log.last_at - _CLOCKS_APART_US

        def row_of(bead_id: str) -> RowReason | None:
            row = self.issues.get(bead_id) or self.beside.get(bead_id)
            return None if row is None else RowReason(row.reason, None if current else row.updated_at)

        return row_of

    def _take_issue(self, ref: str, record: Mapping[str, Any]) -> None:
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
                _note_time(self.row_comments, bead_id, comment.get("created_at"))
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


def _note_time(comments: dict[str, list[int]], bead_id: object, at: object) -> None:
    moment = instant_us(at)
    if isinstance(bead_id, str) and moment is not None:
        comments[bead_id].append(moment)


def _identity(step: Step) -> tuple[object, ...]:
    """What tells an entry from the same one in a copy of its log."""
    return step[:7]
