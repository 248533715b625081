"""A card in Markdown says what happened, and nothing that a run wrote becomes markup in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smithers_nb.model.explanation import Explanation
from smithers_nb.model.verdict import Advice, Blocker, Change, LastGoodRun, Recurrence, Verdict
from smithers_nb.present.markdown import explanation_card, verdict_card


def explanation(summary: str, *commands: str) -> Explanation:
    return Explanation(
        run_id="run-1",
        workflow="nightly",
        status="failed",
        state="failed",
        summary=summary,
        advice=Advice(suggestion="retry", detail="Try again.", commands=commands),
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ping @maintainers #12", "ping &#64;maintainers \\#12"),
        ("![x](http://evil/p.png)", "\\!\\[x\\](http&#58;//evil/p.png)"),
        ("<img src=x onerror=y>", "\\<img src=x onerror=y\\>"),
        ("a|b *c* _d_", "a\\|b \\*c\\* \\_d\\_"),
        ("`load` reads `x|y`", "`load` reads `x¦y`"),
        ("one ` alone", "one \\` alone"),
        ("first\n# second", "first \\# second"),
    ],
)
def test_text_is_never_markup(text: str, written: str) -> None:
    """Mentions, links, images, tags, tables and headings of a run stay text; code between backticks stays code."""
    assert explanation_card(explanation(text)).splitlines()[2] == written


def test_a_fence_that_no_command_closes() -> None:
    """Commands stand whole in one block, also when they hold a fence themselves."""
    card = explanation_card(explanation("It failed.", "echo '```'", "smithers-nb why run-1"))
    assert "````sh\necho '```'\nsmithers-nb why run-1\n````" in card


def test_what_failed_is_said_once() -> None:
    """What keeps a failed run from going on is in the advice; of a run that waits it is all there is."""
    waits = Blocker(kind="gate", reason="a person must decide ship")
    failed = replace(explanation("It failed.", "smithers-nb resume run-1"), blockers=(waits,))
    assert waits.reason not in explanation_card(failed)
    assert waits.reason in explanation_card(replace(failed, advice=None))


def test_no_secret() -> None:
    """A secret in a sentence or a command is not in the card."""
    secret = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5"
    assert secret not in explanation_card(explanation(f"Refused: {secret}", f"curl -H 'Authorization: Bearer {secret}'"))


def test_a_verdict_has_before_and_after() -> None:
    """What changed since the last good run is a table, long lists are cut and say so, and the report is named."""
    changes = tuple(Change(what=f"input.field{n}", before=str(n), after="`x` | y") for n in range(10))
    row = Verdict(
        target_run_id="run-1",
        failure_class="environment",
        confidence="high",
        root_cause="The input changed.",
        suggestion="retry",
        suggestion_detail="Try again.",
        commands=("smithers up x.tsx",),
        summary="",
        recurrence=Recurrence(count=3, runs=2),
        last_good_run=LastGoodRun(run_id="run-0"),
        changed_since=changes,
    )
    card = verdict_card(row, "artifacts/autopsy/run-1.html")
    assert card.startswith("### ✖ failed: `run-1`\n\nThe input changed.\n\nClass: **environment**, confidence high\n")
    assert "| input.field0 | 0 | `x` \\| y |" in card
    assert "2 more changes are in the report." in card
    assert "Seen in 2 runs. Last good run: run-0." in card
    assert card.endswith("Report: [`artifacts/autopsy/run-1.html`](<artifacts/autopsy/run-1.html>)\n")
