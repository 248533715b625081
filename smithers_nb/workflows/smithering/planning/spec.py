"""From a sentence to a spec that somebody approved: setup, tier, preflight, intake, brainstorm, research, questions, PRD."""

from __future__ import annotations

from functools import partial
from typing import Final

from smithers_nb.errors import SmitheringError
from smithers_nb.redact import redact
from smithers_nb.workflows.notebook import api
from smithers_nb.workflows.smithering.landing.git import commit_of
from smithers_nb.workflows.smithering.landing.git import preflight as problems_of
from smithers_nb.workflows.smithering.landing.worktrees import hide_ours
from smithers_nb.workflows.smithering.planning.routing import classify
from smithers_nb.workflows.smithering.results.spec import (
    Answer,
    Brainstorm,
    HumanAnswers,
    Intake,
    Prd,
    Preflight,
    Questions,
    Research,
    Route,
    Setup,
)
from smithers_nb.workflows.smithering.work import Work, step, together

_ASKED: Final = 5
_WANTED: Final = "What should be built or changed, in which repository, and how would you know that it is done?"


def setup(work: Work) -> Setup:
    """Settle what was asked for; with an empty prompt a person is asked first.

    Raises:
        Parked: Nobody has answered yet.
        SmitheringError: The answer was empty five times.
    """
    hide_ours(work.repo)  # what we write into the project is no change of it, from the beginning
    given = work.parameters
    prompt = given.prompt.strip() or _interview()
    row = Setup(
        prompt=redact(prompt),
        repo=str(work.repo),
        route=given.route,
        review=given.review,
        poc=given.poc,
        smoke_test=given.smoke_test,
        base_branch=given.base_branch,
        max_monitor_hours=given.max_monitor_hours,
        started_by=given.started_by or work.decider,
        on_behalf_of=given.on_behalf_of,
    )
    return work.kept("setup", Setup, lambda: row)


def tier(work: Work) -> Route:
    """Decide how much process the request deserves, with the reasons; a forced route is no decision."""
    asked = work.row("setup", Setup)
    if asked.route != "auto":
        forced = Route(tier=asked.route, reasoning=(f"route {asked.route} was asked for",), summary=f"{asked.route}: forced")
        return work.kept("tier", Route, lambda: forced)
    found = work.kept("route", Route, lambda: classify(asked.prompt, work.repo))
    return work.kept("tier", Route, lambda: found)


@step
def preflight(work: Work) -> Preflight | None:
    """Check that the repository can be built in; one that cannot ends the run with every reason."""
    found = work.kept("preflight", Preflight, lambda: _checked(work))
    if not found.ok:
        work.cancel("cancelled:preflight", "; ".join(found.problems))
    return found


@step
def intake(work: Work) -> Intake:
    """Frame the request as a problem."""
    return work.asked("intake", Intake, artifact="intake.json")


@step
def brainstorm(work: Work) -> Brainstorm:
    """Widen the solution space."""
    return work.asked("brainstorm", Brainstorm, "intake", artifact="brainstorm.json")


def research(work: Work, *topics: str, after: tuple[str, ...] = ("intake", "brainstorm")) -> list[Research]:
    """Look at several subjects at once, each a stage `research:SUBJECT`."""
    if work.ended is not None:
        return []

    def look(topic: str) -> Research:
        def written(row: Research) -> Research:
            lines = [f"# {topic}", "", row.summary, "", *(f"- {each}" for each in row.findings), "", *(f"- {each}" for each in row.sources)]
            path = work.write(f"research/{topic}.md", "\n".join(lines) + "\n")
            return Research(topic=topic, summary=row.summary, findings=row.findings, sources=row.sources, artifact_path=path)

        return work.asked(f"research:{topic}", Research, *after, then=written)

    return together([partial(look, topic) for topic in topics])


@step
def questions(work: Work) -> HumanAnswers:
    """List what blocks the product and have it answered: by a person, or with what is recommended when `review` is off.

    Raises:
        Parked: Nobody has answered yet.
    """
    about = ("intake", "brainstorm", "research:domain", "research:prior-art")
    asked = work.asked("questions", Questions, *about, check=_check_questions)
    given: dict[str, str] = {}
    automatic = not work.parameters.review
    if asked.questions and not automatic:
        lines = [f"{each.id}: {each.question} (recommended: {each.recommended_answer}) {each.why_it_matters}" for each in asked.questions]
        prompt = "Answer by id, as JSON; what you leave out is answered as recommended.\n" + "\n".join(lines)
        given = api.ask("answers:interview", redact(prompt), dict[str, str])
    answers = tuple(Answer(id=each.id, answer=given.get(each.id) or each.recommended_answer) for each in asked.questions)
    more = "; ".join(f"{key}: {value}" for key, value in given.items() if key not in {each.id for each in asked.questions})
    row = HumanAnswers(answers=answers, additional_context=redact(more), auto_answered=automatic)
    return work.kept("answers", HumanAnswers, lambda: row)


@step
def prd(work: Work) -> Prd:
    """Write the spec and wait at `gate:prd`."""
    about = ("intake", "brainstorm", "research:domain", "research:prior-art", "questions", "answers")
    spec = work.asked("prd", Prd, *about, check=_check_prd, then=lambda row: _written(work, row))
    listed = {need.id: f"{need.title}: {'; '.join(need.acceptance_criteria)}" for need in spec.requirements}
    details = {"spec": spec.artifact_path, **listed, "no goals": "; ".join(spec.non_goals)}
    if not work.gate("gate:prd", "Is this what should be built?", spec.summary, details):
        work.cancel("cancelled:prd", "the spec was denied at gate:prd")
    return spec


def _interview() -> str:
    """Ask what is wanted until something is said."""
    for number in range(_ASKED):
        said: str = api.ask("setup:interview", _WANTED, str, iteration=number)
        if said.strip():
            return said.strip()
    raise SmitheringError("nobody said what is wanted", hint='start it with a request: smithers-nb smithering "…"')


def _checked(work: Work) -> Preflight:
    base = work.parameters.base_branch
    found = problems_of(work.repo, base)
    work.folder.mkdir(parents=True, exist_ok=True)
    return Preflight(
        ok=not found,
        problems=tuple(f"{each.message} ({each.code}): {each.hint}" for each in found),
        base_commit="" if found else commit_of(work.repo, f"refs/heads/{base}") or "",
        artifacts=str(work.folder),
    )


def _check_questions(row: Questions) -> None:
    ids = [each.id for each in row.questions]
    if len(set(ids)) < len(ids):
        raise ValueError("two questions have the same id")


def _check_prd(row: Prd) -> None:
    ids = [need.id for need in row.requirements]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError("requirements: give at least one, each with an id of its own")
    bare = [need.id for need in row.requirements if not need.acceptance_criteria]
    if bare:
        raise ValueError(f"requirements without acceptance criteria: {', '.join(bare)}")


def _written(work: Work, row: Prd) -> Prd:
    listed = [
        line
        for need in row.requirements
        for line in (f"## {need.id} {need.title}", "", *(f"- {i}: {text}" for i, text in need.criteria), "")
    ]
    text = "\n".join([row.document or f"# Spec\n\n{row.summary}", "", *listed, "## No goals", "", *(f"- {each}" for each in row.non_goals)])
    work.write_json("prd.json", row.as_json())
    return Prd(**{**vars(row), "artifact_path": work.write("prd.md", text + "\n")})
