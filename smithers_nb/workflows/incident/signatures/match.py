"""Matches one failure against the rules of a profile, layer by layer: typed error, traceback, plain line, validator report, files.

The first layer that finds something ends the search. So a typed error that no rule knows is `unclassified` whatever the files say, because
an old report proves nothing about this failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.redact import short_line
from smithers_nb.workflows.incident.results import Evidence
from smithers_nb.workflows.incident.signatures.failure_text import ReportLine, clean_lines, last_traceback, report_lines, typed_error
from smithers_nb.workflows.incident.signatures.run_state import dig

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.profile_parts import Confidence, Layer, Rule
    from smithers_nb.workflows.incident.signatures.failure_text import Traceback, TypedError
    from smithers_nb.workflows.incident.signatures.run_state import RunState

UNCLASSIFIED: Final = "unclassified"
NOTHING: Final = "none"

_MAX_QUOTE: Final = 400
_MAX_QUOTES: Final = 12
_UNREADABLE: Final = frozenset({"invalid-json", "not-an-object"})


@dataclass(frozen=True)
class Match:
    """How a failure was classified.

    Attributes:
        rule: Id of the rule; `unclassified` when none fits, `none` when nothing failed.
        signature: Letter of the runbook; None when it matches none.
        matched: The rule itself; None without one, and when the report or the stage decided.
        lines: The validator's error lines.
    """

    rule: str
    signature: str | None = None
    confidence: Confidence = "high"
    evidence: tuple[Evidence, ...] = ()
    lines: tuple[ReportLine, ...] = ()
    matched: Rule | None = None


class _Stream(NamedTuple):
    name: str
    lines: list[str]


def match_command(command: CommandRecord, state: RunState) -> Match:
    """Classify the failure of a command by its output or, where that says nothing, by the files it left."""
    profile = state.profile
    prefix = f"command:{command.n}/" if command.argv else ""
    names = ("stderr", "stdout") if command.argv else ("stderr", "stdin")
    streams = [_Stream(f"{prefix}{name}", clean_lines(text)) for name, text in zip(names, (command.stderr, command.stdout), strict=True)]
    fits = [rule for rule in profile.rules if _is_about(rule, command, profile)]
    return _match_error(streams, fits, state) or _match_text(streams, fits, command, state) or _match_files(streams, fits, state)


def _match_error(streams: list[_Stream], fits: list[Rule], state: RunState) -> Match | None:
    for stream in streams:
        if typed := typed_error(stream.lines, state.profile.errors):
            return _typed(typed, stream, _layer(fits, "typed"))
    for stream in streams:
        if trace := last_traceback(stream.lines):
            return _traceback(trace, stream, _layer(fits, "traceback")) or _unreadable_file(fits, state) or _unknown(stream, trace.line)
    return None


def _match_text(streams: list[_Stream], fits: list[Rule], command: CommandRecord, state: RunState) -> Match | None:
    for stream in streams:
        if found := _plain(stream, _layer(fits, "message")):
            return found
    profile = state.profile
    if command.argv and profile.verb_of(command.argv) not in profile.report.verbs:
        return None
    reports = ((stream, report_lines(stream.lines, profile.report)) for stream in streams)
    return next((_report(lines, stream.name, profile) for stream, lines in reports if lines), None)


def _match_files(streams: list[_Stream], fits: list[Rule], state: RunState) -> Match:
    if found := match_state(state, _layer(fits, "state")):
        return found
    last = next((stream for stream in streams if any(line.strip() for line in stream.lines)), None)
    return _unknown(last, _last_line(last)) if last else Match(UNCLASSIFIED, confidence="low")


def match_state(state: RunState, rules: Sequence[Rule] | None = None) -> Match | None:
    """Match the files of a run; None when no rule fits.

    Args:
        state: The run.
        rules: Rules of the layer `state`; all of the profile's by default.
    """
    for rule in _layer(state.profile.rules, "state") if rules is None else rules:
        evidence = _state_evidence(rule, state)
        if evidence is None:
            continue
        lines = _file_report(state) if rule.report else ()
        return _match_of(rule, (*evidence, *_quotes(lines, f"file:{_report_path(state.profile)}")), lines)
    return None


def match_fallback(state: RunState) -> Match | None:
    """State that the run fell back to an earlier stage; None when it did not."""
    fall, stages = state.fallback, state.profile.stages
    if fall is None:
        return None
    where = {"history": f"file:{state.profile.path(stages.file)}", "printed": "command output", "files": "modification times"}[fall.seen_in]
    quote = f"{fall.before} → {fall.after}" + (f" at {fall.at}" if fall.at else "")
    confidence: Confidence = "medium" if fall.seen_in == "files" else "high"
    return Match(f"stage.{fall.seen_in}", stages.signature or None, confidence, (Evidence(ref=where, quote=quote),))


def _layer(rules: Sequence[Rule], layer: Layer) -> list[Rule]:
    return [rule for rule in rules if rule.layer == layer]


def _is_about(rule: Rule, command: CommandRecord, profile: Profile) -> bool:
    if rule.exit and command.argv and command.exit not in rule.exit:
        return False
    return not rule.verbs or not command.argv or profile.verb_of(command.argv) in rule.verbs


def _typed(typed: TypedError, stream: _Stream, rules: list[Rule]) -> Match:
    evidence = (_quote(f"{stream.name}:{typed.line}", typed.text),)
    for rule in rules:
        if rule.code in ("", typed.code) and re.search(rule.match, typed.message):
            return _match_of(rule, evidence)
    return Match(UNCLASSIFIED, confidence="high", evidence=evidence)


def _traceback(trace: Traceback, stream: _Stream, rules: list[Rule]) -> Match | None:
    names = {trace.exception, trace.exception.rpartition(".")[2]}
    for rule in rules:
        if rule.exception and not any(re.fullmatch(rule.exception, name) for name in names):
            continue
        deciding = [next((frame for frame in reversed(trace.frames) if re.search(pattern, frame)), None) for pattern in rule.frames]
        if None not in deciding and re.search(rule.match, trace.message):
            frames = tuple(_quote(f"{stream.name}:frame", str(frame)) for frame in deciding)
            return _match_of(rule, (_quote(f"{stream.name}:{trace.line}", trace.text), *frames))
    return None


def _unreadable_file(rules: list[Rule], state: RunState) -> Match | None:
    """Match only files that cannot be parsed: after an unknown traceback nothing else explains the failure."""
    return match_state(state, [rule for rule in _layer(rules, "state") if rule.file and _problem(rule, state) in _UNREADABLE])


def _plain(stream: _Stream, rules: list[Rule]) -> Match | None:
    for rule in rules:
        for number, line in enumerate(stream.lines, 1):
            if re.search(rule.match, line):
                return _match_of(rule, (_quote(f"{stream.name}:{number}", line),))
    return None


def _report(lines: tuple[ReportLine, ...], where: str, profile: Profile) -> Match:
    return Match("report", profile.report.signature or None, "high", _quotes(lines, where), lines)


def _state_evidence(rule: Rule, state: RunState) -> tuple[Evidence, ...] | None:
    """Return the evidence for a rule about files, which is empty when it has no conditions; None when one does not hold."""
    found: list[Evidence] = []
    if rule.file and rule.problem:
        problem = state.problems.get(rule.file)
        if problem is None or problem.problem not in rule.problem:
            return None
        found.append(_quote(f"file:{state.profile.path(rule.file)}", problem.detail))
    if rule.report:
        if state.report_verdict != rule.report:
            return None
        found.append(_quote(f"file:{_report_path(state.profile)}", f"verdict {rule.report}"))
    document = state.json(rule.file) if rule.where else None
    for path, pattern in rule.where.items():
        value = dig(document, path)
        if value is None or not re.search(pattern, str(value)):
            return None
        found.append(_quote(f"file:{state.profile.path(rule.file)}#{path}", str(value)))
    return tuple(found)


def _problem(rule: Rule, state: RunState) -> str:
    found = state.problems.get(rule.file)
    return found.problem if found else ""


def _file_report(state: RunState) -> tuple[ReportLine, ...]:
    text = state.run.text(_report_path(state.profile)) if state.run is not None else None
    return report_lines(clean_lines(text or ""), state.profile.report)


def _report_path(profile: Profile) -> str:
    return profile.path(profile.report.file) if profile.report.file else ""


def _match_of(rule: Rule, evidence: tuple[Evidence, ...], lines: tuple[ReportLine, ...] = ()) -> Match:
    return Match(rule.id, rule.signature or None, rule.confidence, evidence, lines, rule)


def _unknown(stream: _Stream, line: int) -> Match:
    return Match(UNCLASSIFIED, confidence="low", evidence=(_quote(f"{stream.name}:{line}", stream.lines[line - 1]),))


def _last_line(stream: _Stream) -> int:
    return max(number for number, line in enumerate(stream.lines, 1) if line.strip())


def _quotes(lines: tuple[ReportLine, ...], where: str) -> tuple[Evidence, ...]:
    return tuple(_primary_first(lines, where))[:_MAX_QUOTES]


def _primary_first(lines: tuple[ReportLine, ...], where: str) -> Iterator[Evidence]:
    for line in sorted(lines, key=lambda line: line.secondary):
        yield _quote(f"{where}:{line.line}", line.text)


def _quote(ref: str, text: str) -> Evidence:
    return Evidence(ref=ref, quote=short_line(text, _MAX_QUOTE))
