"""Which parts of a provider's answer the rows support: quotes, sentences and commands, each checked on its own.

Takes a proposal and the record; returns the supported parts and one line for each part that was dropped. The prompts ask for the same, but
only these checks are relied on.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from smithers_nb.agents.verification.command_policy import judged
from smithers_nb.agents.verification.evidence_index import flat
from smithers_nb.agents.verification.prose import believable, harmless
from smithers_nb.diagnosis.failure.origin import where_thrown
from smithers_nb.diagnosis.failure.stack import Frame
from smithers_nb.diagnosis.text.quotes import excerpt
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.agents.providers.base import Dossier, Proposal
    from smithers_nb.agents.verification.evidence_index import Record
    from smithers_nb.model.verdict import Evidence, Failure


class VerifiedClaims(NamedTuple):
    """The parts of a proposal that the rows support.

    Attributes:
        evidence: Quotes that occur in their rows, without duplicates.
        commands: Lines that may be printed.
        root_cause: Sentences whose quotations occur in the record; empty when none is left.
        detail: The advice without its dangerous sentences.
        error_summary: The error in plain words.
        blames_engine: The engine's own code threw, and a quote points there.
        notes: What was dropped and why, one line each.
    """

    evidence: tuple[Evidence, ...]
    commands: tuple[str, ...]
    root_cause: str
    detail: str
    error_summary: str
    blames_engine: bool
    notes: tuple[str, ...]


class Ground(NamedTuple):
    """What an answer is checked against.

    Attributes:
        dossier: What the provider was given.
        record: The rows.
        failure: The failure in question.
        offered: Command lines of the deterministic advice.
        workflow_path: The run's workflow.
    """

    dossier: Dossier
    record: Record
    failure: Failure
    offered: Collection[str]
    workflow_path: str | None


def verified(proposal: Proposal, ground: Ground) -> VerifiedClaims:
    """Check a proposal and keep the parts that the rows support.

    Args:
        proposal: The answer.
        ground: What it is checked against.
    """
    dossier, record = ground.dossier, ground.record
    evidence, notes = _evidence(proposal, record)
    lines, refused = _commands(proposal, ground)
    given = flat(json.dumps(dossier.model_dump(by_alias=True), ensure_ascii=False)) + flat("\n".join(_texts(dossier)))

    def occurs(words: str) -> bool:
        return flat(redact(words)) in given or record.mentions(words)

    cause, unfounded = believable(redact(proposal.root_cause), occurs)
    detail, dangerous = harmless(redact(proposal.suggestion_detail))
    plain, made_up = believable(redact(proposal.error_summary), occurs) if dossier.wants_error_summary else ("", [])
    left_out = [f"left out {what}" for what in dict.fromkeys((*unfounded, *dangerous, *made_up))]
    return VerifiedClaims(
        evidence=evidence,
        commands=lines,
        root_cause=cause,
        detail=detail,
        error_summary=plain,
        blames_engine=_engine_threw(ground.failure) and any(_names_the_engine(item) for item in evidence),
        notes=(*notes, *refused, *left_out),
    )


def _evidence(proposal: Proposal, record: Record) -> tuple[tuple[Evidence, ...], list[str]]:
    kept: dict[tuple[str, str], Evidence] = {}
    notes = []
    for item in proposal.evidence:
        if refusal := record.refusal(item.ref, item.quote):
            notes.append(f"dropped the evidence {item.ref[:80]}: {refusal}")
        else:
            kept[item.ref, item.quote] = replace(item, quote=excerpt(item.quote), note=excerpt(item.note, 200))
    return tuple(kept.values()), notes


def _commands(proposal: Proposal, ground: Ground) -> tuple[tuple[str, ...], list[str]]:
    decided = [
        (line, judged(line, ground.record, offered=ground.offered, workflow_path=ground.workflow_path)) for line in proposal.commands
    ]
    notes = [f"dropped the command {excerpt(line, 80)!r}: {one.refusal}" for line, one in decided if one.refusal]
    return tuple(dict.fromkeys(one.line for _, one in decided if one.line)), notes


def _engine_threw(failure: Failure) -> bool:
    """Return whether the engine threw the innermost error; the errors that wrap it always come from the engine."""
    return next((where for link in reversed(failure.chain) if (where := where_thrown(link.stack))), "") == "engine"


def _names_the_engine(item: Evidence) -> bool:
    return Frame("", item.quote.replace("\\", "/"), 0).is_engine


def _texts(dossier: Dossier) -> list[str]:
    """Return the texts of the dossier without JSON escapes."""
    known = dossier.known
    lines = [line.text for line in (*dossier.attempts, *dossier.events)]
    quotes = [item.quote for item in known.evidence]
    return [dossier.run.error, known.root_cause, known.suggestion_detail, *known.commands, *quotes, *lines, dossier.source]
