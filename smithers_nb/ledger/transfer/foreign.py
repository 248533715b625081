"""Another system's store on its way into the ledger.

An imported failure without a reason gets the code `unknown` from the source `import`, never an invented one; the original line stands
beside every row, and lines that are neither bead nor event are kept as they were. Importing the same again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy as sa

from smithers_nb.diagnosis.beads import reasons
from smithers_nb.diagnosis.beads.audit import is_unexplained
from smithers_nb.engine.journal import work_items as tables
from smithers_nb.engine.journal.records import as_json
from smithers_nb.ledger.transfer.values import bead_values, event_values, failure, live, snapshot
from smithers_nb.ledger.transfer.written import BATCH, Imported, insert
from smithers_nb.model.failure_codes import reason
from smithers_nb.sources.base import Problems
from smithers_nb.sources.beads.files import entries, gather
from smithers_nb.sources.beads.moves import UNCLAIMS, moves
from smithers_nb.sources.beads.rows import bead_row
from smithers_nb.sources.beads.shapes import LOGS
from smithers_nb.sources.beads.steps import instant_ms, reason_in

if TYPE_CHECKING:
    from smithers_nb.model.beads import Move
    from smithers_nb.model.failure_reason import FailureReason
    from smithers_nb.sources.beads.contents import Contents

_NEXT: Final = 1_000_000_000


class ForeignImport:
    """One import of a foreign store, in two passes: the first judges the moves, the second writes row by row.

    So what is in memory at once is what an audit keeps, and never the lines of the store.
    """

    def __init__(self, connection: sa.Connection, where: Path, problems: Problems) -> None:
        self.connection = connection
        self.where = where
        self.place = str(where.absolute())
        contents = gather(where, problems)
        self.problems = problems
        self.moves = self._moves(contents)
        self.newest = {issue.bead_id: f"{self.place}#{issue.ref}" for issue in contents.issues.values()}
        self.unexplained = {issue.bead_id for issue in contents.issues.values() if is_unexplained(issue, contents.dependent)}
        self.closed: dict[str, int] = {}
        self.missing = 0
        self.places: set[tuple[str, int]] = set()
        self.pending: dict[sa.Table, list[dict[str, Any]]] = {tables.beads: [], tables.bead_events: [], tables.bead_lines: []}
        self.written: Counter[sa.Table] = Counter()
        select = connection.execute
        self.beads = set(select(sa.select(tables.beads.c.bead_id)).scalars())
        self.events = set(select(sa.select(tables.bead_events.c.origin).where(tables.bead_events.c.origin.is_not(None))).scalars())
        self.lines = {(row.file, row.number) for row in select(sa.select(tables.bead_lines.c.file, tables.bead_lines.c.number))}

    def run(self, paths: list[Path]) -> Imported:
        """Write what is new."""
        for path in paths:
            self._read(path)
        for table in self.pending:
            self._flush(table)
        beads, events, lines = (self.written[table] for table in self.pending)
        return Imported(beads, events, lines, self.missing, tuple(self.problems))

    def _read(self, path: Path) -> None:
        name = path.name if path == self.where else path.relative_to(self.where).as_posix()
        place = f"{self.place}#{name}"

        def unreadable(number: int, line: bytes) -> None:
            self._line(place, number, "unreadable", line.decode("utf-8", "replace"))

        for number, record, kind in entries(path, Problems(), unreadable):  # the first pass has named what is wrong
            origin = f"{place}:{number}"
            row = bead_row(record) if kind in ("issue", "bead") else None
            if row is not None:
                if self.newest.get(row.bead_id) == origin and row.bead_id not in self.beads:
                    self._write(tables.beads, bead_values(row, record, origin, unexplained=row.bead_id in self.unexplained))
            elif kind in LOGS:
                if origin not in self.events:
                    event = event_values(kind, record, origin)
                    self.missing += self._judge(event, self.moves.pop(origin, None), record)
                    self._write(tables.bead_events, event)
            else:
                self._line(place, number, kind, as_json(record))

    def _line(self, place: str, number: int, shape: str, line: str) -> None:
        while (place, number) in self.places:  # several objects of one document
            number += _NEXT
        self.places.add((place, number))
        if (place, number) not in self.lines:
            self._write(tables.bead_lines, {"file": place, "number": number, "shape": shape, "line": line})

    def _write(self, table: sa.Table, row: dict[str, Any]) -> None:
        self.pending[table].append(row)
        if len(self.pending[table]) >= BATCH:
            self._flush(table)

    def _flush(self, table: sa.Table) -> None:
        insert(self.connection, table, self.pending[table])
        self.written[table] += len(self.pending[table])
        self.pending[table].clear()

    def _moves(self, contents: Contents) -> dict[str, Move]:
        found: dict[str, Move] = {}
        for log, part in contents.logs.items():
            comments = {} if log == "interactions" else {bead: sorted(times) for bead, times in contents.comments.items()}
            found |= {f"{self.place}#{move.ref}": move for move in moves(log, part.steps, contents.rows(part), comments)}
        return found

    def _judge(self, event: dict[str, Any], move: Move | None, record: Mapping[str, Any]) -> int:
        """Mark a move and its reason; return 1 for a failure that had none."""
        lost = self._lost_by(event, move, record)
        if lost is not None:
            event["metadata_json"] = as_json(orjson.loads(event["metadata_json"]) | {"lost": lost.model_dump()})
        if move is None:
            if event["event_type"] == "status_changed" and event["new_value"] == "failed":
                event["metadata_json"] = as_json(orjson.loads(event["metadata_json"]) | {"failure_reason": failure({})})
            return 0
        flags = reasons.reason_flags(move.reason) if move.kind == "close" or move.reason or not move.explained else 0
        flags |= reasons.GONE * move.gone
        flags |= reasons.SECOND_DROPPED * (move.again and bool(move.reason) and move.reason != move.earlier)
        flags |= reasons.RECLAIM * (move.kind == "give_back" and move.how in UNCLAIMS - {"unclaimed", "unhook"} and not move.explained)
        event |= {"move": move.kind, "flags": int(flags), "reason": move.reason or None}
        if move.kind != "fail":
            return 0
        metadata = orjson.loads(event["metadata_json"])
        event["metadata_json"] = as_json(metadata | {"failure_reason": failure(reason_in(metadata), move.reason)})
        return int(not move.explained)

    def _lost_by(self, event: Mapping[str, Any], move: Move | None, record: Mapping[str, Any]) -> FailureReason | None:
        """Return what a foreign event lost, or which of our paths it is under another name; what it says itself stays what it says."""
        if move is None or move.kind == "give_back":
            return live(event, record)
        if move.kind == "close":
            self.closed[move.bead_id] = event["created_at_ms"] or 0
            again = move.again and move.reason and move.reason != move.earlier
            return reason("second_reason_dropped", reason=move.reason, kept=move.earlier) if again else None
        if move.kind != "reopen" or move.explained:
            return None
        written = instant_ms(snapshot(record).get("updated_at"))
        undone = written is not None and written < self.closed.get(move.bead_id, 0)
        return reason("close_reverted", reason=move.earlier) if undone else None
