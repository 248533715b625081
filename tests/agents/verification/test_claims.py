"""What of an answer holds is decided by the rows, not by the one who answers."""

from __future__ import annotations

import pytest

from smithers_nb.agents.providers.base import Facts, Known, Proposal
from smithers_nb.agents.verification.claims import Ground, verified
from smithers_nb.agents.verification.dossier import dossier
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.model.verdict import Failure, Link

ERROR = "null is not an object (evaluating 'd[\"fetch-orders\"].lines.filter')"
ENGINE = "at decide (/srv/sm2/node_modules/@smithers-orchestrator/scheduler/src/makeWorkflowSession.js:842:19)"


@pytest.fixture
def hold(record):
    """Hold an answer against the rows of order-sync-013."""

    def check(*, failure=None, long=False, **answer):
        facts = Facts(run_id="order-sync-013", status="failed", state="failed")
        known = Known(
            root_cause="x", failure_class="unknown", confidence="low", rule="none", suggestion="escalate", suggestion_detail="Look at it."
        )
        told = dossier(record, facts, known, events=(), wants_error_summary=long)
        given = {"rootCause": "It threw.", "failureClass": "unknown", "confidence": "low", "suggestion": "escalate"} | answer
        ground = Ground(told, record, failure or find_failure(record.snapshot), (), None)
        return verified(Proposal.model_validate(given), ground)

    return check


def test_each_quote_is_held_against_its_row(hold):
    """Quotes that occur stay, each once; for each other one there is a line."""
    good = {"ref": "attempt:normalize/0/1", "quote": ERROR}
    kept = hold(evidence=[good, good, {"ref": "event:77777", "quote": "not there"}])
    assert [item.ref for item in kept.evidence] == ["attempt:normalize/0/1"]
    assert kept.notes == ("dropped the evidence event:77777: there is no such row",)


def test_the_wrapper_of_the_run_does_not_blame_the_engine(hold):
    """The run's own error always passed through the engine, so quoting its stack shows nothing about whose fault it is."""
    quote = {"ref": "run:order-sync-013", "quote": ENGINE}
    kept = hold(failureClass="smithers-bug", evidence=[quote])
    assert [item.quote for item in kept.evidence] == [ENGINE]
    assert not kept.blames_engine


def test_the_engines_own_error_does(hold):
    """When the failure itself came out of the engine, a quote that leads there is what blaming it needs."""
    thrown = Failure(run_id="order-sync-013", kind="run", chain=(Link(message="boom", stack=f"Error: boom\n    {ENGINE}"),))
    assert hold(failure=thrown, evidence=[{"ref": "run:order-sync-013", "quote": ENGINE}]).blames_engine
    assert not hold(failure=thrown, evidence=[{"ref": "attempt:normalize/0/1", "quote": ERROR}]).blames_engine


def test_plain_words_are_kept_only_where_they_help(hold):
    """A summary of the error is kept for a long one alone, and no sentence of it may quote what is not there."""
    words = "It met nothing. It says “all is lost”."
    assert hold(errorSummary=words).error_summary == ""
    kept = hold(errorSummary=words, long=True)
    assert kept.error_summary == "It met nothing."
    assert "all is lost" in kept.notes[0]


def test_words_of_the_source_may_be_quoted(hold):
    """A sentence may quote the workflow's file, an error, and what the rules said."""
    text = "The code is `lines.filter`. It threw “null is not an object”. The advice was “Look at it”."
    kept = hold(rootCause=text, evidence=[{"ref": "attempt:normalize/0/1", "quote": ERROR}])
    assert kept.root_cause == text


def test_secrets_in_an_answer_are_taken_out(hold):
    """What a provider says is redacted like everything else."""
    key = "sk-proj-" + "a1B2c3D4" * 4
    kept = hold(rootCause=f"The key {key} was used.", suggestionDetail=f"Do not use {key}.")
    assert key not in kept.root_cause + kept.detail


@pytest.mark.parametrize(
    "answer",
    [
        {"failureClass": "gremlins"},
        {"suggestion": "pray"},
        {"rootCause": ""},
        {"rootCause": "x" * 10_000},
        {"evidence": [{"ref": "event:1"}]},
        {"evidence": [{"ref": "event:1", "quote": "x"}] * 1_000},
        {"commands": ["x"] * 1_000},
        {"commands": "rm -rf /"},
    ],
)
def test_an_answer_of_another_form_is_none(hold, answer):
    """Unknown words, missing parts and excess are refused as a whole."""
    with pytest.raises(ValueError, match="validation error"):
        hold(**answer)


def test_words_may_be_written_otherwise(hold):
    """Upper case, spaces, snake_case and further fields do no harm."""
    assert hold(failureClass=" Workflow-Bug ", bugTitle="x").root_cause == "It threw."
    assert Proposal(root_cause="x", failure_class="unknown", confidence="low", suggestion="retry").suggestion == "retry"
