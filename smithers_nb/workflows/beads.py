"""Work items as the command line and notebooks look at them, the same for our own ledger and for another system's store."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol, Self

from smithers_nb.diagnosis.beads.audit import audit
from smithers_nb.errors import ParameterError
from smithers_nb.model.beads import BeadEventRow, BeadRow
from smithers_nb.sources.beads.files import without_collector
from smithers_nb.sources.beads.source import BeadsSource

if TYPE_CHECKING:
    from smithers_nb.diagnosis.beads.audit import Audit
    from smithers_nb.model.failure_reason import FailureReason
    from smithers_nb.present.html.markup import Card


def open_beads(source: str | None = None) -> BeadStore:
    """Open a store of work items.

    Args:
        source: `beads:PATH` for another system's; else the project or database of a ledger. None is the current folder's.

    Raises:
        SourceNotFound: There is none.
    """
    if source is not None and source.startswith("beads:"):
        return ForeignStore(BeadsSource.of_url(source))
    from smithers_nb.workflows.ledger_store import LedgerStore, open_ledger  # with a database, which other stores do without

    return LedgerStore(open_ledger(source))


def show_bead(store: BeadStore, bead_id: str | None = None) -> Card:
    """Show one bead: why it failed, with its logs, and all that happened to it.

    Args:
        store: Where it is.
        bead_id: The bead; None for the one that failed last.

    Raises:
        ParameterError: There is no such bead.
    """
    from smithers_nb.present.html.bead_cards import bead_card
    from smithers_nb.present.html.parts import empty

    if bead_id is None:
        failed = store.events(failures=True, limit=1)
        if not failed:
            return empty("nothing-recorded", "failures")
        bead_id = failed[0].bead_id
    bead = found_bead(store, bead_id)
    why = store.failure_of(bead_id)
    events = list(reversed(store.events(bead_id=bead_id)))
    texts = store.texts_of(why) if why else {}
    return bead_card(bead, why, events, summary=store.summary_of(bead_id), causes=store.causes_of(bead_id), texts=texts)


def found_bead(store: BeadStore, bead_id: str) -> BeadRow:
    """Return a bead.

    Raises:
        ParameterError: There is no such bead.
    """
    found = store.beads(bead_id=bead_id)
    if not found:
        raise ParameterError(f"no bead {bead_id!r} in {store.location}", hint="list them with `smithers-nb beads list`")
    return found[0]


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

    def texts_of(self, reason: FailureReason) -> dict[str, str]:
        """Return the logs and long outputs that a reason names by reference, by the name of the detail."""
        ...

    def audit(self) -> Audit:
        """Audit its reasons."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


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

    def texts_of(self, reason: FailureReason) -> dict[str, str]:
        """Return none: what a foreign reason refers to lies elsewhere."""
        del reason
        return {}

    def audit(self) -> Audit:
        """Audit its reasons."""
        with without_collector():
            return audit(self.source.contents(), self.source.problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
