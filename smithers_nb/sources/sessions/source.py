"""Session logs of agent CLIs as a source of runs: each log is a run, each turn a node. Nothing is written.

Runs are listed from the two ends of each log, so the size does not matter; anything that needs the turns streams the whole log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow, TaskRow, TokenRow
from smithers_nb.sources.base import Only, R, fits
from smithers_nb.sources.file_source import FileSource, since
from smithers_nb.sources.sessions import rows as to
from smithers_nb.sources.sessions.records import NotASession, events_of, read_ends, read_session

if TYPE_CHECKING:
    from smithers_nb.sources.files import RunFile
    from smithers_nb.sources.sessions.session import Session

KIND: Final = "sessions"


class _Read(NamedTuple):
    """A session as read from its whole log or only its two ends."""

    file: RunFile
    session: Session
    is_whole: bool


class SessionSource(FileSource[_Read]):
    """A read-only view of session logs; their records are not kept."""

    kind = KIND
    nothing = "no session logs"
    meant = "a session log of Claude Code, Codex, Gemini CLI or OpenCode"

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, else those whose file name or session id does; sorted, at most `limit`."""
        names = [file.run_id for file in self.files.listed()]
        matches = [name for name in names if name.startswith(prefix)] or [name for name in names if _is_named(name, prefix)]
        return matches[:limit]

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        if row not in _TABLES:
            return []
        make, time = _TABLES[row]
        sessions = self._sessions(self._chosen(run_id, only), whole=row is not RunRow or run_id is not None)
        return since([made for file, session in sessions for made in make(self, file, session) if fits(made, only)], time, since_ms)

    def _sessions(self, files: Iterable[RunFile], *, whole: bool) -> Iterator[tuple[RunFile, Session]]:
        """Yield each log with its session, read from its two ends unless `whole`."""
        for file in files:
            known = self._known.get(file.run_id)
            if known is None or known.file != file or (whole and not known.is_whole):
                session = self._read(file, whole=whole)
                if session is None:
                    continue
                known = self._known[file.run_id] = _Read(file, session, whole)
            yield file, known.session

    def _read(self, file: RunFile, *, whole: bool) -> Session | None:
        try:
            return read_session(file.path) if whole else read_ends(file.path)
        except NotASession as error:
            self.problems.add(file.run_id, f"not a session log: {error}")
        except (OSError, EOFError) as error:
            self.problems.add(file.run_id, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None

    def _run(self, file: RunFile, session: Session) -> Iterator[RunRow]:
        yield to.run_row(file, session, self.location, self._names(session, file.run_id))

    def _names(self, session: Session, run_id: str) -> list[str]:
        """Return the run ids to search for the parent; empty if the session has none."""
        return [file.run_id for file in self.files.listed()] if session.about.parent or "/subagents/" in run_id else []

    def _events(self, file: RunFile, session: Session) -> Iterator[EventRow]:
        yield from to.event_rows(file, session, events_of(file.path))


_TABLES: Final[dict[type, tuple[Callable[[SessionSource, RunFile, Session], Iterator[Any]], str | None]]] = {
    RunRow: (SessionSource._run, "created_at"),  # noqa: SLF001  # the table belongs to the class
    NodeRow: (lambda _, file, session: to.node_rows(file, session), "updated_at"),
    AttemptRow: (lambda _, file, session: to.attempt_rows(file, session), "started_at"),
    EventRow: (SessionSource._events, "at"),  # noqa: SLF001
    TokenRow: (lambda _, file, session: to.token_rows(file, session), None),
    ApprovalRow: (lambda _, file, session: to.approval_rows(file, session), None),
    TaskRow: (lambda _, file, session: to.task_rows(file, session), None),
}
"""Per table: the function that makes its rows, and the column that `since_ms` filters. Other tables are empty."""


def _is_named(run_id: str, prefix: str) -> bool:
    name = run_id.rpartition("/")[2]
    return bool(prefix) and (name.startswith(prefix) or (name.startswith("rollout-") and f"-{prefix}" in name))
