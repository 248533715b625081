"""Child runs: a notebook submitted to the engine under an id of its own and executed by a process of its own.

A child never waits for a free slot of a worker that its parent may be holding. Its process is like any foreground run's: when it dies, a
worker or the next poll takes the run over. As a program (`python -m smithers_nb.workflows.smithering.launch.child RUN`) this is that
process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.engine.journal.records import QUEUED
from smithers_nb.errors import ControlRefused
from smithers_nb.model.vocabulary import TERMINAL_STATUSES

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

_POLL_S: Final = 0.25
_MAX_POLL_S: Final = 2.0
_GRACE_S: Final = 30.0


class ChildState(NamedTuple):
    """How a child run stands.

    Attributes:
        status: Its status; `missing` when there is no such run.
        executed: A live process has it, or is about to.
        error: Why it failed, in words.
    """

    status: str
    executed: bool
    error: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it does nothing more by itself."""
        return self.status in TERMINAL_STATUSES

    @property
    def waits(self) -> bool:
        """Whether somebody has to decide or do something before it goes on."""
        return self.status == "paused" or (self.status.startswith("waiting-") and self.status != QUEUED)

    @property
    def is_stale(self) -> bool:
        """Whether it ought to go on and has no process."""
        return not (self.is_over or self.executed or self.waits)


def launch(  # noqa: PLR0913  # all but three are options by name
    location: Location, notebook: Path, parameters: dict[str, Any], *, run_id: str, parent: str, hours: float
) -> str:
    """Submit a child and start its process; a child that is there already is not submitted again.

    Returns:
        What was done, in words.

    Raises:
        ParameterError: The notebook or a parameter is wrong.
        JournalUnusable: The journal cannot be written.
    """
    from smithers_nb.engine.control import submit

    seconds = hours * 3_600
    try:
        submit(
            location,
            notebook,
            parameters,
            run_id=run_id,
            post_failure=False,
            parent_run_id=parent,
            cell_timeout_s=seconds,
            total_timeout_s=seconds,
            cwd=location.root,
        )
    except ControlRefused as error:
        if error.code != "RUN_EXISTS":
            raise
        return f"{run_id} was there already{_revive(location, run_id)}"
    _start(location, run_id)
    return f"{run_id} was started"


def state_of(location: Location, run_id: str) -> ChildState:
    """Look at a child."""
    import sqlalchemy as sa

    from smithers_nb.engine.control.run_state import is_executed, is_taken, run_row
    from smithers_nb.engine.journal import Journal
    from smithers_nb.sources.stores.json_text import as_object

    with Journal.open(location) as journal, journal.reading() as connection:
        try:
            row = run_row(connection, run_id)
        except sa.exc.NoResultFound:
            return ChildState("missing", executed=False)
        executed = is_executed(connection, row) or is_taken(connection, run_id)
    error = as_object(row.error_json).get("message") if row.error_json else ""
    return ChildState(row.status, executed, str(error or ""))


def resume_child(location: Location, run_id: str) -> str:
    """Give a child that has no process a new one; one that has, or is finished, is left alone by that process."""
    _start(location, run_id, "--resume")
    return f"{run_id} was resumed"


def retry_child(location: Location, run_id: str, node_id: str) -> str:
    """Try a task of a child again, in a new process.

    Raises:
        ControlRefused: The child is executed, waits, or was edited.
    """
    from smithers_nb.engine.control import retry_task

    retry_task(location, run_id, node_id, here=True)
    _start(location, run_id)
    return f"{node_id} of {run_id} is tried again"


def tries_of(location: Location, run_id: str, state: str) -> dict[str, int]:
    """Return the tasks of a child that are in a state, and how often each was tried; its cells are none."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.records import Node, attempts_of
    from smithers_nb.engine.journal.schema import nodes

    query = sa.select(nodes.c.node_id, nodes.c.iteration).where(nodes.c.run_id == run_id, nodes.c.state == state)
    with Journal.open(location) as journal, journal.reading() as connection:
        tries = {row.node_id: attempts_of(connection, Node(run_id, *row)) for row in connection.execute(query.order_by(nodes.c.node_id))}
    return {name: len(made) for name, made in tries.items() if made and made[-1].meta.get("kind") == "stage"}


def wait_until(location: Location, run_id: str, seconds: float) -> ChildState:
    """Wait until a child is over, waits for somebody, or has lost its process for longer than a moment; at most for some seconds."""
    deadline, pause = time.monotonic() + seconds, _POLL_S
    alive = time.monotonic()
    while True:
        state = state_of(location, run_id)
        if state.is_over or state.waits or time.monotonic() >= deadline:
            return state
        if state.executed:
            alive = time.monotonic()
        elif time.monotonic() - alive > _GRACE_S:
            return state
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _MAX_POLL_S)


def _revive(location: Location, run_id: str) -> str:
    """Start a child's process if whoever launched it died before that."""
    state = state_of(location, run_id)
    if state.is_over or state.executed:
        return ""
    _start(location, run_id)
    return " and was started"


def _start(location: Location, run_id: str, *options: str) -> None:
    from smithers_nb.engine.stages.context import JOURNAL, OWNER, ROOT, RUN

    log = location.folder / "logs" / "children.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    ours = {name: value for name, value in os.environ.items() if name not in (RUN, OWNER)}
    with log.open("ab") as stream:
        process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", __name__, run_id, *options],
            cwd=location.root,
            env={**ours, ROOT: str(location.root), JOURNAL: location.url},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, name=f"process of {run_id}", daemon=True).start()  # so that its end is taken note of


def main() -> None:
    """Execute one run of the project that the environment names."""
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.stages.context import JOURNAL, ROOT
    from smithers_nb.engine.workers.foreground import run_here

    location = Location(Path(os.environ.pop(ROOT)), os.environ.pop(JOURNAL))
    if "--resume" in sys.argv[2:]:
        from smithers_nb.engine.control import resume

        if not resume(location, sys.argv[1], here=True).continues:
            return
    run_here(location, sys.argv[1])


if __name__ == "__main__":
    main()
