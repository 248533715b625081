"""Session logs of agent CLIs as a source of runs: each log is a run, each turn a node. Nothing is written.

Runs are listed from the two ends of each log, which takes the same time for any size; whatever needs the turns reads the log as a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from smithers_nb import frames
from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow, TaskRow, TokenRow
from smithers_nb.sources.base import Only, Problems, R, fits
from smithers_nb.sources.sessions import rows as to
from smithers_nb.sources.sessions.records import NotASession, events_of, read_ends, read_session

if TYPE_CHECKING:
    import pandas as pd

    from smithers_nb.sources.notebooks.files import NotebookFile
    from smithers_nb.sources.sessions.files import SessionFiles
    from smithers_nb.sources.sessions.fold import Session

KIND: Final = "sessions"


class SessionSource:
    """A read-only view of session logs; see `sources.base.Source`.

    A log is read when its run is asked for, and again once its time or its size has changed; its records are not kept.
    """

    kind: str = KIND
    version: str = ""

    def __init__(self, files: SessionFiles) -> None:
        self.files = files
        self.location = files.location
        self.problems = Problems()
        self._known: dict[str, tuple[NotebookFile, Session, bool]] = {}

    def checked(self) -> SessionSource:
        """Return itself, unless there is nothing, or one file only that is no session.

        Raises:
            SourceNotFound: No log is there.
            SourceUnreadable: The only file is no session log; the message says what it is.
        """
        listed = self.files.listed()
        if not listed:
            raise SourceNotFound(f"no session logs in {self.location}", searched=(self.location,), hint="name a log, a folder or a pattern")
        if len(listed) == 1 and not list(self._sessions(listed, whole=False)):
            raise SourceUnreadable(
                f"{self.location}: {self.problems[-1].what}", hint="name a session log of Claude Code, Codex or Gemini CLI"
            )
        return self

    def run_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """List run ids that start with a prefix, or whose file's name or session id does, sorted, at most `limit`."""
        names = [file.run_id for file in self.files.listed()]
        found = [name for name in names if name.startswith(prefix)]
        found = found or [name for name in names if _is_named(name, prefix)]
        return found[:limit]

    def rows(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> list[R]:
        """Read one table as typed rows, in the order of its key."""
        if row not in _GRAINS:
            return []
        make, time = _GRAINS[row]
        listed = self.files.listed() if run_id is None else self._file(run_id)
        named = (only or {}).get("run_id")
        wanted = [file for file in listed if named is None or file.run_id in named]
        whole = row is not RunRow or run_id is not None
        found = [one for file, session in self._sessions(wanted, whole=whole) for one in make(self, file, session) if fits(one, only)]
        return [one for one in found if since_ms is None or time is None or (getattr(one, time) or 0) >= since_ms]

    def frame(self, row: type[R], run_id: str | None = None, *, only: Only | None = None, since_ms: int | None = None) -> pd.DataFrame:
        """Read the same as `rows` as a frame with the dtypes of the table's contract."""
        return frames.frame_from_rows(row, self.rows(row, run_id, only=only, since_ms=since_ms))

    def close(self) -> None:
        """Let go of what is kept of the logs."""
        self._known.clear()

    def _file(self, run_id: str) -> list[NotebookFile]:
        """Find one log; of one that was read before only its time and size are looked at again."""
        if run_id in self._known:
            found = self.files.again(self._known[run_id][0])
            return [found] if found else []
        return [file for file in self.files.listed() if file.run_id == run_id]

    def _sessions(self, files: Iterable[NotebookFile], *, whole: bool) -> Iterator[tuple[NotebookFile, Session]]:
        """Yield each log with what it says, read from its two ends unless the whole of it is wanted."""
        for file in files:
            known = self._known.get(file.run_id)
            if known is None or known[0] != file or (whole and not known[2]):
                session = self._read(file, whole=whole)
                if session is None:
                    continue
                known = self._known[file.run_id] = (file, session, whole)
            yield file, known[1]

    def _read(self, file: NotebookFile, *, whole: bool) -> Session | None:
        try:
            return read_session(file.path) if whole else read_ends(file.path)
        except NotASession as error:
            self.problems.add(file.run_id, f"not a session log: {error}")
        except (OSError, EOFError) as error:
            self.problems.add(file.run_id, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None

    def _run(self, file: NotebookFile, session: Session) -> Iterator[RunRow]:
        yield to.run_row(file, session, self.location, self._names(session, file.run_id))

    def _names(self, session: Session, run_id: str) -> list[str]:
        """List the runs among which that of a parent may be; mostly none has to be looked for."""
        return [file.run_id for file in self.files.listed()] if session.about.parent or "/subagents/" in run_id else []

    def _events(self, file: NotebookFile, session: Session) -> Iterator[EventRow]:
        yield from to.event_rows(file, session, events_of(file.path))


_GRAINS: Final[dict[type, tuple[Callable[[SessionSource, NotebookFile, Session], Iterator[Any]], str | None]]] = {
    RunRow: (SessionSource._run, "created_at"),  # noqa: SLF001  # the table belongs to the class
    NodeRow: (lambda _, file, session: to.node_rows(file, session), "updated_at"),
    AttemptRow: (lambda _, file, session: to.attempt_rows(file, session), "started_at"),
    EventRow: (SessionSource._events, "at"),  # noqa: SLF001
    TokenRow: (lambda _, file, session: to.token_rows(file, session), None),
    ApprovalRow: (lambda _, file, session: to.approval_rows(file, session), None),
    TaskRow: (lambda _, file, session: to.task_rows(file, session), None),
}
"""Table to what makes its rows, and the column that `since_ms` is compared with; a log has nothing for the other tables."""


def _is_named(run_id: str, prefix: str) -> bool:
    name = run_id.rpartition("/")[2]
    return bool(prefix) and (name.startswith(prefix) or (name.startswith("rollout-") and f"-{prefix}" in name))
