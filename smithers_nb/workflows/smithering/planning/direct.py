"""Work without a pipeline: one ticket, verified by the repository's own checks and landed on the integration branch like any other.

The checks come from the person or from the repository's own files, never from a model, because no gate would show its commands. Without
checks there is no evidence, so the work is not called delivered.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from smithers_nb.workflows.smithering.building.build import build_here
from smithers_nb.workflows.smithering.landing.evidence import build_folder
from smithers_nb.workflows.smithering.landing.git import git
from smithers_nb.workflows.smithering.planning.routing import checks_of
from smithers_nb.workflows.smithering.results.spec import DirectResult, Route, Setup
from smithers_nb.workflows.smithering.tickets import Ticket, Verification
from smithers_nb.workflows.smithering.work import Work, step

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.results.delivery import FinalReport

TICKET: Final = "direct"
_ATTEMPTS: Final = {"trivial": 2, "complex": 4}


@step
def direct(work: Work) -> FinalReport | None:
    """Do trivial or complex work and return the final report; None when the request is a full build."""
    tier = work.row("tier", Route).tier
    if tier == "full-build":
        return None
    result = work.stage(f"direct:{tier}", DirectResult, partial(_build, work, _ATTEMPTS[tier]))
    work.rows["direct"] = result
    work.end("report:direct", result.summary, "delivered" if result.passed else "incomplete")
    return work.ended


def _build(work: Work, attempts: int) -> DirectResult:
    prompt = work.row("setup", Setup).prompt
    commands = [work.parameters.checks] if work.parameters.checks else checks_of(work.repo)
    if not commands:
        return DirectResult(summary="nothing was done: no command can tell whether it worked; name one with checks")
    ticket = Ticket(
        id=TICKET,
        title=" ".join(prompt.split())[:200],
        instructions=prompt,
        verification=tuple(Verification(kind="command", details=command) for command in commands),
    )
    result = build_here(work, [ticket], attempts=attempts)
    passed = TICKET in result.landed
    return DirectResult(
        summary=f"done and verified on {result.branch}" if passed else f"not done: {result.failed.get(TICKET, '')}",
        files_changed=tuple(git(work.repo, "diff", "--name-only", result.base, result.tip).splitlines()),
        verification_evidence=tuple(f"`{command}` on {result.tip[:12]}" for command in commands) if passed else (),
        artifact_path=str(build_folder(work.artifacts, work.run_id) / TICKET),
        passed=passed,
        branch=result.branch,
        commit=result.tip if passed else "",
    )
