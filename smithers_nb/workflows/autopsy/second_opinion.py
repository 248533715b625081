"""Asks a provider about an investigation, and makes one of both.

The rules' investigation is there already; for `internal` it is the answer. Another provider gets a dossier of it without secrets, and
what holds of its answer is merged in (`agents.verification.merge`). A provider that gives no answer changes nothing, and the result
says so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from smithers_nb.agents.providers.base import Facts, Known, Line
from smithers_nb.agents.providers.settings import provider_named
from smithers_nb.agents.verification.claims import Ground, verified
from smithers_nb.agents.verification.dossier import dossier
from smithers_nb.agents.verification.evidence_index import Record
from smithers_nb.agents.verification.merge import Base, Opinion, alone, merged
from smithers_nb.diagnosis.advice.suggest import advise
from smithers_nb.errors import ProviderError
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.agents.providers.base import Proposal, Provider
    from smithers_nb.diagnosis.history.origins import Origin
    from smithers_nb.model.verdict import Advice, Classification
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.snapshot import Snapshot
    from smithers_nb.workflows.autopsy.results import Gathered, Investigation


def consulted(  # noqa: PLR0913  # all but three are options by name
    found: Investigation,
    gathered: Gathered,
    snapshot: Snapshot,
    *,
    provider: str,
    tried: Collection[Suggestion],
    origin: Origin | None = None,
) -> Investigation:
    """Let a provider look at an investigation.

    Args:
        found: What the rules found.
        gathered: What the store says.
        snapshot: The run.
        provider: Name of the provider.
        tried: Suggestions that were followed before in vain.
        origin: What lies behind the failure; the advice takes it into account.

    Returns:
        The investigation, with what holds of the provider's answer and a line for what does not.

    Raises:
        ParameterError: There is no such provider, or something it needs is missing or malformed.
    """
    asked = provider_named(provider)
    if asked is None:
        return found

    def advice(classification: Classification) -> Advice:
        return advise(snapshot, found.failure, classification, tried=tried, workflow_path=gathered.workflow_path, origin=origin)

    opinion = _ask(
        asked,
        found,
        gathered,
        snapshot,
        Base(found.root_cause, found.classification, found.advice, found.evidence, found.error_summary, advice),
    )
    failure = replace(found.failure, evidence=(*found.failure.evidence, *opinion.evidence))
    return replace(
        found,
        root_cause=opinion.root_cause,
        classification=opinion.classification,
        advice=opinion.advice,
        failure=failure,
        error_summary=opinion.error_summary,
        authors=opinion.authors,
        provider_notes=tuple(redact(note) for note in opinion.notes),
    )


def _ask(asked: Provider, found: Investigation, gathered: Gathered, snapshot: Snapshot, base: Base) -> Opinion:
    path = gathered.workflow_path or snapshot.run.workflow_path
    record = Record(snapshot, source_path=path, source=gathered.workflow_source, cited=found.evidence)
    brief = dossier(record, _facts(gathered), _known(found), events=_events(gathered), wants_error_summary=bool(found.error_summary))
    try:
        proposal = asked.propose(brief, record)
    except ProviderError as error:
        hint = f" To get one: {error.hint}." if error.hint else ""
        why = str(error).rstrip(".")
        return alone(base, f"{asked.author} gave no answer: {why}. The verdict is the internal one.{hint}")
    kept = verified(proposal, Ground(brief, record, found.failure, _offered(base, proposal), path))
    return merged(base, proposal, kept, asked.author)


def _offered(base: Base, proposal: Proposal) -> frozenset[str]:
    """List the lines of our own advice: for our suggestion, for the provider's, and for only looking."""
    wanted = {base.classification.suggestion, "escalate"} | ({proposal.suggestion} - {"rewind"})
    advices = [base.advise(replace(base.classification, suggestion=one)) for one in wanted]
    return frozenset(line for advice in (base.advice, *advices) for line in advice.commands)


def _facts(gathered: Gathered) -> Facts:
    return Facts(
        run_id=gathered.target_run_id,
        workflow=gathered.workflow,
        status=gathered.status,
        state=gathered.state,
        started_at=gathered.started_at,
        finished_at=gathered.finished_at,
        error=gathered.run_error[:2_000],
    )


def _known(found: Investigation) -> Known:
    return Known(
        failing_node=found.failure.node_id,
        root_cause=found.root_cause,
        failure_class=found.classification.failure_class,
        confidence=found.classification.confidence,
        rule=found.classification.rule,
        suggestion=found.advice.suggestion,
        suggestion_detail=found.advice.detail,
        commands=found.advice.commands,
        evidence=found.evidence,
        defects=found.defects,
    )


def _events(gathered: Gathered) -> list[Line]:
    return [Line(ref=f"event:{e.seq}", at=e.at, what=e.type, node_id=e.node_id, text=e.text) for e in gathered.last_events]
