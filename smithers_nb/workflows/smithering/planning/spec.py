"""From a sentence to an approved spec: setup, tier, preflight, intake, brainstorm, research, questions, PRD."""

from __future__ import annotations

from dataclasses import replace
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

_MAX_PROMPTS: Final = 5
_QUESTION: Final = "What should be built or changed, in which repository, and how would you know that it is done?"


def setup(work: Work) -> Setup:
    """Record what was asked for; with an empty prompt a person is asked first.

    Raises:
        Parked: The question has not been answered yet.
        SmitheringError: The answer was empty five times.
    """
    hide_ours(work.repo)  # before we write anything, so that our files never count as changes of the project
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
    return work.stage("setup", Setup, lambda: row)


def tier(work: Work) -> Route:
    """Decide how much process the request gets, with the reasons; a forced route is taken as it is."""
    asked = work.row("setup", Setup)
    if asked.route != "auto":
        forced = Route(tier=asked.route, reasoning=(f"route {asked.route} was asked for",), summary=f"{asked.route}: forced")
        return work.stage("tier", Route, lambda: forced)
    route = work.stage("route", Route, lambda: classify(asked.prompt, work.repo))
    return work.stage("tier", Route, lambda: route)


@step
def preflight(work: Work) -> Preflight | None:
    """Check that the repository is fit for the work; otherwise the run ends with all the reasons."""
    result = work.stage("preflight", Preflight, lambda: _check_repository(work))
    if not result.ok:
        work.end("cancelled:preflight", "; ".join(result.problems))
    return result


@step
def intake(work: Work) -> Intake:
    """State the request as a problem."""
    return work.ask("intake", Intake, artifact="intake.json")


@step
def brainstorm(work: Work) -> Brainstorm:
    """Collect ways to solve it."""
    return work.ask("brainstorm", Brainstorm, "intake", artifact="brainstorm.json")


def research(work: Work, *topics: str, after: tuple[str, ...] = ("intake", "brainstorm")) -> list[Research]:
    """Research several topics in parallel, each in a stage `research:TOPIC`."""
    if work.ended is not None:
        return []

    def look(topic: str) -> Research:
        def written(row: Research) -> Research:
            lines = [f"# {topic}", "", row.summary, "", *(f"- {each}" for each in row.findings), "", *(f"- {each}" for each in row.sources)]
            return replace(row, topic=topic, artifact_path=work.write(f"research/{topic}.md", "\n".join(lines) + "\n"))

        return work.ask(f"research:{topic}", Research, *after, then=written)

    return together([partial(look, topic) for topic in topics])


@step
def questions(work: Work) -> HumanAnswers:
    """Ask the questions that block the product: a person answers, or the recommended answers are taken when `review` is off.

    Raises:
        Parked: The questions have not been answered yet.
    """
    about = ("intake", "brainstorm", "research:domain", "research:prior-art")
    asked = work.ask("questions", Questions, *about, check=_check_questions)
    replies: dict[str, str] = {}
    automatic = not work.parameters.review
    if asked.questions and not automatic:
        lines = [f"{each.id}: {each.question} (recommended: {each.recommended_answer}) {each.why_it_matters}" for each in asked.questions]
        prompt = "Answer by id, as JSON; a question you leave out gets the recommended answer.\n" + "\n".join(lines)
        replies = api.ask("answers:interview", redact(prompt), dict[str, str])
    answers = tuple(Answer(id=each.id, answer=replies.get(each.id) or each.recommended_answer) for each in asked.questions)
    more = "; ".join(f"{key}: {value}" for key, value in replies.items() if key not in {each.id for each in asked.questions})
    row = HumanAnswers(answers=answers, additional_context=redact(more), auto_answered=automatic)
    return work.stage("answers", HumanAnswers, lambda: row)


@step
def prd(work: Work) -> Prd:
    """Write the spec and wait at `gate:prd`."""
    about = ("intake", "brainstorm", "research:domain", "research:prior-art", "questions", "answers")
    spec = work.ask("prd", Prd, *about, check=_check_prd, then=lambda row: _write_prd(work, row))
    listed = {need.id: f"{need.title}: {'; '.join(need.acceptance_criteria)}" for need in spec.requirements}
    details = {"spec": spec.artifact_path, **listed, "non-goals": "; ".join(spec.non_goals)}
    if not work.gate("gate:prd", "Is this what should be built?", spec.summary, details):
        work.end("cancelled:prd", "the spec was denied at gate:prd")
    return spec


def _interview() -> str:
    """Ask what is wanted until the answer is not empty."""
    for number in range(_MAX_PROMPTS):
        answer: str = api.ask("setup:interview", _QUESTION, str, iteration=number)
        if answer.strip():
            return answer.strip()
    raise SmitheringError("no request was given", hint='start it with a request: smithers-nb smithering "…"')


def _check_repository(work: Work) -> Preflight:
    base = work.parameters.base_branch
    problems = problems_of(work.repo, base)
    work.folder.mkdir(parents=True, exist_ok=True)
    return Preflight(
        ok=not problems,
        problems=tuple(f"{each.message} ({each.code}): {each.hint}" for each in problems),
        base_commit="" if problems else commit_of(work.repo, f"refs/heads/{base}") or "",
        artifacts=str(work.folder),
    )


def _check_questions(row: Questions) -> None:
    ids = [each.id for each in row.questions]
    if len(set(ids)) < len(ids):
        raise ValueError("two questions have the same id")


def _check_prd(row: Prd) -> None:
    ids = [need.id for need in row.requirements]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError("requirements: give at least one, each with a different id")
    open_ended = [need.id for need in row.requirements if not need.acceptance_criteria]
    if open_ended:
        raise ValueError(f"requirements without acceptance criteria: {', '.join(open_ended)}")


def _write_prd(work: Work, row: Prd) -> Prd:
    listed = [
        line
        for need in row.requirements
        for line in (f"## {need.id} {need.title}", "", *(f"- {i}: {text}" for i, text in need.criteria), "")
    ]
    text = "\n".join(
        [row.document or f"# Spec\n\n{row.summary}", "", *listed, "## Non-goals", "", *(f"- {each}" for each in row.non_goals)]
    )
    work.write_json("prd.json", row.as_json())
    return replace(row, artifact_path=work.write("prd.md", text + "\n"))
