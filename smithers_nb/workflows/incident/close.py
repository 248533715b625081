"""Closes an incident: regression test or operational cause, documentation, gate command, and a summary for the pull request.

An incident is not closed before it is fixed, and nothing is invented: answers that nobody gave (prevention, documentation) are listed as
missing, and the incident stays open until they are there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ControlRefused
from smithers_nb.model.finding import Finding
from smithers_nb.redact import redact
from smithers_nb.workflows.incident.narrative import timeline

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.archive import Archive
    from smithers_nb.workflows.incident.casefile import CaseFile
    from smithers_nb.workflows.incident.results import Classification
    from smithers_nb.workflows.incident.runner import Step

_SUMMARY: Final = "summary.md"
_PEOPLE: Final = re.compile(
    r"(?i)\b(?:forgot|careless(?:ly)?|blames?d?|(?:his|her|their|whose) fault|fault of|human error|negligen\w+)\b|@\w[\w-]+"
)


@dataclass(frozen=True)
class ClosingAnswers:
    """What only a person can say.

    Attributes:
        cause: Root cause; defaults to what the classification found.
        prevention: What prevents it from happening again.
        docs: Which documentation changed, or why none needs to.
        code_defect: The cause is a defect in code, so it gets a regression test.
        gate: Whether to run the gate command.
    """

    cause: str = ""
    prevention: str = ""
    docs: str = ""
    code_defect: bool = False
    gate: bool = True


class Closed(Finding):
    """How an incident was closed.

    Attributes:
        outcome: `closed`; `open`, something is missing; `gate-failed`.
        missing: What is missing.
        test: File of the regression test; empty for an operational cause.
        gate_exit: Exit code of the gate command; None when it was not run or was killed.
        notes: Wording that blames people instead of naming systems and conditions.
        markdown: The summary for the notes of a pull request.
    """

    summary: str
    outcome: Literal["closed", "open", "gate-failed"]
    run_id: str
    root_cause: str
    prevention: str
    file: str
    test: str = ""
    gate: str = ""
    gate_exit: int | None = None
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    markdown: str = ""


def close(case: CaseFile, found: Classification, told: ClosingAnswers) -> Closed:
    """Close an incident.

    Args:
        case: The run.
        found: What the failure was.
        told: What only a person can say.

    Raises:
        ControlRefused: `NOT_RESOLVED`, the failure has not been fixed.
        ArtifactsNotWritten: The captured directory could not be copied.
    """
    recovered = any(step.get("decision") == "recovered" for step in case.log.steps())
    if found.rule != "none" and not found.resolved and not recovered:
        hint = f"mend it first: smithers-nb incident recover {shlex.quote(str(case.run.root))}"
        raise ControlRefused(f"run {case.run_id} is not mended: {found.title}", code="NOT_RESOLVED", hint=hint)
    archive = case.snapshot()
    test = _write_test(case, found, archive) if told.code_defect else ""
    gate = case.runner().argv(case.profile.after.gate, step="gate") if told.gate and case.profile.after.gate else None
    cause = told.cause or _cause(found)
    missing = tuple(_missing(told, cause, case.profile.after.docs))
    outcome: Literal["closed", "open", "gate-failed"] = "gate-failed" if gate and not gate.passed else "open" if missing else "closed"
    said_of_gate = _gate(gate) if gate else "not run"
    lines = _markdown(case, found, replace(told, cause=cause), said_of_gate, test)
    text = redact("\n".join(lines), personal=True)
    file = case.folder / _SUMMARY
    write_whole(file, text.encode("utf-8", "replace"), private=True)
    case.log.append("close", decision=outcome, because=", ".join(missing) or cause)
    said = {
        "closed": f"Closed: {cause}.",
        "open": f"Still open: {' and '.join(missing)}.",
        "gate-failed": f"Still open: `{shlex.join(case.profile.after.gate)}` failed ({gate.because if gate else ''}).",
    }[outcome]
    return Closed(
        summary=f"{said} Summary: {file}",
        outcome=outcome,
        run_id=case.run_id,
        root_cause=cause,
        prevention=told.prevention,
        file=str(file),
        test=test,
        gate=shlex.join(gate.argv) if gate else "",
        gate_exit=gate.exit if gate else None,
        missing=missing,
        notes=tuple(_about_people(told)),
        markdown=text,
    )


def _cause(found: Classification) -> str:
    if found.rule == "none":
        return ""
    known = found.subcause if found.subcause and found.subcause != "unknown" else found.cause
    return f"{found.title}{f': {known}' if known else ''}"


def _missing(told: ClosingAnswers, cause: str, docs: tuple[str, ...]) -> Iterable[str]:
    if not cause:
        yield "the root cause is not given (--cause)"
    if not told.prevention:
        yield "the prevention is not given (--prevention)"
    if not told.docs:
        yield f"it is not given whether {' or '.join(docs) or 'the documentation'} changes (--docs)"


def _about_people(told: ClosingAnswers) -> Iterable[str]:
    for name, text in (("cause", told.cause), ("prevention", told.prevention)):
        if match := _PEOPLE.search(text):
            yield f"the {name} says {match.group()!r}: name the system and the condition that allowed it, not a person"


def _markdown(case: CaseFile, found: Classification, told: ClosingAnswers, gate: str, test: str) -> list[str]:
    """Return the lines of the summary for a pull request."""
    steps = [step for step in case.log.steps() if step.get("step") != "close"]
    done = [
        f"- {step['step'].removeprefix('recover:')}: {step.get('because')}" for step in steps if str(step.get("step")).startswith("recover")
    ]
    return [
        f"## Incident: {found.title} (run `{case.run_id}`)",
        "",
        f"**Root cause:** {told.cause or 'not given yet'}",
        f"**Kind:** {'defect in code' if told.code_defect else 'operational'}",
        f"**Prevention:** {told.prevention or 'not given yet'}",
        f"**Documentation:** {told.docs or 'not given yet'}",
        f"**Regression test:** {test or 'none: the cause is operational'}",
        f"**Gate:** {gate}",
        "",
        "### What happened",
        "",
        found.summary,
        *(f"- `{item.ref}` {item.quote}" for item in found.evidence),
        "",
        "### What fixed it",
        "",
        *(done or ["- no recovery was recorded here"]),
        "",
        timeline(case, ()).replace("# Timeline", "### Timeline", 1),
    ]


def _gate(gate: Step) -> str:
    return f"`{shlex.join(gate.argv)}` {'passed' if gate.passed else 'failed'} ({gate.because}, {gate.duration or 0:g} s)"


def _write_test(case: CaseFile, found: Classification, archive: Archive) -> str:
    """Write a test that replays the captured directory; it fails until the command passes on it."""
    name = re.sub(r"\W+", "_", case.run_id).strip("_")
    file = case.folder / f"test_incident_{name}.py"
    argv = found.failing or next((command.argv for command in reversed(case.commands()) if command.failed), ())
    failed = next((command for command in reversed(case.commands()) if command.argv == argv), None)
    env = {key: value for key, value in (failed.env if failed else {}).items() if key in case.profile.program.env}
    env.pop(case.profile.program.base_dir_env, None)
    values = {
        "title": found.title,
        "run_id": case.run_id,
        "captured": str(case.before),
        "sha256": archive.sha256,
        "argv": list(argv),
        "env": env,
        "base": case.profile.program.base_dir_env,
        "error": found.evidence[0].quote if found.evidence else "",
    }
    write_whole(file, _TEST.format(**{key: ascii(value) for key, value in values.items()}).encode(), private=True)
    return str(file)


_TEST: Final = '''"""Replays the run directory of an incident. Copy it with its capture into the test suite, and make it pass."""

import hashlib
import json
import os
import pathlib
import subprocess
import tarfile

TITLE = {title}
RUN_ID = {run_id}
CAPTURED = pathlib.Path({captured})
SHA256 = {sha256}
ARGV = {argv}
ENV = {env}
BASE = {base}
ERROR = {error}


def test_the_command_of_the_incident_passes(tmp_path):
    """The command that failed passes on the captured run."""
    assert hashlib.sha256(CAPTURED.read_bytes()).hexdigest() == SHA256
    run = tmp_path / "runs" / RUN_ID
    run.mkdir(parents=True)
    times = {{item["path"]: item["mtimeNs"] for item in json.loads(CAPTURED.with_suffix(".json").read_text())["files"]}}
    with tarfile.open(CAPTURED) as tar:
        for member in tar:
            tar.extract(member, run, filter="data")
            os.utime(run / member.name, ns=(times[member.name], times[member.name]))
    env = {{**os.environ, **ENV, **({{BASE: str(run.parent)}} if BASE else {{}})}}
    done = subprocess.run(ARGV, env=env, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{{TITLE}}: {{done.stderr[-2000:] or done.stdout[-2000:]}}"
'''
