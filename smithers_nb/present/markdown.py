"""A finding as one Markdown card, for a pull request, a chat or the summary of a CI job.

Gets an explanation or a verdict; gives Markdown in which nothing that a run wrote is markup: no mention is sent to anybody, no link,
image or tag is made of it. What stands between backticks stays code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line, shown

if TYPE_CHECKING:
    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.verdict import Change, Verdict

_CODE = re.compile(r"(`[^`\n]+`)")
_MARKUP = re.compile(r"[\\*_\[\]<>|#~!`&$]")
_IN_LINK: Final = "/:?&=%#~@+,;"
_MAX_TEXT = 1_500
_MAX_CHANGES = 8


def explanation_card(why: Explanation) -> str:
    """Write why a run failed or what it waits for, and the commands."""
    kind = why.classification
    told = () if why.advice else why.blockers  # of what failed the advice says how to go on
    lines = [why.summary, *(blocker.reason for blocker in told if blocker.reason not in why.summary)]
    return _card(
        _heading(why.state, why.workflow, why.run_id),
        lines,
        f"Class: **{kind.failure_class}**, confidence {kind.confidence}" if kind else "",
        (why.advice.detail if why.advice else why.folder, why.commands),
        (),
    )


def verdict_card(row: Verdict, report: str = "") -> str:
    """Write the verdict of an autopsy, with what changed since the last good run and where the report is."""
    seen = f"Seen in {row.recurrence.runs:,} runs." if row.recurrence.runs > 1 else ""
    good = f"Last good run: {_text(row.last_good_run.run_id)}." if row.last_good_run else ""
    report = f"Report: [{_code(report)}](<{quote(report, safe=_IN_LINK)}>)" if report else ""
    return _card(
        _heading("failed", "", row.target_run_id),
        [row.root_cause],
        f"Class: **{row.failure_class}**, confidence {row.confidence}",
        (row.suggestion_detail, row.commands),
        [*_changes(row.changed_since), " ".join(part for part in (seen, good) if part), report],
    )


def _card(heading: str, cause: Iterable[str], judged: str, advice: tuple[str, Sequence[str]], more: Iterable[str]) -> str:
    detail, commands = advice
    blocks = [heading, *map(_text, cause), judged, _text(detail), _fenced(commands), *more]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _heading(state: str, workflow: str | None, run_id: str) -> str:
    seen = look(state)
    return f"### {seen.icon} {_text(seen.word)}: {' '.join(_code(part) for part in (workflow, run_id) if part)}"


def _changes(changes: Sequence[Change]) -> list[str]:
    """Lay out before and after as a table."""
    if not changes:
        return []
    rows = ["| changed | last good run | this run |", "| --- | --- | --- |"]
    rows += [f"| {' | '.join(_text(cell, 120) or '-' for cell in (one.what, one.before, one.after))} |" for one in changes[:_MAX_CHANGES]]
    left = len(changes) - _MAX_CHANGES
    return ["\n".join(rows), f"{left:,} more changes are in the report." if left > 0 else ""]


def _text(value: str | None, limit: int = _MAX_TEXT) -> str:
    """Write a sentence: code between backticks stays, anything else that Markdown would read as markup is escaped."""
    parts = zip(_CODE.split(one_line(value, limit)), chain.from_iterable(repeat((False, True))), strict=False)
    return "".join(part.replace("|", "¦") if is_code else _plain(part) for part, is_code in parts)


def _plain(text: str) -> str:
    return re.sub(r":(?=//)", "&#58;", _MARKUP.sub(lambda match: "\\" + match.group(), text).replace("@", "&#64;"))


def _code(text: str) -> str:
    """Write a value as code on one line."""
    return f"`{one_line(text, 300).replace('`', chr(0x2CB))}`"


def _fenced(commands: Sequence[str]) -> str:
    """Write commands as one block, in a fence that none of them can close."""
    if not commands:
        return ""
    lines = [shown(command, 20_000) for command in commands]
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}sh", *lines, fence])
