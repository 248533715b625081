"""Work without a pipeline: one ticket, landed on the integration branch like any other, verified by the repository's own checks.

A model proposes no command here, because no gate would show it: the checks are what the person named, or what the repository's own files
say. Without any there is no evidence, and the work is not called delivered.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from smithers_nb.workflows.smithering.building.build import build_here
from smithers_nb.workflows.smithering.ending import write_page
from smithers_nb.workflows.smithering.landing.evidence import build_folder
from smithers_nb.workflows.smithering.landing.git import git
from smithers_nb.workflows.smithering.planning.routing import checks_of
from smithers_nb.workflows.smithering.results.delivery import FinalReport
from smithers_nb.workflows.smithering.results.spec import DirectResult, Route, Setup
from smithers_nb.workflows.smithering.tickets import Ticket, Verification
from smithers_nb.workflows.smithering.work import Work, step

TICKET: Final = "direct"
_ATTEMPTS: Final = {"trivial": 2, "complex": 4}


@step
def direct(work: Work) -> FinalReport | None:
    """Do trivial or complex work, and report; None when the request is a full build."""
    tier = work.row("tier", Route).tier
    if tier == "full-build":
        return None
    result = work.kept(f"direct:{tier}", DirectResult, partial(_done, work, _ATTEMPTS[tier]))
    work.rows["direct"] = result
    ended = FinalReport(
        status="delivered" if result.passed else "incomplete", summary=result.summary, artifact_path=str(work.folder / "report.html")
    )
    work.ended = work.kept("report:direct", FinalReport, partial(write_page, work, ended, "report:direct"))
    return work.ended


def _done(work: Work, attempts: int) -> DirectResult:
    asked = work.row("setup", Setup)
    commands = [work.parameters.checks] if work.parameters.checks else checks_of(work.repo)
    if not commands:
        said = "nothing was done: no command can tell whether it worked; name one with checks"
        return DirectResult(summary=said)
    ticket = Ticket(
        id=TICKET,
        title=" ".join(asked.prompt.split())[:200],
        instructions=asked.prompt,
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
