"""The executed notebook of a durable run, brought to where its artifacts go, before the run's end is written.

So whoever sees a run ended finds its notebook there, and a process that dies between the two brings it again. What goes wrong with that
never changes how a run ends: it is an event of the run and a line in the log of the process.
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
    """Return the folder or URL that a run was told to write to, as an absolute one; None when it was told none.

    Args:
        config: `config_json` of the run.
    """
    where = config.get("artifacts")
    if not isinstance(where, str) or not where:
        return None
    return where if store.is_url(where) else str(Path(config.get("cwd") or config.get("rootDir") or ".") / where)


class Delivery(NamedTuple):
    """What is brought where.

    Attributes:
        artifacts: What `artifacts_of` gives.
        kind: Name of the workflow.
        notebook: The file.
    """

    artifacts: str
    kind: str
    notebook: Path


def deliver(journal: Journal, run_id: str, owner: str, what: Delivery) -> str | None:
    """Put an executed notebook at `ARTIFACTS/KIND/RUN.ipynb`.

    Args:
        journal: Where the run is.
        run_id: The run.
        owner: Lease of the execution; one that has lost it brings nothing.
        what: The notebook, and where it goes.

    Returns:
        Its path or URL; None when it could not be written.

    Raises:
        LeaseLost: Another process executes the run now.
        JournalUnusable: The journal cannot be written.
    """
    with journal.writing(run_id, owner):
        pass  # an execution that was taken over must not put its notebook in place of a newer one
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
