"""Texts about an incident: the report that opens a bundle, and the timeline.

They name systems and conditions, never people: who typed a command is left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from smithers_nb.model.timestamps import when
from smithers_nb.present.html.text import one_line
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.bundle import BundledFile
    from smithers_nb.workflows.incident.casefile import CaseFile
    from smithers_nb.workflows.incident.results import Classification

_NS_PER_MS = 1_000_000


def escalation_report(case: CaseFile, found: Classification, files: Sequence[BundledFile]) -> str:
    """Return the report that opens a bundle, in Markdown: the five items of the runbook first."""
    failed = next((command for command in reversed(case.commands()) if command.failed), None)
    env = failed.env if failed else case.runner().shown(case.runner().environment())
    provider = found.provider
    error = found.evidence[0].quote if found.evidence else "none was recorded"
    lines = [
        f"# Escalation of run {case.run_id}",
        "",
        found.summary,
        "",
        f"1. **Command run:** {_code(shlex.join(found.failing or (failed.argv if failed else ()))) or 'none was recorded'}"
        + (f", exit code {found.exit}" if found.exit is not None else ""),
        f"2. **Run ID:** {_code(case.run_id)}",
        "3. **Provider mode and environment:** "
        + (
            f"configured {provider.configured or 'nothing'}, answered by {provider.effective or 'an unrecorded provider'}"
            if provider
            else "none"
        ),
        *(f"   - {_code(f'{name}={value}')}" for name, value in sorted(env.items())),
        f"4. **Exact error:** {_code(error)}",
        "5. **Artifacts:**",
        *(f"   - {_code(file.path)} {when(file.mtime_ns // _NS_PER_MS)}, {file.size:,} bytes" for file in files if file.role),
        "",
        "## Why it was escalated",
        "",
        *(f"- {item.id} {item.title}: {one_line(item.because, 400)}" for item in found.escalation),
        *([] if found.escalation else ["- No condition of the runbook is met; it was escalated by hand."]),
        "",
        "## Classification",
        "",
        f"- signature {found.signature or 'none'}, subcause {found.subcause or 'none'}",
        f"- rule {_code(found.rule)}, confidence {found.confidence}",
        *(f"- {_code(item.ref)} {_code(item.quote)}" for item in found.evidence),
        *(f"- note: {one_line(problem, 400)}" for problem in found.problems),
    ]
    return redact("\n".join(lines) + "\n")


def timeline(case: CaseFile, files: Sequence[BundledFile]) -> str:
    """Return the timeline in Markdown: recorded commands, steps taken here, files changed; all times UTC."""
    rows = sorted(
        [*_happened(case), *((when(file.mtime_ns // _NS_PER_MS), f"{one_line(file.path)} was written") for file in files if file.role)]
    )
    return redact("\n".join(["# Timeline (UTC)", "", *(f"- {at or 'time not recorded'}: {what}" for at, what in rows)]) + "\n")


def _happened(case: CaseFile) -> Iterable[tuple[str, str]]:
    for command in case.earlier:
        yield _moment(command.at), f"{_code(shlex.join(command.argv))} ended with exit code {command.exit}"
    for step in case.log.steps():
        if step.get("step") != "escalate":
            said = f"{one_line(step.get('decision'))}, {one_line(step.get('because'), 300)}"
            yield _moment(str(step.get("at", ""))), f"{one_line(step.get('step'))}: {said}"


def _moment(text: str) -> str:
    from smithers_nb.model.timestamps import epoch_ms

    return when(epoch_ms(text)) or one_line(text, 40)


def _code(text: str) -> str:
    """Format a text as inline code in Markdown; backticks in it are replaced so that they cannot end the code."""
    clean = one_line(redact(text), 600).replace("`", "'")
    return f"`{clean}`" if clean else ""
