"""The runs that live pages show, and the journal that people's decisions are written to, if there is one."""

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
from smithers_nb.workflows.live.changes import Mark, locations_of, mark_of

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source


@dataclass(frozen=True)
class ServedRuns:
    """The runs of a project or store.

    Attributes:
        location: Project and journal, which decisions are written to.
        source: Argument of `open_source`: a folder, a store's file or a URL.
    """

    location: Location
    source: str

    @classmethod
    def of(cls, location: Location) -> ServedRuns:
        """Return the runs of all stores of a project, or of its database alone if that is elsewhere."""
        is_usual = location.file is not None and location.file == Location.of(location.root).file
        return cls(location, str(location.root) if is_usual else location.url)

    @contextmanager
    def open(self) -> Iterator[Source]:
        """Open the stores for one reading.

        Raises:
            SourceError: There is no store, or it cannot be read.
        """
        source = open_source(self.source)
        try:
            yield source
        finally:
            source.close()

    @property
    def has_journal(self) -> bool:
        """Whether a journal exists; showing other runs must not create one."""
        return self.location.file is None or self.location.file.exists()

    def journal(self) -> Journal:
        """Open the journal."""
        return Journal.open(self.location)

    def pending(self, run_id: str | None = None) -> list[Pending]:
        """Return the requests in the journal that wait for a person."""
        return pending(self.location, run_id) if self.has_journal else []


class Marker:
    """Detects changes of the stores; cheap enough to be called several times a second."""

    def __init__(self, runs: ServedRuns) -> None:
        self._runs = runs
        self._stores: list[str] = []

    def __call__(self) -> Mark:
        """Return the current mark of the stores, including a journal that does not exist yet."""
        if not self._stores:
            with suppress(SmithersNbError, OSError), self._runs.open() as source:
                self._stores = locations_of(source)
        journal = self._runs.location.file
        return mark_of(dict.fromkeys([*self._stores, *([str(journal)] if journal else [])]))
