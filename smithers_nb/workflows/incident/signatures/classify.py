"""Classifies a run: which failure of the runbook it has, from the commands run on it and the files it left.

Of several failures the last open one decides; then a fallback to an earlier stage; then the last failure, which is over. A fallback that
the run has recovered from does not hide a failure from before the edit that caused it. The other failures stay listed, because two
simultaneous faults surface one after the other: classify again after each fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.model.finding import with_texts
from smithers_nb.model.timestamps import epoch_ms
from smithers_nb.redact import redact_value
from smithers_nb.workflows.incident.results import Classification, Evidence, Fault
from smithers_nb.workflows.incident.signatures.escalation import escalations
from smithers_nb.workflows.incident.signatures.match import NOTHING, UNCLASSIFIED, Match, match_command, match_fallback, match_state
from smithers_nb.workflows.incident.signatures.provider import provider_of
from smithers_nb.workflows.incident.signatures.run_state import RunState, leaves
from smithers_nb.workflows.incident.signatures.subcause import subcause_of

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.sources.rundir.directory import RunDirectory
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.profile_parts import Confidence
    from smithers_nb.workflows.incident.signatures.subcause import Cause

_SURE: Final[tuple[Confidence, ...]] = ("low", "medium", "high")


class _Failure(NamedTuple):
    command: CommandRecord
    match: Match


class _Decided(NamedTuple):
    """The deciding match and its command; None when it comes from the files."""

    match: Match
    command: CommandRecord | None = None


def classify(
    profile: Profile, run: RunDirectory | None = None, commands: Sequence[CommandRecord] = (), details: Any = None
) -> Classification:
    """Classify one run.

    Args:
        profile: Its orchestrator.
        run: Its directory; None when only output is known.
        commands: What was run on it, oldest first; a command without an exit code counts as failed.
        details: Details of the last error, as JSON: `{code, message, details, exit_code}`, or any object that contains texts.

    Returns:
        The redacted classification; its signature is None when the failure matches none of the runbook, and when nothing failed.
    """
    state = RunState(run, profile, commands)
    failures = [_Failure(command, match_command(command, state)) for command in commands if command.failed]
    decided = _decide(state, failures)
    match, command = decided
    cause = _cause(decided, profile, tuple(_texts(details)))
    faults = [(failure.command, _fault(failure, profile), failure.match.lines) for failure in failures]
    escalated = escalations(state, faults)
    title, why, advice = _texts_of(match, profile, failed=bool(failures))
    advice = (cause.advice if cause else "") or advice
    resolved = _is_over(decided, state)
    quoted = (Evidence(ref="details" if details else "duration", quote=cause.because),) if cause and cause.because else ()
    found = Classification(
        summary=_summary(title, why, advice, cause, resolved=resolved),
        profile=profile.name,
        run_id=run.run_id if run is not None else "",
        signature=match.signature,
        title=title,
        rule=match.rule,
        confidence=min(match.confidence, cause.confidence if cause else "high", key=_SURE.index),
        subcause=cause.name if cause else None,
        cause=why,
        advice=advice,
        resolved=resolved,
        failing=command.argv if command else (),
        exit=command.exit if command else None,
        evidence=(*match.evidence, *quoted),
        errors=match.lines,
        faults=tuple(fault for _, fault, _ in faults),
        provider=provider_of(state, command or (commands[-1] if commands else None)),
        stage=state.recorded_stage,
        escalate=bool(escalated),
        escalation=escalated,
        problems=tuple(_misleading(state)),
    )
    return with_texts(found, redact_value)


def _decide(state: RunState, failures: Sequence[_Failure]) -> _Decided:
    known = _last_known(failures, state)
    if known and known.command is state.commands[-1]:
        return _Decided(known.match, known.command)
    fell = match_fallback(state)
    explained = known is not None and _explains_fallback(known.match, state.profile)
    if fell and fell.signature and not explained and not _is_open(failures, state):
        older = known is not None and state.fallback is not None and state.fallback.recovered and _is_older_than_the_edit(known, state)
        return _Decided(known.match, known.command) if known and older else _Decided(fell)
    if known and not (_is_open(failures, state) and _is_over(_Decided(known.match, known.command), state)):
        return _Decided(known.match, known.command)
    if failures:
        return _Decided(failures[-1].match, failures[-1].command)
    return _Decided(match_state(state) or (fell if fell and fell.signature else _nothing(state)))


def _nothing(state: RunState) -> Match:
    """Return that nothing failed; with low confidence when only files are known, because a command may fail without leaving a trace."""
    told = state.commands or state.profile.capture
    return Match(NOTHING, confidence="high" if told else "low")


def _last_known(failures: Sequence[_Failure], state: RunState) -> _Failure | None:
    """Return the last failure with a signature that is still open, or the last of all when none is."""
    known = [failure for failure in failures if failure.match.signature]
    still = [failure for failure in known if not _is_over(_Decided(failure.match, failure.command), state)]
    return next(reversed(still or known), None)


def _is_older_than_the_edit(failure: _Failure, state: RunState) -> bool:
    """Return whether an open failure ended before the inputs of the stages were edited, so that the edit cannot have caused it.

    A command that failed after the edit was one attempt to update the run; when another attempt succeeded, it is not the problem.
    """
    command = failure.command
    began, edited = epoch_ms(command.at), state.edited_ns
    if began is None or edited is None or _is_over(_Decided(failure.match, command), state):
        return False
    return began + (command.duration or 0) * 1000 < edited // 1_000_000


def _is_open(failures: Sequence[_Failure], state: RunState) -> bool:
    """Return whether the last command failed, which outranks anything that the files say."""
    return bool(failures) and failures[-1].command is state.commands[-1]


def _explains_fallback(match: Match, profile: Profile) -> bool:
    return match.signature in profile.signatures and profile.signatures[match.signature].explains_fallback


def _cause(decided: _Decided, profile: Profile, details: tuple[str, ...]) -> Cause | None:
    if decided.match.matched is None or not decided.match.signature:
        return None
    return subcause_of(profile, decided.match.matched, decided.command, details)


def _fault(failure: _Failure, profile: Profile) -> Fault:
    command, match = failure
    cause = _cause(_Decided(match, command), profile, ())
    return Fault(
        command=command.n,
        verb=profile.verb_of(command.argv),
        exit=command.exit,
        signature=match.signature,
        rule=match.rule,
        group=match.matched.group if match.matched else "",
        subcause=cause.name if cause else None,
    )


def _is_over(decided: _Decided, state: RunState) -> bool:
    """Return whether the same command passed later, or the run has reached its stage again."""
    if decided.command is None:
        return decided.match.rule.startswith("stage.") and state.fallback is not None and state.fallback.recovered
    verb = state.profile.verb_of(decided.command.argv)
    return any(not later.failed and state.profile.verb_of(later.argv) == verb for later in state.commands if later.n > decided.command.n)


def _texts_of(match: Match, profile: Profile, *, failed: bool) -> tuple[str, str, str]:
    """Return title, cause and advice: those of the rule if it has them, else those of its signature."""
    signature = profile.signatures.get(match.signature or "")
    rule = match.matched
    title = (rule.title if rule else "") or (signature.title if signature else "")
    advice = (rule.advice if rule else "") or (signature.advice if signature else "")
    if title:
        return title, signature.cause if signature else "", advice
    if match.rule == UNCLASSIFIED:
        return (
            "A failure that no rule of this profile knows",
            "",
            "read the evidence; if it is a new kind, add a rule for it to the profile",
        )
    if failed:
        return "A command failed", "", ""
    if match.confidence == "low":
        return (
            "Nothing in the files shows a failure",
            "",
            "give what was run on it with --commands: a failed command may leave no trace",
        )
    return "Nothing failed", "", ""


def _summary(title: str, why: str, advice: str, cause: Cause | None, *, resolved: bool) -> str:
    known = f": {cause.name}" if cause and cause.name != "unknown" else f": {why}" if why else ""
    if resolved:
        return f"{title}{known}. This is over: the run has recovered since."
    unsure = " The evidence does not say which of its causes it is." if cause and cause.name == "unknown" else ""
    return f"{title}{known}.{unsure}" + (f" Next: {advice}." if advice else "")


def _misleading(state: RunState) -> Iterable[str]:
    """List what in the run may mislead: a report older than its inputs, files that cannot be read."""
    report = state.profile.report
    if report.file and state.mtime_ns(report.file) is not None and state.is_older(report.file, report.inputs):
        yield f"{state.profile.path(report.file)} is older than its inputs: it says nothing about them"
    for problem in state.problems.values():
        yield problem.detail


def _texts(details: Any) -> Iterable[str]:
    """Return the texts in an error's details: those under the key `details` if there is one, else all."""
    inner = details.get("details", details) if isinstance(details, Mapping) else details
    return (text for text in leaves(inner) if text.strip())
