"""What is told where a verdict is not sure: the best explanations and what speaks for and against each."""

from __future__ import annotations

from smithers_nb.diagnosis.classify.classify import classify_message


def test_rival_explanations_stand_beside_each_other():
    """The chosen class comes first; each has its own signs and the strongest of another."""
    found = classify_message("Request failed with status code 400: the upstream connection was closed")
    assert found.confidence != "high"
    chosen, other, *_ = found.hypotheses
    assert chosen.failure_class == found.failure_class
    assert other.failure_class != chosen.failure_class
    assert chosen.speaks_for[0] == found.reason
    assert chosen.speaks_against == other.speaks_for[0]
    assert chosen.text.startswith(f"{chosen.failure_class}: {found.reason}")


def test_what_is_sure_or_says_nothing_has_no_hypotheses():
    """One clear cause needs no rival, and an empty error has none."""
    assert classify_message("ENOSPC: no space left on device, write").hypotheses == ()
    assert classify_message("undefined").hypotheses == ()
