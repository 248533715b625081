"""`demo`: the whole walk on a store that comes with the package."""

from __future__ import annotations

from smithers_nb.cli.investigate.autopsy import artifacts_option, notebook_progress, print_record
from smithers_nb.cli.options import CommandContext, command
from smithers_nb.cli.output import note
from smithers_nb.project import connect
from smithers_nb.resources import EXAMPLE_RUN, example_store

_WORKFLOW = "order-sync.tsx"


@command("demo", artifacts_option, example="smithers-nb demo", store=False)
def demo(ask: CommandContext, artifacts: str) -> None:
    """Autopsy a failed run of the bundled example store.

    The store was written by Smithers: sixty runs of five workflows. It is unpacked into your cache folder, where every other command
    can look at it.
    """
    store = example_store()
    with connect(store) as project, notebook_progress() as progress:
        record = project.run(EXAMPLE_RUN).write_autopsy(artifacts, workflow_path=store.parent / "workflows" / _WORKFLOW, progress=progress)
    note(f"More to look at: smithers-nb ps --source {store}")
    print_record(record, ask)
