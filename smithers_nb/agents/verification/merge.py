"""Merges the verdict of the rules with the opinion of a provider.

The rules are the base; a provider has to support each change with quotes that check out (`claims`):

| confidence of the rules | answer of the provider | result |
| --- | --- | --- |
| any | no quote checks out | nothing is taken |
| any | the same class | its narrative and advice; class and confidence stay |
| any | `unknown` | nothing is taken: it has no answer either |
| `high`, or a person denied a gate | another class | nothing is taken; the disagreement is noted |
| `medium` | another class, quoting a row that the rules did not use | its class, with confidence `low` |
| `medium` | another class, quoting no new row | nothing is taken; the disagreement is noted |
| `low` | another class | its class, with confidence `medium` at most |

`smithers-bug` also needs a quote that points into the engine's code rather than the workflow's. A provider can never give `high`.
The suggestion follows the class: where the rules are sure, theirs stays; elsewhere our own advice carries out the provider's suggestion,
with our commands and warnings, and its text stands before ours, never instead. A provider cannot suggest `rewind`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.agents.verification.command_policy import is_looking
from smithers_nb.diagnosis.failure.excerpt import abridged
from smithers_nb.model.verdict import Advice, Authors, Classification

if TYPE_CHECKING:
    from smithers_nb.agents.providers.base import Proposal
    from smithers_nb.agents.verification.claims import VerifiedClaims
    from smithers_nb.model.verdict import Evidence
    from smithers_nb.model.vocabulary import Confidence, Suggestion

_EXONERATED: Final = (
    "workflow: in the stack that is quoted, no frame of the workflow's own code stands before the engine's",
    "environment: no rule that knows system calls, network, credentials, disks or providers was sure of one",
)
_MAX_DETAIL: Final = 1_500


class Base(NamedTuple):
    """The verdict of the rules.

    Attributes:
        advise: Returns our own advice for another class and suggestion.
    """

    root_cause: str
    classification: Classification
    advice: Advice
    evidence: tuple[Evidence, ...]
    error_summary: str
    advise: Callable[[Classification], Advice]


class Opinion(NamedTuple):
    """The verdict after a provider was asked.

    Attributes:
        evidence: Quotes that the provider added.
        authors: Who wrote what.
        notes: What was rejected and why, one line each.
    """

    root_cause: str
    classification: Classification
    advice: Advice
    error_summary: str
    evidence: tuple[Evidence, ...] = ()
    authors: Authors = Authors()
    notes: tuple[str, ...] = ()


def alone(base: Base, *notes: str) -> Opinion:
    """Return the rules' verdict unchanged, with notes that say why."""
    return Opinion(base.root_cause, base.classification, base.advice, base.error_summary, notes=notes)


def merged(base: Base, proposal: Proposal, kept: VerifiedClaims, author: str) -> Opinion:
    """Merge two opinions into one verdict, by the table above.

    Args:
        base: The verdict of the rules.
        proposal: The provider's answer.
        kept: The parts of it that the rows support.
        author: The provider, as a card names it.
    """
    notes = tuple(f"{author}: {note}" for note in kept.notes)
    if refusal := _refusal(base, proposal, kept):
        return alone(base, *notes, f"{author}: {refusal} The verdict is the internal one.")
    judgement = _judgement(base.classification, proposal, author)
    advice = _advice(base, judgement, proposal, kept)
    if advice.suggestion != proposal.suggestion:
        notes = (*notes, f"{author}: its suggestion {proposal.suggestion} was not taken; {advice.suggestion} stands.")
    ours = base.classification
    return Opinion(
        root_cause=kept.root_cause or base.root_cause,
        classification=judgement,
        advice=advice,
        error_summary=(base.error_summary and kept.error_summary) or base.error_summary,
        evidence=tuple(_attributed(item, author) for item in kept.evidence if not _is_cited(base.evidence, item)),
        authors=Authors(
            narrative=author if kept.root_cause else "internal",
            judgement="internal" if judgement is ours else author,
            advice="internal" if advice == base.advice else author,
            error_summary=author if base.error_summary and kept.error_summary else "internal",
        ),
        notes=notes,
    )


def _refusal(base: Base, proposal: Proposal, kept: VerifiedClaims) -> str:
    """Return why an answer is rejected as a whole; empty when it is not."""
    ours = base.classification
    if not kept.evidence:
        return "none of its evidence checks out, so its answer was not used."
    if proposal.failure_class == ours.failure_class:
        return ""
    differs = f"it says {proposal.failure_class}, the rule {ours.rule} says {ours.failure_class}"
    known = {item.ref for item in base.evidence}
    reasons = {
        f"it could not tell whose fault this is; the rule {ours.rule} could.": proposal.failure_class == "unknown",
        f"{differs} and is sure of it.": _is_sure(ours),
        "it blames the engine without a quote that points into the engine's own code.": (
            proposal.failure_class == "smithers-bug" and not kept.blames_engine
        ),
        f"{differs}, and it quotes nothing that the rule did not have.": (
            ours.confidence == "medium" and all(item.ref in known for item in kept.evidence)
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _judgement(ours: Classification, proposal: Proposal, author: str) -> Classification:
    if proposal.failure_class == ours.failure_class:
        return ours
    ceiling: Confidence = "low" if ours.confidence == "medium" or proposal.confidence == "low" else "medium"
    return Classification(
        failure_class=proposal.failure_class,
        confidence=ceiling,
        rule=author.partition(" ")[0],
        reason=f"judged by {author}; the rule {ours.rule} said {ours.failure_class} with confidence {ours.confidence}",
        suggestion=_allowed(proposal, ours),
        exonerated=_EXONERATED if proposal.failure_class == "smithers-bug" else (),
    )


def _advice(base: Base, judgement: Classification, proposal: Proposal, kept: VerifiedClaims) -> Advice:
    """Build the advice for the chosen suggestion, with our commands and warnings; text of the provider only if it made the same choice."""
    ours = base.advice
    sure = _is_sure(base.classification)
    wanted = ours.suggestion if sure else _allowed(proposal, base.classification)
    chosen = ours if wanted == ours.suggestion else base.advise(replace(judgement, suggestion=wanted))
    if chosen.suggestion != proposal.suggestion:
        return chosen
    other = [line for line in kept.commands if line not in chosen.commands]
    acts = not sure and any(not is_looking(line) for line in other)
    lines = kept.commands if acts else (*chosen.commands, *filter(is_looking, other))
    detail = " ".join(part for part in (abridged(kept.detail, _MAX_DETAIL), chosen.detail) if part)
    return Advice(suggestion=chosen.suggestion, detail=detail, commands=tuple(dict.fromkeys(lines)))


def _is_sure(ours: Classification) -> bool:
    """Return whether the rules have the last word; a person's denial is not a matter of opinion either."""
    return ours.confidence == "high" or ours.rule == "denied"


def _allowed(proposal: Proposal, ours: Classification) -> Suggestion:
    return ours.suggestion if proposal.suggestion == "rewind" else proposal.suggestion


def _is_cited(evidence: tuple[Evidence, ...], item: Evidence) -> bool:
    return any(item.ref == known.ref and item.quote in known.quote for known in evidence)


def _attributed(item: Evidence, author: str) -> Evidence:
    return replace(item, note=f"{item.note} (quoted by {author})".strip())
