"""`demo`: the whole walk on a store that comes with the package."""

from __future__ import annotations

import gzip
from pathlib import Path

from smithers_nb.cli.autopsy import artifacts_option, notebook_progress, print_record
from smithers_nb.cli.options import Asked, command
from smithers_nb.cli.output import note
from smithers_nb.project import connect
from smithers_nb.resources import resource

_STORE = "templates/example/smithers.db.gz"
_RUN, _WORKFLOW = "order-sync-013", "templates/example/workflows/order-sync.tsx"


@command("demo", artifacts_option, example="smithers-nb demo", store=False)
def demo(ask: Asked, artifacts: Path) -> None:
    """Autopsy a failed run of the bundled example store.

    The store was written by Smithers: sixty runs of five workflows. It is unpacked into the artifacts folder, where every other
    command can look at it.
    """
    store = artifacts / "example" / "smithers.db"
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_bytes(gzip.decompress(resource(_STORE).read_bytes()))
    with connect(store) as project, notebook_progress() as progress:
        record = project.run(_RUN).write_autopsy(artifacts, workflow_path=resource(_WORKFLOW), progress=progress)
    note(f"More to look at: smithers-nb ps --source {store}")
    print_record(record, ask)
