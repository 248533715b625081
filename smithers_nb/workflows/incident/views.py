"""Cards for an incident: the flow chart with the path taken, and what was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.present.html.cards import banner
from smithers_nb.present.html.markup import Card, Html, h, join
from smithers_nb.present.html.text import one_line
from smithers_nb.workflows.incident.profile import load_profile

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.profile_parts import Flow, FlowStep
    from smithers_nb.workflows.incident.recover import Plan, Recovered
    from smithers_nb.workflows.incident.results import Classification
    from smithers_nb.workflows.incident.staleness import Staleness
    from smithers_nb.workflows.incident.triage import Taken, Triage

_WIDTH: Final = 640
_BOX: Final = (20, 210, 30)
_SIDE: Final = (270, 360)
_ROW: Final = 56
_LETTERS: Final = 34


def classification_card(found: Classification) -> Card:
    """Show what the failure is, the evidence, and what to do."""
    state = "finished" if found.resolved else found.state
    facts = {
        "signature": found.signature or "",
        "subcause": found.subcause or "",
        "rule": found.rule,
        "confidence": found.confidence,
        "escalate": "; ".join(f"{item.id} {item.because}" for item in found.escalation),
    }
    head = banner(found.title, found.summary, state=state, facts=facts)
    rows = [f"{item.ref}  {item.quote}" for item in found.evidence]
    listed = h("ul", *(h("li", row) for row in rows), class_="snb snb-evidence") if rows else None
    return Card(join([head.html, listed]), "\n".join([head.text, *(f"  {one_line(row, 300)}" for row in rows)]))


def triage_card(found: Triage) -> Card:
    """Show the classification and the flow chart with the path taken."""
    chart = flow_chart(load_profile(found.profile_file or found.profile), found.path)
    said = classification_card(found.classification)
    return Card(join([said.html, chart.html]), f"{said.text}\n{chart.text}")


def plan_card(plan: Plan) -> Card:
    """List the steps of a planned recovery; those that are not needed say why."""
    rows = [f"{step.title}{f': {step.shows}' if step.shows else ''}" for step in plan.steps if step.needed]
    rows += [f"not needed: {step.title} ({step.because})" for step in plan.steps if not step.needed]
    if plan.signature is None:
        return _listed("Nothing to fix", "No failure of the runbook was found.", "finished", [])
    return _listed(f"Recovery of {plan.signature}", plan.summary, "pending", [*rows, *_stale(plan.staleness)])


def recovered_card(done: Recovered) -> Card:
    """Show the result of a recovery, step by step."""
    state = {"recovered": "finished", "waiting": "waiting-approval"}.get(done.outcome, "failed")
    rows = [f"{step.id}: {step.outcome}, {step.because}" for step in done.steps]
    return _listed("Recovery", done.summary, state, [*rows, *_stale(done.staleness)])


def _stale(staleness: Staleness | None) -> list[str]:
    return [f"staleness: {staleness.verdict}, {staleness.because}"] if staleness else []


def _listed(title: str, summary: str, state: str, rows: list[str]) -> Card:
    head = banner(title, summary, state=state)
    listed = h("ol", *(h("li", row) for row in rows), class_="snb") if rows else None
    return Card(join([head.html, listed]), "\n".join([head.text, *(f"  {one_line(row, 300)}" for row in rows)]))


def flow_chart(profile: Profile, path: tuple[Taken, ...] = ()) -> Card:
    """Draw the triage flow of a profile; steps that were run stand out, with how often and how they ended."""
    flow = profile.flow
    taken = {step.verb: [item for item in path if item.verb == step.verb] for step in flow.steps}
    passed = bool(path) and path[-1].passed and path[-1].verb == flow.steps[-1].verb
    rows = [(flow.start, "busy" if path else "quiet"), *((step.verb, _tone(taken[step.verb])) for step in flow.steps)]
    rows.append((flow.end, "good" if passed else "quiet"))
    height = _ROW * len(rows) + 10
    drawn = h(
        "svg",
        h("title", f"Triage of {profile.title}"),
        h("desc", _in_words(flow, path)),
        join(_box(label, tone, i) for i, (label, tone) in enumerate(rows)),
        join(_way_back(step, taken[step.verb], i) for i, step in enumerate(flow.steps, 1) if step.question),
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_label=f"Triage of {profile.title}. {_in_words(flow, path)}",
        class_="snb-svg",
    )
    return Card(h("div", drawn, class_="snb"), _in_words(flow, path))


def _tone(taken: list[Taken]) -> str:
    return "quiet" if not taken else "good" if taken[-1].passed else "bad"


def _box(label: str, tone: str, row: int) -> Html:
    x, width, tall = _BOX
    y, middle = 6 + row * _ROW, str(x + width // 2)
    arrow = h("path", d=f"M{middle} {y - _ROW + tall} V{y - 2}", class_="snb-flow-line") if row else None
    mark = {"good": "✔ ", "bad": "✖ "}.get(tone, "")
    return join(
        [
            arrow,
            h("rect", x=str(x), y=str(y), width=str(width), height=str(tall), rx="4", class_=f"snb-flow-box snb-{tone}"),
            h("text", f"{mark}{one_line(label, _LETTERS)}", x=middle, y=str(y + 20), text_anchor="middle"),
        ]
    )


def _way_back(step: FlowStep, taken: list[Taken], row: int) -> Html:
    """Draw the loop after a step that can fail: the question, what to look at, the fix, and back to the step."""
    left, width = _SIDE
    y = 6 + row * _ROW
    tone = "bad" if any(not item.passed for item in taken) else "quiet"
    edge = str(_BOX[0] + _BOX[1])
    failed = sum(not item.passed for item in taken)
    then = " → ".join(filter(None, (step.look_at, step.fix, f"{step.verb} again")))
    asked = f"{step.question}? " + (f"no, {failed} {'time' if failed == 1 else 'times'}" if failed else "no")
    return join(
        [
            h("path", d=f"M{edge} {y + 10} H{left}", class_="snb-flow-line"),
            h("rect", x=str(left), y=str(y - 6), width=str(width), height="44", rx="4", class_=f"snb-flow-box snb-{tone}"),
            h("text", one_line(asked, 80), x=str(left + 10), y=str(y + 12)),
            h("text", one_line(then, 80), x=str(left + 10), y=str(y + 28), class_="snb-svg-muted"),
            h("path", d=f"M{left} {y + 24} H{edge}", class_="snb-flow-line snb-flow-back"),
        ]
    )


def _in_words(flow: Flow, path: tuple[Taken, ...]) -> str:
    if not path:
        return " → ".join([flow.start, *(step.verb for step in flow.steps), flow.end])
    return " → ".join([flow.start, *_words(path), *([flow.end] if path[-1].passed else [])])


def _words(path: tuple[Taken, ...]) -> Iterator[str]:
    for step in path:
        yield f"{step.verb} {'passed' if step.passed else f'failed ({step.because})'}"
