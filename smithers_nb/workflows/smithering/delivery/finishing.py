"""From a built branch to its delivery: reviews, polish, proof, report, `gate:delivery`, and the row that remains.

Nothing is pushed and no pull request is opened before `gate:delivery`, and then only if it was asked for. Nothing is ever landed on the
base branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from smithers_nb.present.html.text import one_line
from smithers_nb.workflows.smithering.building.build import build_here
from smithers_nb.workflows.smithering.delivery.hand_over import hand_over
from smithers_nb.workflows.smithering.delivery.proof import Proof, prove
from smithers_nb.workflows.smithering.delivery.report import write_bundle, write_report
from smithers_nb.workflows.smithering.delivery.reviewing import reviews, synthesis
from smithers_nb.workflows.smithering.landing.git import commit_of, git
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees
from smithers_nb.workflows.smithering.launch.orchestration import planned
from smithers_nb.workflows.smithering.results.delivery import Delivery, FinalReport, Polish, ReviewSynthesis, SmitheringRow
from smithers_nb.workflows.smithering.results.launch import BuildSummary, Launch
from smithers_nb.workflows.smithering.results.plan import Backpressure
from smithers_nb.workflows.smithering.results.spec import DirectResult, Prd, Route
from smithers_nb.workflows.smithering.tickets import Ticket, Verification
from smithers_nb.workflows.smithering.work import Work, step

_ROUNDS: Final = 2
_WHY: Final = 300


@step
def review(work: Work) -> ReviewSynthesis:
    """Have the integration branch reviewed by different families, and put their answers together."""
    built = work.row("build:result", BuildSummary)
    with _checkout(work, built.tip, "review") as folder:
        about: dict[str, object] = {"base": built.base, "tip": built.tip, "landed": built.landed, "failed": built.failed}
        found = reviews(work, folder, about)
    return work.stage("review:synthesis", ReviewSynthesis, lambda: synthesis(found))


@step
def polish(work: Work) -> Polish | None:
    """Have what must be fixed fixed, as one more ticket that lands like any other; at most two rounds."""
    found = work.row("review:synthesis", ReviewSynthesis)
    if not found.must_fix:
        return None
    return work.stage("polish", Polish, partial(_polished, work, found))


@step
def deliver(work: Work) -> FinalReport:
    """Prove what was built, write the report, wait at `gate:delivery`, and hand over the branch."""
    proof = work.stage("report:gather", Proof, partial(_proved, work))
    path = work.folder / "report.html"
    built = work.row("build:result", BuildSummary)
    left_out = {name: one_line(why, _WHY) for name, why in built.failed.items()}
    if proof.blocking:
        because = (*(f"{name} did not land: {why}" for name, why in left_out.items()), *proof.blocking)
        return _final(
            work, FinalReport(status="incomplete", summary=f"not delivered: {'; '.join(because)}", artifact_path=str(path)), proof
        )
    write_report(work, proof, path)
    given = work.parameters
    then = f"pushed to {given.push}" if given.push else "not pushed anywhere"
    fixed, said = work.rows.get("polish"), work.row("review:synthesis", ReviewSynthesis)
    details = {
        "report": str(path),
        "to be judged by you": "; ".join(proof.open_points),
        "reviews": f"{said.summary}{f'; polish: {fixed.summary}' if isinstance(fixed, Polish) else ''}",
        "branch": f"{built.branch} at {proof.commit[:12]}",
        "then": f"{then}{', with a pull request' if given.push and given.pull_request else ''}; {given.base_branch} stays as it is",
        "left out": "; ".join(f"{name}: {why}" for name, why in left_out.items()),
    }
    if not work.gate("gate:delivery", "Hand this over?", proof.summary, details):
        denied = f"the delivery was denied at gate:delivery; the work is on {built.branch}"
        return _final(work, FinalReport(status="incomplete", summary=denied, artifact_path=str(path)), proof)
    delivery = work.stage("delivery", Delivery, partial(hand_over, work, built.branch))
    done = FinalReport(
        status="delivered" if delivery.as_asked and not built.failed else "incomplete",
        summary=f"{delivery.summary}; {proof.summary}",
        artifact_path=str(path),
    )
    return _final(work, done, proof)


def output(work: Work) -> SmitheringRow:
    """Write the stable output row."""
    return work.stage("output", SmitheringRow, partial(_row, work))


def _final(work: Work, row: FinalReport, proof: Proof) -> FinalReport:
    def written() -> FinalReport:
        write_report(work, proof, Path(row.artifact_path), row)
        return replace(row, bundle_path=write_bundle(work, Path(row.artifact_path)))

    work.ended = work.stage("report:final", FinalReport, written)
    return work.ended


def _proved(work: Work) -> Proof:
    built = work.row("build:result", BuildSummary)
    tip = commit_of(work.repo, f"refs/heads/{built.branch}") or built.tip
    with _checkout(work, tip, "proof") as folder:
        return prove(
            work.row("prd", Prd),
            work.row("backpressure", Backpressure),
            planned(work).tickets,
            landed=built.landed,
            checkout=folder,
            commit=tip,
            folder=work.folder / "proof",
            artifacts=work.artifacts,
            run_id=work.run_id,
            timeout_s=work.parameters.command_timeout_minutes * 60,
        )


def _polished(work: Work, found: ReviewSynthesis) -> Polish:
    """Build one more ticket whose commands are those of everything that has landed."""
    built = work.row("build:result", BuildSummary)
    tickets = [ticket for ticket in planned(work).tickets if ticket.id in built.landed]
    commands = {command: criterion for ticket in tickets for criterion, command in ticket.commands()}
    wanted = "\n".join(f"- {issue.severity}: {issue.title}. {issue.description} {issue.file}" for issue in found.must_fix)
    fix = Ticket(
        id="polish",
        title="Fix what the reviews found",
        instructions=f"Fix these issues of the review, and break nothing:\n{wanted}",
        verification=tuple(Verification(kind="command", details=command, criterion_id=name) for command, name in commands.items()),
        depends_on=tuple(ticket.id for ticket in tickets),
    )
    result = build_here(work, [*tickets, fix], attempts=_ROUNDS)
    passed = "polish" in result.landed
    rounds = next((state.attempt for state in result.tickets if state.ticket_id == "polish"), 0)
    said = f"{len(found.must_fix)} issues were fixed" if passed else f"the issues were not fixed: {result.failed.get('polish', '')}"
    return Polish(passed=passed, summary=said, rounds=rounds, commits=(result.landed["polish"],) if passed else ())


@contextmanager
def _checkout(work: Work, commit: str, name: str) -> Iterator[Path]:
    """Show a commit in a folder of its own, which is removed afterwards."""
    trees = Worktrees(work.repo, work.run_id, work.parameters.base_branch)
    trees.prepare()
    folder = trees.checkout(name)
    trees.show(folder, commit)
    try:
        yield folder
    finally:
        trees.close_checkouts()


def _row(work: Work) -> SmitheringRow:
    ended = work.ended
    assert ended is not None
    tier, built, direct = work.rows.get("tier"), work.rows.get("build:result"), work.rows.get("direct")
    branch, delivery = "", work.rows.get("delivery")
    files: tuple[str, ...] = ()
    if isinstance(built, BuildSummary):
        branch = built.branch
        tip = commit_of(work.repo, f"refs/heads/{branch}") or built.tip
        files = tuple(git(work.repo, "diff", "--name-only", built.base, tip).splitlines()) if built.base else ()
    elif isinstance(direct, DirectResult):
        branch, files = direct.branch, direct.files_changed
    found, launched = work.rows.get("review:synthesis"), work.rows.get("launch")
    return SmitheringRow(
        route=tier.tier if isinstance(tier, Route) else None,
        status=ended.status,
        summary=ended.summary,
        report_path=ended.artifact_path or None,
        branch=branch or None,
        pr_url=delivery.pr_url if isinstance(delivery, Delivery) else None,
        files_changed=files,
        ticket_count=len(built.landed) + len(built.failed) if isinstance(built, BuildSummary) else 0,
        must_fix_count=len(found.must_fix) if isinstance(found, ReviewSynthesis) else 0,
        impl_run_id=launched.child_run_id if isinstance(launched, Launch) else None,
    )
