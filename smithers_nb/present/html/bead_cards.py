"""Cards of work items: why one failed, what happened to it, what a fleet did, how far a convoy is, and which reasons were lost."""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.beads.audit import THRESHOLDS
from smithers_nb.model.timestamps import when
from smithers_nb.present.html.cards import banner, command_sheet, details, stack
from smithers_nb.present.html.markup import Card, h, table, text_table
from smithers_nb.present.html.parts import empty, note
from smithers_nb.present.html.text import one_line, shown
from smithers_nb.sources.stores.json_text import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smithers_nb.diagnosis.beads.audit import Audit
    from smithers_nb.model.beads import BeadEventRow, BeadRow
    from smithers_nb.model.failure_reason import FailureReason

_ROWS: Final = 20
_HEADLINE: Final = ("closes_no_reason", "closes_default", "give_backs_no_reason", "reopens_no_reason")
_TEXTS: Final = {"log_tail_ref": "End of the agent's log", "reason_ref": "What the container said, in full"}
_WORDS: Final = {
    "closes": "closes",
    "closes_no_reason": "closed without a reason",
    "closes_default": 'closed with the default "Closed"',
    "closes_one_word": "closed with one word (the default included)",
    "closes_terse": "closed with less than 20 characters",
    "give_backs": "given back",
    "give_backs_no_reason": "given back without a reason anywhere",
    "reopens": "reopened",
    "reopens_no_reason": "reopened without a reason anywhere",
    "reopen_reason_gone": "reopened, and the earlier reason is gone from the row",
    "second_reason_dropped": "closed again with another reason, which the row drops",
    "bounced_3": "beads given back three times or more",
    "lease_reclaims_no_reason": "taken back by an automatic sweep without a reason",
}


def bead_card(  # noqa: PLR0913  # all but three are options by name
    bead: BeadRow,
    reason: FailureReason | None,
    events: Sequence[BeadEventRow] = (),
    *,
    summary: str = "",
    causes: Sequence[tuple[str, FailureReason]] = (),
    texts: Mapping[str, str] | None = None,
) -> Card:
    """Show one work item: a red banner with the message when it failed, the reason's details, and its timeline.

    Args:
        bead: The bead.
        reason: Why it failed, or failed last; None when it never did.
        events: Its log, oldest first.
        summary: The reason in plain language, shown beside the raw one.
        causes: Failures of other beads that this one has to do with, such as its merge request or a convoy's members.
        texts: Logs and long outputs that the reason names by reference, by the name of the detail.
    """
    title = f"{bead.bead_id}  {bead.title or ''}".strip()
    facts: dict[str, object] = {"type": bead.type, "status": bead.status, "held by": bead.assignee}
    facts["dispatches"] = bead.dispatch_attempts or None
    if bead.status == "failed":
        message = reason.message if reason else bead.reason or "No reason recorded"
        code: dict[str, object] = {"code": reason.code, "noticed by": reason.source} if reason else {}
        top = banner(f"Bead {title} failed", message, facts=facts | code, hint=summary)
    else:
        status = bead.status or "unknown"
        top = banner(f"Bead {title}", bead.reason or f"It is {status.replace('_', ' ')}.", state=status, facts=facts)
    parts = [top]
    if reason is not None:
        body = "\n".join([f"code: {reason.code}", f"source: {reason.source}", _pretty(reason.details)])
        parts.append(details("Code, source and details of the failure", body))
        parts += [details(_TEXTS.get(name, name), kept) for name, kept in (texts or {}).items()]
        if run_id := reason.details.get("autopsy_run_id"):
            parts.append(command_sheet([(f"smithers-nb autopsy {quote(str(run_id))}", "why the agent's run failed")]))
    if causes:
        parts.append(stack(*(note(f"Caused by {other}: {why.code}: {why.message}", state="failed") for other, why in causes)))
    return stack(*parts, timeline_card(events, f"Timeline of {bead.bead_id}")) if events else stack(*parts)


def activity_card(events: Sequence[BeadEventRow]) -> Card:
    """Show what happened in a fleet, newest first, with the reason of every failure."""
    return _events(events, "Activity", ("When (UTC)", "Bead", "Event", "By", "Why"), lambda event: (h("code", event.bead_id),))


def timeline_card(events: Sequence[BeadEventRow], caption: str = "Timeline") -> Card:
    """Show the log of a bead; a failure has its whole reason in its entry."""
    return _events(events, caption, ("When (UTC)", "Event", "By", "Why"), lambda _: ())


def convoys_card(convoys: Sequence[Mapping[str, Any]]) -> Card:
    """Show how far convoys are: closed, failed, total, and how each stands."""
    if not convoys:
        return empty("nothing-recorded", "convoys")
    columns = ("Convoy", "Status", "Closed", "Failed", "Total", "Progress")
    cells = [(one["bead_id"], one["status"], one["closed"], one["failed"], one["total"], _bar(one)) for one in convoys]
    rows = [(h("code", one[0]), h("span", one[1], class_=f"snb-{_convoy_tone(one[1])}"), *one[2:]) for one in cells]
    return Card(h("div", table("Convoys", columns, rows), class_="snb"), f"Convoys\n{text_table(columns, cells)}")


def audit_card(audit: Audit, rows: int = _ROWS) -> Card:
    """Show an audit: what was lost, by whom work was given back, what the store cannot show, and the rows behind the counts."""
    counts = [(name, _number(audit.counts.get(name)), words) for name, words in _WORDS.items()]
    columns = ("Count", "", "Meaning")
    page = [table("Reasons", columns, counts)]
    text = [text_table(columns, counts)]
    covered = ("Source", "Kind", "Records", "Counted", "What it cannot show, and notes")
    parts = [
        (
            part["source"],
            part["kind"],
            part["records"],
            "yes" if part["counted"] else "no",
            "; ".join([*part["cannot_show"], *part["notes"]]),
        )
        for part in audit.coverage
    ]
    page.append(table("Coverage", covered, parts))
    text.append(
        "Coverage\n" + "\n".join(f"  {one[0]} ({one[1]}, {one[2]} records): {one[4] or 'complete as far as it shows'}" for one in parts)
    )
    if audit.problems:
        damaged = [(one.where, one.what) for one in audit.problems[:_ROWS]]
        page.append(table("Could not be read", ("Where", "What"), damaged))
        text.append("Could not be read\n" + "\n".join(f"  {one_line(where)}: {one_line(what)}" for where, what in damaged))
    shown = audit.evidence[:rows]
    if shown:
        heads = ("Finding", "Bead", "When (UTC)", "By", "Held by", "Reason", "Row")
        lines = [
            (row.finding, row.bead_id, when(row.at), row.actor or "", row.holder or "", one_line(row.reason, 80), row.ref) for row in shown
        ]
        page.append(table(f"Evidence: {len(shown)} of {len(audit.evidence)} rows", heads, lines))
        text.append(f"Evidence: {len(shown)} of {len(audit.evidence)} rows\n{text_table(heads, lines)}")
    return Card(h("section", headline(audit).html, *page, class_="snb snb-card"), "\n\n".join([headline(audit).text, *text]))


def headline(audit: Audit) -> Card:
    """Summarise in one sentence what an audit found; a store that can show little is never called clean."""
    lost = {
        name: audit.counts.get(name) or 0 for name in ("closes_no_reason", "closes_default", "give_backs_no_reason", "reopens_no_reason")
    }
    hidden = [name for name, value in audit.counts.items() if value is None]
    blind = f" {len(hidden)} of {len(audit.counts)} counts cannot be told from this store." if hidden else ""
    blind += " Part of it could not be read." if audit.problems else ""
    closes = lost["closes_no_reason"] + lost["closes_default"]
    if not any(audit.counts.get(name) for name in ("closes", "give_backs", "reopens")):
        return note(f"Nothing to judge: no close, give-back or reopen was found.{blind}", state="info")
    if not any(lost.values()):
        less = " Some say little, or were lost later." if any(audit.counts.get(name) for name in THRESHOLDS) else ""
        words = f"Nothing that ought to have a reason was found without one.{less}{blind}"
        return note(words, state="info" if less or blind else "succeeded")
    said = [f"{closes} of {audit.counts['closes']} closes say no more than the default" if closes else ""]
    said.append(
        f"{lost['give_backs_no_reason']} of {audit.counts['give_backs']} give-backs have no reason" if lost["give_backs_no_reason"] else ""
    )
    said.append(f"{lost['reopens_no_reason']} of {audit.counts['reopens']} reopens have no reason" if lost["reopens_no_reason"] else "")
    sentence = "; ".join(part for part in said if part)
    return note(f"{sentence[:1].upper()}{sentence[1:]}.{blind}", state="problem")


def _events(events: Sequence[BeadEventRow], caption: str, columns: Sequence[str], more: Any) -> Card:
    if not events:
        return empty("nothing-recorded", "events")
    rows, lines = [], []
    for event in events:
        said, why = (when(event.at), *more(event), _event(event), event.actor or ""), _why(event)
        bad = event.new_status == "failed" or event.reason_code is not None
        rows.append(h("tr", *(h("td", cell) for cell in (*said, why)), class_="snb-bad" if bad else None))
        if bad and event.payload:
            context = details(f"The whole event of {event.bead_id}", _context(event)).html
            rows.append(h("tr", h("td", context, colspan=str(len(columns)))))
        lines += ["  ".join(filter(None, map(one_line, said))), *([f"    {shown(why)}"] if why else [])]
    return Card(h("div", table(caption, columns, rows), class_="snb"), "\n".join(lines))


def _event(event: BeadEventRow) -> str:
    change = f" {event.old_status or '?'} → {event.new_status}" if event.new_status and event.new_status != event.old_status else ""
    return f"{event.type}{change}"


def _why(event: BeadEventRow) -> str:
    code = f"{event.reason_code}: " if event.reason_code else ""
    by = f" (noticed by {event.reason_source})" if event.reason_source else ""
    return f"{code}{event.reason or ''}{by}".strip()


def _context(event: BeadEventRow) -> str:
    """Return an event as it is stored, laid out."""
    stored = parse(event.payload)
    return event.payload or "" if stored is None else _pretty(stored)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _number(value: int | None) -> str:
    return "not known" if value is None else str(value)


def _bar(convoy: Mapping[str, Any]) -> str:
    total = max(convoy["total"], 1)
    done, failed = int(10 * convoy["closed"] // total), int(-(-10 * convoy["failed"] // total))
    return "█" * done + "✖" * failed + "░" * (10 - done - failed)


def _convoy_tone(status: str) -> str:
    tones: dict[str, str] = {"landed": "good", "active": "busy"}
    return tones.get(status, "bad")
