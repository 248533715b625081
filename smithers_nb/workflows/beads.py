"""Work items as the command line and notebooks look at them, the same for our own ledger and for another system's store."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol, Self

from smithers_nb.diagnosis.beads.audit import audit
from smithers_nb.ledger import queries
from smithers_nb.model.beads import BeadEventRow, BeadRow

if TYPE_CHECKING:
    from smithers_nb.diagnosis.beads.audit import Audit
    from smithers_nb.ledger import Ledger
    from smithers_nb.model.failure_reason import FailureReason
    from smithers_nb.sources.beads.source import BeadsSource


class BeadStore(Protocol):
    """What can be asked of a store of work items."""

    @property
    def location(self) -> str:
        """Where it is, as shown to people."""
        ...

    def beads(self, *, status: Collection[str] = (), bead_id: str | None = None, limit: int | None = None) -> list[BeadRow]:
        """List beads, the last changed first."""
        ...

    def events(
        self, *, bead_id: str | None = None, since_ms: int | None = None, failures: bool = False, limit: int | None = None
    ) -> list[BeadEventRow]:
        """List the log, newest first."""
        ...

    def failure_of(self, bead_id: str) -> FailureReason | None:
        """Return why a bead failed last; None when it did not, or nobody recorded it as one."""
        ...

    def causes_of(self, bead_id: str) -> list[tuple[str, FailureReason]]:
        """Return the failures of other beads that it has to do with."""
        ...

    def summary_of(self, bead_id: str) -> str:
        """Return its failure in plain language; empty when there is no summary."""
        ...

    def audit(self) -> Audit:
        """Audit its reasons."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class LedgerStore:
    """Our own ledger, read by its indexes."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @property
    def location(self) -> str:
        """The journal's database."""
        return self.ledger.journal.location.shown

    def beads(self, *, status: Collection[str] = (), bead_id: str | None = None, limit: int | None = None) -> list[BeadRow]:
        """List beads, the last changed first."""
        with self.ledger.reading() as connection:
            return queries.bead_rows(connection, status=status, bead_id=bead_id, limit=limit)

    def events(
        self, *, bead_id: str | None = None, since_ms: int | None = None, failures: bool = False, limit: int | None = None
    ) -> list[BeadEventRow]:
        """List the log, newest first."""
        with self.ledger.reading() as connection:
            return queries.event_rows(connection, bead_id=bead_id, since_ms=since_ms, failures=failures, limit=limit)

    def failure_of(self, bead_id: str) -> FailureReason | None:
        """Return why a bead failed last."""
        with self.ledger.reading() as connection:
            return queries.failure_of(connection, bead_id)

    def causes_of(self, bead_id: str) -> list[tuple[str, FailureReason]]:
        """Return the failures that its `caused-by` links lead to."""
        with self.ledger.reading() as connection:
            return queries.causes_of(connection, bead_id)

    def summary_of(self, bead_id: str) -> str:
        """Return its failure in plain language."""
        with self.ledger.reading() as connection:
            return queries.summary_of(connection, bead_id)

    def audit(self) -> Audit:
        """Audit its reasons by the index of moves."""
        with self.ledger.reading() as connection:
            return queries.audit(connection, self.location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


class ForeignStore:
    """Another system's store, read line by line."""

    def __init__(self, source: BeadsSource) -> None:
        self.source = source

    @property
    def location(self) -> str:
        """Its path."""
        return self.source.location

    def beads(self, *, status: Collection[str] = (), bead_id: str | None = None, limit: int | None = None) -> list[BeadRow]:
        """List beads, the last changed first; one that only its log knows is made of that."""
        only = ({"status": status} if status else {}) | ({"bead_id": [bead_id]} if bead_id is not None else {})
        found = self.source.rows(BeadRow, only=only)
        if not found and bead_id is not None:
            log = self.events(bead_id=bead_id)
            state = next((event.new_status for event in log if event.new_status), "unknown")
            found = [BeadRow(bead_id, None, state, None, None, None, None, log[0].at, None, None, None, None, 0, None)] if log else []
        found.sort(key=lambda row: (row.updated_at or 0, row.bead_id), reverse=True)
        return found[:limit]

    def events(
        self, *, bead_id: str | None = None, since_ms: int | None = None, failures: bool = False, limit: int | None = None
    ) -> list[BeadEventRow]:
        """List the log, newest first."""
        found = self.source.rows(BeadEventRow, only={"bead_id": [bead_id]} if bead_id is not None else None, since_ms=since_ms)
        found = [row for row in found if not failures or row.reason_code or row.new_status == "failed"]
        found.sort(key=lambda row: (row.at or 0, row.seq), reverse=True)
        return found[:limit]

    def failure_of(self, bead_id: str) -> FailureReason | None:
        """Return why a bead failed last, as its log says; a store without reasons has none."""
        from smithers_nb.model.failure_reason import FailureReason

        for event in self.events(bead_id=bead_id):
            if event.new_status == "failed":
                message = event.reason or "No reason recorded"
                return FailureReason(code=event.reason_code or "unknown", message=message, source=event.reason_source or "import")
        return None

    def causes_of(self, bead_id: str) -> list[tuple[str, FailureReason]]:
        """Return none: other systems have no such links with a reason."""
        del bead_id
        return []

    def summary_of(self, bead_id: str) -> str:
        """Return none."""
        del bead_id
        return ""

    def audit(self) -> Audit:
        """Audit its reasons."""
        contents = self.source.contents()
        return audit(contents, self.source.problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
