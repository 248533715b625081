"""What a store can show at all: without it, zero findings would look like a clean fleet."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.timestamps import when
from smithers_nb.sources.beads.shapes import NAMES, Log
from smithers_nb.sources.beads.steps import CREATED

if TYPE_CHECKING:
    from smithers_nb.sources.beads.contents import Contents, LogPart

ROWS_CANNOT: Final = (
    "this export cannot show give-backs: unclaim and reclaim leave a row as if it had never been claimed",
    "this export cannot show reopens: a reopen blanks the reason of the close",
    "this export cannot show second reasons: bd keeps one reason per row",
)
_DOLT_BESIDE: Final = "a Dolt database lies beside these files, which only bd can read: what is newer than they are is not in them"
_CANNOT: Final[dict[Log, tuple[str, ...]]] = {
    "audit": ("audit events are local to a clone since bd schema 62: a clone or a push carries none",),
    "journal": ("a claim, unclaim, reclaim and reopen are all `update`: their reasons are only in a comment beside them",),
    "interactions": (
        "the log is written by default up to bd 1.0.5 and only when `audit.enabled` is set since",
        "a reason that somebody put into a comment beside a change is not in this log",
    ),
    "gascity": ("gascity writes its log on a best effort: a line that could not be written is missing without a trace",),
    "cloud": (),
    "gt": ("gt's log has no closes and no reopens", "`unhook` has no field for a reason"),
}
NO_CLOSES: Final[frozenset[Log]] = frozenset({"gt"})
"""Logs that cannot show a close or a reopen."""

NO_RECLAIMS: Final[frozenset[Log]] = frozenset({"interactions", "journal", "gt"})
"""Logs in which the end of a lease is a change like any other."""

SNAPSHOTS: Final[frozenset[Log]] = frozenset({"journal", "gascity"})
"""Logs whose entries show the whole bead, its outcome included."""


def coverage(contents: Contents, counted: Log | None) -> list[dict[str, Any]]:
    """Describe each part of a store: what it is, how much, from when to when, what it cannot show, and what is odd about it.

    Args:
        contents: What was read.
        counted: The kind of log whose moves are counted; None when there is only rows.

    Returns:
        One object per log and one for the rows: `source`, `kind`, `records`, `from`, `to`, `counted`, `cannot_show`, `notes`.
    """
    if not contents.logs and not contents.issues:
        return [_nothing(contents), *_others(contents)]
    parts = [_of_log(contents, part, counted=part.log == counted) for part in contents.logs.values()]
    if contents.issues:
        files = sorted(file for file, shapes in contents.shapes.items() if shapes.get("issue") or shapes.get("bead"))
        newest = max((issue.updated_at or 0 for issue in contents.issues.values()), default=0)
        notes = ["rows show only what is left at the end; moves are counted from the log"] if counted else []
        notes += [_DOLT_BESIDE] if contents.dolt and not contents.logs else []
        notes += _custom(contents.config.get("status.custom", ""))
        last = contents.logs[counted].last_at if counted else None
        if last is not None and newest and newest < last:
            notes.append(f"the rows are older than the log: newest row {when(newest // 1_000)}, last entry {when(last // 1_000)}")
        parts.append(
            {
                "source": ", ".join(files),
                "kind": "bd issues",
                "records": len(contents.issues),
                "from": None,
                "to": newest // 1_000 or None,
                "counted": counted is None,
                "cannot_show": [] if counted else list(ROWS_CANNOT),
                "notes": notes,
            }
        )
    return parts + _others(contents)


def _nothing(contents: Contents) -> dict[str, Any]:
    source = ", ".join(sorted(contents.shapes))
    cannot = ["no bead and no log of beads was found in it, so nothing can be told"]
    return {
        "source": source,
        "kind": "nothing",
        "records": 0,
        "from": None,
        "to": None,
        "counted": False,
        "cannot_show": cannot,
        "notes": [],
    }


def _custom(statuses: str) -> list[str]:
    """Name the statuses that the store's own configuration takes for closed (`name:category`)."""
    done = [name for name, _, category in (one.strip().partition(":") for one in statuses.split(",")) if category.strip() == "done"]
    return [f"the store's configuration takes {', '.join(done)} for closed; their reasons are not judged here"] if done else []


def _of_log(contents: Contents, part: LogPart, *, counted: bool) -> dict[str, Any]:
    notes = [] if counted else ["not counted: another log of this store shows more; its own counts are under `other_logs`"]
    notes += _seq_notes(part)
    if not part.steps:
        notes.append(f"none of its {part.records} records changes a status: what happened is not in it")
    if contents.dolt:
        notes.append(_DOLT_BESIDE)
    if part.without_actor:
        notes.append(f"{part.without_actor} of {part.records} records name no actor")
    if part.last_at is not None and not (contents.issues or contents.beside) and part.log not in SNAPSHOTS | NO_CLOSES:
        notes.append("no rows beside this log: what a row has kept of an earlier reason is not known, and counts as gone")
    partial = _begun_before(part)
    if partial:
        notes.append(f"{partial} beads were there before the log begins: what happened to them until then is not in it")
    return {
        "source": ", ".join(part.files),
        "kind": NAMES[part.log],
        "records": part.records,
        "from": None if part.first_at is None else part.first_at // 1_000,
        "to": None if part.last_at is None else part.last_at // 1_000,
        "counted": counted,
        "cannot_show": list(_CANNOT[part.log]),
        "notes": notes,
    }


def _seq_notes(part: LogPart) -> list[str]:
    if not part.seqs:
        return []
    word = "journal" if part.log == "journal" else "log"
    notes = [f"{word} starts at seq {min(part.seqs)}" + ("" if min(part.seqs) <= 1 else ": what came before was pruned or rotated away")]
    twice = sum(number - 1 for number in Counter(part.seqs).values())
    back = sum(after <= before for before, after in pairwise(part.seqs))
    missing = max(part.seqs) - min(part.seqs) + 1 - len(set(part.seqs))
    notes += [f"{twice} lines repeat a seq"] if twice else []
    notes += [f"seq does not grow in {back} places"] if back else []
    notes += [f"{missing} numbers between the first and the last seq are missing"] if missing else []
    return notes


def _begun_before(part: LogPart) -> int:
    """Count beads that the log knows only from the middle."""
    return len({placed[-1].bead_id for placed in part.steps} - part.begun) if part.log in CREATED else 0


def _others(contents: Contents) -> list[dict[str, Any]]:
    unknown = {file: shapes["other"] for file, shapes in contents.shapes.items() if shapes.get("other")}
    return [
        {
            "source": file,
            "kind": "other",
            "records": number,
            "from": None,
            "to": None,
            "counted": False,
            "cannot_show": [],
            "notes": ["lines of no known kind (memories, schema lines, other records): read, not judged"],
        }
        for file, number in unknown.items()
    ]
