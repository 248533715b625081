"""The jobs about work items: parsing by hand, auditing an export, and what the ledger does with the same."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.benchmarks.measure import tell


def beads_parse(folder: str) -> None:
    """Parse the JSONL with the standard library, and hold one file's rows at a time."""
    tell(rows=sum(len(_parsed(Path(folder) / name)) for name in ("issues.jsonl", "events.jsonl")))


def beads_frames(folder: str) -> None:
    """Parse the JSONL with the standard library into frames."""
    import pandas as pd

    frames = [pd.DataFrame(_parsed(Path(folder) / name)) for name in ("issues.jsonl", "events.jsonl")]
    tell(rows=sum(map(len, frames)))


def beads_audit_export(folder: str) -> None:
    """Audit straight from the export."""
    from smithers_nb.project import connect

    with connect(f"beads:{folder}") as project:
        tell(closes=project.audit().counts["closes"])


def beads_import(folder: str, url: str) -> None:
    """Import the export into a ledger."""
    from smithers_nb.ledger import Ledger
    from smithers_nb.ledger.transfer import import_store

    with Ledger.open(url) as ledger:
        tell(events=import_store(ledger, Path(folder)).events)


def beads_audit_ledger(url: str) -> None:
    """List the newest beads of the ledger and audit it."""
    from smithers_nb.ledger import Ledger
    from smithers_nb.workflows.ledger_store import LedgerStore

    with LedgerStore(Ledger.open(url)) as store:
        tell(listed=len(store.beads(limit=50)), closes=store.audit().counts["closes"])


def beads_transitions(url: str, number: str) -> None:
    """Change statuses one transaction each, beside an update and an insert in one bare transaction, in turn."""
    import sqlalchemy as sa

    from smithers_nb.ledger import Ledger, items
    from smithers_nb.ledger.transition import transition

    with Ledger.open(url) as ledger:
        engine = ledger.journal.engine
        with ledger.writing() as connection:
            connection.execute(sa.text("CREATE TABLE bare_rows (id TEXT PRIMARY KEY, status TEXT)"))
            connection.execute(sa.text("CREATE TABLE bare_log (bead_id TEXT, new_value TEXT, at BIGINT)"))
            beads = [items.create(ledger, connection, "b", bead_id=f"bench-{n}") for n in range(int(number))]
            connection.execute(sa.text("INSERT INTO bare_rows VALUES (:id, 'open')"), [{"id": bead} for bead in beads])
        update, insert = sa.text("UPDATE bare_rows SET status = :s WHERE id = :id"), sa.text("INSERT INTO bare_log VALUES (:id, :s, 1)")
        took = {"ours": 0.0, "bare": 0.0}
        for bead in beads:
            start = time.perf_counter()
            with ledger.writing() as connection:
                transition(ledger, connection, bead, "in_progress", actor="bench")
            middle = time.perf_counter()
            with engine.connect() as plain:
                connection = plain.execution_options(writes=True)
                with connection.begin():
                    connection.execute(update, {"s": "in_progress", "id": bead})
                    connection.execute(insert, {"s": "in_progress", "id": bead})
            took["ours"] += middle - start
            took["bare"] += time.perf_counter() - middle
        tell(**took)


def make_export(folder: Path, beads: int) -> None:
    """Write an export with ten events for each bead."""
    folder.mkdir(parents=True, exist_ok=True)
    actors, reasons = (
        ("worker-1", "worker-2", "mayor"),
        ("Closed", "Merged in #12 after review", "", "done", "Fixed: the import path is right"),
    )
    with (folder / "issues.jsonl").open("w") as issues, (folder / "events.jsonl").open("w") as events:
        for n in range(beads):
            bead, reason, at = f"bd-{n}", reasons[n % 5], f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}T"
            row = {"id": bead, "title": f"work number {n}", "description": "what is to be done " * 5, "status": "closed", "priority": n % 5}
            row |= {"issue_type": "task", "created_at": f"{at}00:00:00Z", "updated_at": f"{at}10:00:00Z", "close_reason": reason}
            issues.write(json.dumps(row) + "\n")
            steps = [("created", "", ""), ("updated", "", {"notes": "n"}), ("label_added", "", "")]
            steps += [("status_changed", {"id": bead, "status": "open"}, {"status": "in_progress"})]
            steps += [("status_changed", {"id": bead, "status": "in_progress", "assignee": "worker-1"}, {"status": "open"})] * (n % 3 == 0)
            steps += [("updated", {"id": bead, "title": row["title"]}, {"description": row["description"]})] * (9 - len(steps))
            steps.append(("closed", "", reason))
            for second, (what, old, new) in enumerate(steps):
                line = {"id": n * 10 + second, "issue_id": bead, "event_type": what, "actor": actors[n % 3], "comment": None}
                line |= {"old_value": json.dumps(old) if old else "", "new_value": new if isinstance(new, str) else json.dumps(new)}
                events.write(json.dumps(line | {"created_at": f"{at}09:{second:02}:00Z"}) + "\n")


def _parsed(path: Path) -> list[dict[str, object]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


JOBS = (beads_parse, beads_frames, beads_audit_export, beads_import, beads_audit_ledger, beads_transitions)
if __name__ == "__main__":
    make_export(Path(sys.argv[1]), int(sys.argv[2]))
