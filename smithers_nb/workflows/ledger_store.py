"""Our own ledger as a store of work items, read by its indexes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Self

from smithers_nb.engine.location import Location
from smithers_nb.errors import SourceNotFound
from smithers_nb.ledger import Ledger, queries

if TYPE_CHECKING:
    from smithers_nb.diagnosis.beads.audit import Audit
    from smithers_nb.model.beads import BeadEventRow, BeadRow
    from smithers_nb.model.failure_reason import FailureReason
    from smithers_nb.present.html.markup import Card

_LATELY: Final = 20
_CONVOYS: Final = 10


def open_ledger(source: str | None = None, *, make: bool = False) -> Ledger:
    """Open the ledger of a project or of a shared database.

    Raises:
        SourceNotFound: There is none, and none is to be made.
    """
    location = Location.of(source)
    if not make and location.file is not None and not location.file.is_file():
        raise SourceNotFound(
            f"there is no ledger at {location.shown}",
            searched=(location.shown,),
            hint="name a store of work items with --source beads:PATH, or import one: `smithers-nb beads import PATH`",
        )
    return Ledger.open(location)


def work_items(store: LedgerStore) -> Card | None:
    """Show a ledger at a glance: the bead that failed last, how far convoys are, and what happened lately; None for an empty one.

    Args:
        store: The ledger.
    """
    from smithers_nb.ledger.convoys import listed
    from smithers_nb.present.html.bead_cards import activity_card, convoys_card
    from smithers_nb.present.html.cards import stack
    from smithers_nb.workflows.beads import show_bead

    lately = store.events(limit=_LATELY)
    if not lately:
        return None
    with store.ledger.reading() as connection:
        convoys = listed(connection)[:_CONVOYS]
    failed = next((event.bead_id for event in store.events(failures=True, limit=1)), None)
    cards = [show_bead(store, failed)] if failed is not None and store.beads(status=["failed"], bead_id=failed) else []
    return stack(*cards, *([convoys_card(convoys)] if convoys else []), activity_card(lately))


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

    def texts_of(self, reason: FailureReason) -> dict[str, str]:
        """Return the texts that the ledger keeps for a reason."""
        from smithers_nb.ledger.agents import text_of

        with self.ledger.reading() as connection:
            found = {name: text_of(connection, str(ref)) for name, ref in reason.details.items() if name.endswith("_ref")}
        return {name: text for name, text in found.items() if text is not None}

    def audit(self) -> Audit:
        """Audit its reasons by the index of moves."""
        with self.ledger.reading() as connection:
            return queries.audit(connection, self.location)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
