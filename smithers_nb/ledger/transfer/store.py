"""One way in for every store: an export of a ledger comes back as it was, anything else is read as another system's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smithers_nb.ledger.transfer.foreign import ForeignImport
from smithers_nb.ledger.transfer.own import import_export, is_export
from smithers_nb.sources.base import Problems
from smithers_nb.sources.beads.files import files_of, without_collector

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.ledger.store import Ledger
    from smithers_nb.ledger.transfer.written import Imported


def import_store(ledger: Ledger, where: Path) -> Imported:
    """Import a store of another system, or an export of a ledger, in one transaction.

    Args:
        ledger: Where it goes.
        where: A file or a folder, as `beads:PATH` takes.

    Raises:
        SourceError: It cannot be read.
    """
    paths = files_of(where)
    problems = Problems()
    with without_collector(), ledger.writing() as connection:
        if is_export(paths[0]):
            return import_export(connection, paths[0], problems)
        return ForeignImport(connection, where, problems).run(paths)
