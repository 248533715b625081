"""Copies the executed notebook of a durable run to its artifact store, before the run's end is recorded.

So the notebook of an ended run is always there, and a process that dies between the two steps copies it again. A failure to copy never
changes how a run ends: it becomes an event of the run and a line in the log of the process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.engine.artifacts import store
from smithers_nb.engine.journal.records import append_event
from smithers_nb.errors import SmithersNbError

if TYPE_CHECKING:
    from smithers_nb.engine.journal import Journal

WRITTEN: Final = "ArtifactWritten"
NOT_WRITTEN: Final = "ArtifactNotWritten"

_log: Final = logging.getLogger("smithers_nb")


def artifacts_of(config: Mapping[str, Any]) -> str | None:
    """Return the artifact folder or URL of a run, as an absolute one; None when it has none.

    Args:
        config: `config_json` of the run.
    """
    where = config.get("artifacts")
    if not isinstance(where, str) or not where:
        return None
    return where if store.is_url(where) else str(Path(config.get("cwd") or config.get("rootDir") or ".") / where)


class Delivery(NamedTuple):
    """A notebook and where to put it.

    Attributes:
        artifacts: The result of `artifacts_of`.
        kind: Name of the workflow.
        notebook: The file.
    """

    artifacts: str
    kind: str
    notebook: Path


def deliver(journal: Journal, run_id: str, owner: str, what: Delivery) -> str | None:
    """Put an executed notebook at `ARTIFACTS/KIND/RUN.ipynb`.

    Args:
        journal: The journal of the run.
        run_id: The run.
        owner: Owner id of the execution's lease; without the lease nothing is written.
        what: The notebook, and where to put it.

    Returns:
        Its path or URL; None when it could not be written.

    Raises:
        LeaseLost: Another process executes the run now.
        JournalUnusable: The journal cannot be written.
    """
    with journal.writing(run_id, owner):
        pass  # an execution that was taken over must not replace a newer notebook
    try:
        content = what.notebook.read_bytes()
        where = store.put(what.artifacts, what.kind, run_id, what.notebook.suffix, content)
    except (SmithersNbError, OSError) as error:
        location = store.address(what.artifacts, what.kind, run_id, what.notebook.suffix)
        _log.warning("run %s: its notebook stays at %s: %s", run_id, what.notebook, error)
        with journal.writing(run_id, owner) as connection:
            append_event(connection, run_id, NOT_WRITTEN, {"artifact": location, "error": str(error), "kept": str(what.notebook)})
        return None
    with journal.writing(run_id, owner) as connection:
        append_event(connection, run_id, WRITTEN, {"artifact": where, "bytes": len(content)})
    return where
