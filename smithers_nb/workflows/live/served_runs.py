"""What live pages are about: a place with runs, and the journal in which people decide, if it has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smithers_nb.engine.control.decisions import Pending, pending
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.errors import SmithersNbError
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.live.changes import Mark, mark_of, places_of

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source


@dataclass(frozen=True)
class ServedRuns:
    """A place that holds runs.

    Attributes:
        location: Project and journal; a decision is written there.
        source: What `open_source` takes: a folder, a store's file, a URL.
    """

    location: Location
    source: str

    @classmethod
    def of(cls, location: Location) -> ServedRuns:
        """Return the runs of a project with everything in it, or of a database alone when that lies elsewhere."""
        is_usual = location.file is not None and location.file == Location.of(location.root).file
        return cls(location, str(location.root) if is_usual else location.url)

    @contextmanager
    def open(self) -> Iterator[Source]:
        """Open its stores for one look.

        Raises:
            SourceError: There is none, or it cannot be read.
        """
        source = open_source(self.source)
        try:
            yield source
        finally:
            source.close()

    @property
    def has_journal(self) -> bool:
        """Whether it has a journal; looking at other runs must not begin one."""
        return self.location.file is None or self.location.file.exists()

    def journal(self) -> Journal:
        """Open its journal."""
        return Journal.open(self.location)

    def pending(self, run_id: str | None = None) -> list[Pending]:
        """List what waits for a person in its journal."""
        return pending(self.location, run_id) if self.has_journal else []


class Marker:
    """Tells whether the stores may have changed; cheap enough to be called several times a second."""

    def __init__(self, runs: ServedRuns) -> None:
        self._runs = runs
        self._stores: list[str] = []

    def __call__(self) -> Mark:
        """Describe their files as they are now, also of a store that is not there yet."""
        if not self._stores:
            with suppress(SmithersNbError, OSError), self._runs.open() as source:
                self._stores = places_of(source)
        journal = self._runs.location.file
        return mark_of(dict.fromkeys([*self._stores, *([str(journal)] if journal else [])]))
