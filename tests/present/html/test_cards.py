"""Cards say what matters, in HTML and in plain text, and nothing of a run becomes markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from smithers_nb.model.rows import AttemptRow
from smithers_nb.model.verdict import Evidence, Recurrence
from smithers_nb.present.html import cards
from smithers_nb.present.html.decision_cards import Before, GateRequest, QuestionRequest, gate_asked, question_asked
from smithers_nb.present.html.markup import Card, Html, h
from smithers_nb.present.html.states import look

ATTACK = "<script>alert(1)</script>\" onx='1' \x1b[31m"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))


def elements(html: str) -> list[tuple[str, list[str]]]:
    parser = _Elements()
    parser.feed(html)
    return parser.found


HOSTILE_CARDS: dict[str, Callable[[], Card]] = {
    "banner": lambda: cards.banner(ATTACK, ATTACK, facts={ATTACK: ATTACK}, hint=ATTACK, state=ATTACK),
    "note": lambda: cards.note(ATTACK, state=ATTACK),
    "empty": lambda: cards.empty("no-match", ATTACK, hint=ATTACK),
    "details": lambda: cards.details(ATTACK, ATTACK),
    "evidence": lambda: cards.evidence_list([Evidence(ref=ATTACK, quote=ATTACK, note=ATTACK)]),
    "commands": lambda: cards.command_sheet([(ATTACK, ATTACK)], title=ATTACK),
    "gate": lambda: cards.gate_card(ATTACK, ATTACK, (ATTACK,), state=ATTACK),
    "problems": lambda: cards.problems_list([(ATTACK, ATTACK), ATTACK]),
    "diff": lambda: cards.diff("+" + ATTACK, path=ATTACK),
    "recurrence": lambda: cards.recurrence_table(Recurrence(run_ids=(ATTACK,), repair_loop=ATTACK)),
}


@pytest.mark.parametrize("name", HOSTILE_CARDS)
def test_nothing_of_a_run_becomes_markup(name: str) -> None:
    """A script in any field is text, also inside attributes."""
    card = HOSTILE_CARDS[name]()
    seen = elements(card.html)
    assert "script" not in {tag for tag, _ in seen}
    assert not any(attribute.startswith("on") or attribute == "style" for _, attributes in seen for attribute in attributes)
    assert "\x1b" not in card.html + card.text


def test_children_are_escaped_unless_they_are_html() -> None:
    """Only what was built as HTML passes as HTML."""
    assert h("p", "<b>", Html("<i>x</i>"), None, class_='a"b') == '<p class="a&quot;b">&lt;b&gt;<i>x</i></p>'


def test_a_card_shows_itself_everywhere() -> None:
    """Notebooks get theme and HTML, terminals the text."""
    card = cards.banner("Run x failed", "A file is missing.")
    bundle = card._repr_mimebundle_()
    assert bundle["text/html"].startswith("<style>")
    assert bundle["text/html"].endswith(card.html)
    assert repr(card) == bundle["text/plain"] == "✖ Run x failed\nA file is missing."


def test_state_is_told_by_icon_and_word() -> None:
    """No state is told by colour alone; an unknown one keeps its own word."""
    assert (look("failed").icon, look("failed").word) == ("✖", "failed")
    assert look("waiting_quota").word == "waiting quota"
    assert look("melted").word == "melted"


def test_every_emptiness_reads_differently(sample: SimpleNamespace) -> None:
    """No source, no runs, no match and nothing recorded are four sentences."""
    kinds = ("no-source", "no-runs", "no-match", "nothing-recorded")
    assert len({cards.empty(kind).text for kind in kinds}) == 4
    assert "attempts" in cards.timeline_table([]).text
    assert "no earlier run" in cards.changes_table(()).text
    assert "Nothing that was recorded differs since the last good run deploy-38" in (
        cards.changes_table((), sample.VERDICT.last_good_run).text
    )


def test_verdict_has_everything_to_act_on(sample: SimpleNamespace) -> None:
    """Class, confidence, root cause, suggestion, commands and evidence are in HTML and text."""
    card = cards.verdict_card(sample.VERDICT)
    for words in (
        "environment",
        "high",
        sample.VERDICT.root_cause,
        sample.VERDICT.suggestion_detail,
        *sample.VERDICT.commands,
        "attempt:implement/0/3",
    ):
        assert words in card.text
        assert words in card.html
    assert f'<code class="snb-command">{sample.VERDICT.commands[0]}</code>' in card.html


def test_references_lead_to_the_rows_they_name(sample: SimpleNamespace) -> None:
    """The evidence links to the row of the table of attempts, the verdict to the evidence."""
    linked = re.findall(r'href="#([^"]+)"', cards.evidence_list(sample.VERDICT.evidence).html)
    assert f'id="{linked[0]}"' in cards.timeline_table(sample.ATTEMPTS).html
    linked = re.findall(r'href="#([^"]+)"', cards.verdict_card(sample.VERDICT).html)
    assert linked
    assert all(f'id="{target}"' in cards.evidence_list(sample.VERDICT.evidence).html for target in linked)


def test_different_references_have_different_anchors() -> None:
    """References that differ only in odd characters do not share an anchor."""
    refs = ["attempt:a b/0/1", "attempt:a-b/0/1", "attempt:a/b/0/1", "attempt:" + "x" * 90 + "/0/1", "attempt:" + "x" * 90 + "/0/2"]
    assert len(set(map(cards.anchor, refs))) == len(refs)


def test_long_tables_keep_what_failed(sample: SimpleNamespace) -> None:
    """When a table is cut, failed attempts stay and the caption says so."""
    rows = [sample.attempt(f"n{i}", 1, "finished", i, i + 1) for i in range(50)] + [sample.attempt("late", 1, "failed", 99, 100, "boom")]
    card = cards.timeline_table(rows, limit=10)
    assert "boom" in card.html
    assert "10 of 51" in card.text


def test_frames_and_rows_give_the_same_table(sample: SimpleNamespace) -> None:
    """A frame of the same table is as good as rows."""
    from smithers_nb.frames import frame_from_rows

    assert cards.timeline_table(frame_from_rows(AttemptRow, sample.ATTEMPTS)).html == cards.timeline_table(sample.ATTEMPTS).html


def test_diff_counts_and_names_its_lines(sample: SimpleNamespace) -> None:
    """Added and removed lines are told by sign, by words for screen readers and by number; headers are neither."""
    card = cards.diff(sample.PATCH, path="wf.tsx")
    assert card.text.splitlines()[0] == "wf.tsx: 2 lines added, 1 removed"
    assert card.html.count("added: ") == 2
    assert card.html.count("removed: ") == 1


def test_a_gate_says_what_follows() -> None:
    """Title, reason, consequences and that it would only be asked are there."""
    text = cards.gate_card("Report it?", "Engine code.", ("It is sent.",)).text
    assert text.splitlines() == ["◆ Report it? (would be asked)", "Engine code.", "  if yes: It is sent."]


def test_secrets_do_not_reach_a_card() -> None:
    """A secret in a field is redacted where it becomes text."""
    token = "ghp_" + "a1" * 18
    card = cards.stack(cards.banner("x", f"used {token}"), cards.details("raw", token), cards.diff("+" + token), None)
    assert token not in card.html + card.text


def test_megabyte_fields_stay_small() -> None:
    """A message of megabytes does not make a card of megabytes."""
    assert len(cards.banner("x", "y" * 3_000_000).html) < 10_000
    assert len(cards.details("x", "y" * 3_000_000).html) < 50_000


def test_a_gate_that_asks_something_else_shows_both_versions():
    """What was decided stands beside what is asked now, escaped, in the card and in its text."""
    changes = [("title", "Pay 10 EUR?", "Pay 1000000 EUR?"), ("details.to", None, "<script>")]
    before = Before("approved", "ann@here", 1_700_000_000_000, changes)
    card = gate_asked(GateRequest("Pay 1000000 EUR?", details={"to": "<script>"}, before=before))
    for text in (card._repr_html_(), str(card)):
        assert all(
            part in text
            for part in ("Asked again: ann@here said “approved” on 2023-11-14", "Pay 10 EUR?", "Pay 1000000 EUR?", "Before", "Now")
        )
    assert "<script>" not in card._repr_html_()
    question = question_asked(
        QuestionRequest("Delete production?", before=Before("yes", "ann", 0, [("prompt", "Delete staging?", "Delete production?")]))
    )
    assert "Delete staging?" in str(question)
