"""One more build of a request whose tickets have not all landed, once somebody has mended what was in their way.

What has landed stays, and so does every decision up to the launch; the build goes on with the rest, and the run from there to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smithers_nb.engine.control import resume, retry_task, rewind, rewind_plan
from smithers_nb.engine.control.run_state import resolved
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.records import Node, read_output
from smithers_nb.errors import ControlRefused
from smithers_nb.workflows.smithering.launch.child import retry_child
from smithers_nb.workflows.smithering.launch.implementation import BUILD
from smithers_nb.workflows.smithering.results.launch import BuildSummary
from smithers_nb.workflows.smithering.results.spec import DirectResult, Preflight, Route
from smithers_nb.workflows.smithering.workforce.budget import Budget

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location


def build_again(location: Location, run_id: str, *, agent_calls: int = 0, here: bool = True) -> str:
    """Build once more what has not landed, and ask for the run's next execution.

    Args:
        location: Where the journal is.
        run_id: The request; a unique beginning is enough.
        agent_calls: How many calls of agents the run may make from now on, those that it has made included; 0 leaves that as it was.
        here: The caller executes the run itself; otherwise a worker does.

    Returns:
        The run's id.

    Raises:
        RunNotFound: There is no such run.
        NodeNotFound: It is no request, or has not come to its build.
        ControlRefused: `RUN_NOT_RESUMABLE`, every ticket has landed; or the run, or its build, is being executed.
    """
    found = resolved(location, run_id)
    with Journal.open(location) as journal, journal.reading() as connection:
        said = {name: read_output(connection, Node(found, name)) for name in ("tier", "preflight", "build:result")}
        tier = Route.read(said["tier"]).tier if said["tier"] else "full-build"
        direct = read_output(connection, Node(found, f"direct:{tier}"))
    is_complete = BuildSummary.read(said["build:result"]).complete if said["build:result"] else False
    if is_complete or (direct and DirectResult.read(direct).passed):
        raise ControlRefused(
            f"everything in run {found} has landed", code="RUN_NOT_RESUMABLE", hint=f"smithers-nb inspect {found} shows it"
        )
    if tier == "full-build":
        rewind_plan(location, found, "launch")  # refuses before more calls are allowed
    if agent_calls and said["preflight"]:
        Budget(agent_calls, Path(Preflight.read(said["preflight"]).artifacts)).allow(agent_calls)
    if tier != "full-build":
        retry_task(location, found, f"direct:{tier}", force=True, here=here)
        return found
    rewind(location, found, "launch")
    retry_child(location, f"impl-{found}", BUILD)
    resume(location, found, here=here)
    return found
