"""How the table of criteria looks: one line each, with what is missing in words and in colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb.present.html.cards import banner
from smithers_nb.present.html.markup import Card, Html, h, join, table, text_table
from smithers_nb.present.html.parts import note, state_mark
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.delivery.proof import Claim, Clause, Proof

_COLUMNS: Final = ("Criterion", "Verdict", "Command", "Log", "Commit", "Remark")
_CLAIMED: Final = ("Ticket", "Claim of the worker", "Its commands, run by us")


def proof_card(proof: Proof) -> Card:
    """Show the whole table, and what keeps it from being delivered above it."""
    head = banner("Criteria", proof.summary, state="finished" if proof.deliverable else "failed")
    return stacked(head, *(note(each, state="failed") for each in proof.blocking), clauses_card(proof.clauses), claims_card(proof.claims))


def clauses_card(clauses: tuple[Clause, ...]) -> Card:
    """Show criterion → command → log → commit."""
    if not clauses:
        return note("No criteria were recorded.")
    lines = join(h("tr", *(h("td", cell) for cell in _cells(each))) for each in clauses)
    text = text_table(_COLUMNS, (_plain(each) for each in clauses))
    return Card(h("div", table(f"Criteria ({len(clauses)})", _COLUMNS, [lines]), class_="snb"), text)


def claims_card(claims: tuple[Claim, ...]) -> Card:
    """Show what workers said beside what commands said."""
    if not claims:
        return note("No worker claimed anything.")
    rows = [(each.ticket_id, one_line(each.claim, 200), each.checked) for each in claims]
    return Card(h("div", table(f"Claims ({len(rows)})", _CLAIMED, rows), class_="snb"), text_table(_CLAIMED, rows))


def stacked(*cards: Card) -> Card:
    """Put cards below each other."""
    return Card(join(card.html for card in cards), "\n".join(card.text for card in cards))


def _cells(each: Clause) -> tuple[Html | str, ...]:
    proved = each.verdict == "proved"
    mark = state_mark("proved") if proved else h("strong", each.verdict, class_="snb-word")
    return (
        join([h("strong", each.criterion_id), " ", one_line(each.criterion, 200)]),
        h("span", mark, class_=f"snb-{'good' if proved else 'bad'}"),
        h("code", one_line(each.command, 200)) if each.command else "none",
        Path(each.log).name if each.log else "none",
        each.commit[:12] or "none",
        one_line(each.because, 200),
    )


def _plain(each: Clause) -> tuple[str, ...]:
    name = Path(each.log).name if each.log else "none"
    return (f"{each.criterion_id} {each.criterion}", each.verdict, each.command or "none", name, each.commit[:12] or "none", each.because)
