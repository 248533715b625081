"""Two opinions become one verdict: the table in the module, row by row."""

from __future__ import annotations

import pytest

from smithers_nb.agents.providers.base import Proposal
from smithers_nb.agents.verification.claims import VerifiedClaims
from smithers_nb.agents.verification.merge import Base, merged
from smithers_nb.model.verdict import Advice, Classification, Evidence

CLI = "bunx smithers-orchestrator"
KNOWN = Evidence(ref="attempt:a/0/1", quote="it broke in some way")
NEW = Evidence(ref="event:9", quote="the token expired")
AUTHOR = "remote_llm (m)"


def base(confidence="medium", failure_class="workflow-bug", *, rule="r", summary=""):
    found = Classification(failure_class=failure_class, confidence=confidence, rule=rule, suggestion="edit-workflow-and-reset")
    return Base(
        "The rules say.",
        found,
        Advice(suggestion="edit-workflow-and-reset", detail="Ours.", commands=(f"{CLI} up w",)),
        (KNOWN,),
        summary,
        advise,
    )


def advise(classification):
    return Advice(suggestion=classification.suggestion, detail=f"How to {classification.suggestion}.", commands=(f"{CLI} retry-task w",))


def proposal(**changes):
    given = {"root_cause": "x", "failure_class": "environment", "confidence": "high", "suggestion": "fix-environment"} | changes
    return Proposal(**given)


def kept(*evidence, commands=(), cause="The token expired.", detail="Renew it.", summary="", blames_engine=False):
    return VerifiedClaims(evidence, commands, cause, detail, summary, blames_engine, ())


@pytest.mark.parametrize(
    ("rules", "evidence", "taken", "confidence", "said"),
    [
        ("high", (NEW,), False, "high", "is sure of it"),
        ("medium", (), False, "medium", "none of its evidence checks out"),
        ("medium", (KNOWN,), False, "medium", "quotes nothing that the rule did not have"),
        ("medium", (NEW,), True, "low", ""),
        ("low", (KNOWN,), True, "medium", ""),
        ("low", (), False, "low", "none of its evidence checks out"),
    ],
)
def test_another_class(rules, evidence, taken, confidence, said):
    """How sure the rules are decides what a provider must show to be followed, and `high` is never its to give."""
    given = base(rules)
    opinion = merged(given, proposal(), kept(*evidence), AUTHOR)
    assert (opinion.classification.failure_class == "environment") is taken
    assert opinion.classification.confidence == confidence
    assert (opinion.root_cause == "The token expired.") is taken
    assert (opinion.authors.judgement == AUTHOR) is taken
    assert said in " ".join(opinion.notes)
    if not taken:
        assert (opinion.classification, opinion.advice, opinion.evidence) == (given.classification, given.advice, ())


def test_it_may_be_less_sure():
    """A provider that is not sure is believed no further than it believes itself."""
    assert merged(base("low"), proposal(confidence="low"), kept(NEW), AUTHOR).classification.confidence == "low"


def test_the_same_class_changes_words_only():
    """Agreement neither raises nor lowers the confidence; the words become the provider's, the warnings stay."""
    agrees = proposal(failure_class="workflow-bug", suggestion="edit-workflow-and-reset")
    opinion = merged(base("medium"), agrees, kept(NEW), AUTHOR)
    assert opinion.classification == base("medium").classification
    assert opinion.root_cause == "The token expired."
    assert opinion.advice.detail == "Renew it. Ours."
    assert opinion.evidence[0].note == "(quoted by remote_llm (m))"


def test_unknown_is_no_reason_to_change():
    """A provider that cannot tell leaves the verdict of the rules as it is."""
    opinion = merged(base("low"), proposal(failure_class="unknown"), kept(NEW), AUTHOR)
    assert opinion.root_cause == "The rules say."
    assert "could not tell" in opinion.notes[0]


def test_the_engine_is_not_blamed_without_its_code():
    """`smithers-bug` needs a quote that leads into the engine."""
    blame = proposal(failure_class="smithers-bug", suggestion="escalate")
    assert "blames the engine without" in merged(base("low"), blame, kept(NEW), AUTHOR).notes[0]
    believed = merged(base("low"), blame, kept(NEW, blames_engine=True), AUTHOR)
    assert believed.classification.failure_class == "smithers-bug"
    assert believed.classification.exonerated


def test_a_persons_no_is_no_matter_of_opinion():
    """A denied approval stays what it is, also against new evidence, and nothing is started on a provider's word."""
    given = base("medium", "unknown", rule="denied")
    assert merged(given, proposal(), kept(NEW), AUTHOR).classification == given.classification
    agrees = proposal(failure_class="unknown", suggestion="edit-workflow-and-reset")
    acted = merged(given, agrees, kept(NEW, commands=(f"{CLI} retry-task x", f"{CLI} inspect r")), AUTHOR)
    assert acted.advice.commands == (f"{CLI} up w", f"{CLI} inspect r")


def test_another_suggestion_comes_with_our_own_commands():
    """Where the rules are not sure, the provider's suggestion is carried out by our advice, with our warnings after its words."""
    advice = merged(base("low"), proposal(), kept(NEW), AUTHOR).advice
    assert advice == Advice(suggestion="fix-environment", detail="Renew it. How to fix-environment.", commands=(f"{CLI} retry-task w",))


def test_where_the_rules_are_sure_their_suggestion_stays():
    """A provider that agrees on the class cannot change a sure rule's suggestion, and the verdict says so."""
    opinion = merged(base("high"), proposal(failure_class="workflow-bug", suggestion="retry"), kept(NEW), AUTHOR)
    assert opinion.advice == base("high").advice
    assert "its suggestion retry was not taken" in opinion.notes[-1]
    assert opinion.authors.narrative == AUTHOR


def test_nobody_travels_in_time_on_a_providers_word():
    """`rewind` drops what came later, so the rules alone may suggest it."""
    opinion = merged(base("low"), proposal(suggestion="rewind"), kept(NEW), AUTHOR)
    assert opinion.advice.suggestion == "edit-workflow-and-reset"
    assert "rewind was not taken" in opinion.notes[-1]


def test_its_own_way_of_acting_replaces_ours_and_looking_is_added():
    """A line of its own that starts work stands alone; one that only looks is added to ours."""
    acts = merged(base("low"), proposal(), kept(NEW, commands=(f"{CLI} retry-task other",)), AUTHOR)
    assert acts.advice.commands == (f"{CLI} retry-task other",)
    looks = merged(base("low"), proposal(), kept(NEW, commands=(f"{CLI} inspect r",)), AUTHOR)
    assert looks.advice.commands == (f"{CLI} retry-task w", f"{CLI} inspect r")


def test_plain_words_only_where_they_are_wanted():
    """A provider's summary of the error replaces ours where there is one, and is nobody's where the reason is simple."""
    agrees = proposal(failure_class="workflow-bug", suggestion="edit-workflow-and-reset")
    wanted = merged(base("medium", summary="Ours."), agrees, kept(NEW, summary="Theirs."), AUTHOR)
    assert (wanted.error_summary, wanted.authors.error_summary) == ("Theirs.", AUTHOR)
    simple = merged(base("medium"), agrees, kept(NEW, summary="Theirs."), AUTHOR)
    assert (simple.error_summary, simple.authors.error_summary) == ("", "internal")


def test_a_narrative_without_a_sentence_left_is_ours():
    """When every sentence was left out, the rules' words stay and are signed so."""
    agrees = proposal(failure_class="workflow-bug", suggestion="edit-workflow-and-reset")
    opinion = merged(base("medium"), agrees, kept(NEW, cause=""), AUTHOR)
    assert (opinion.root_cause, opinion.authors.narrative) == ("The rules say.", "internal")
