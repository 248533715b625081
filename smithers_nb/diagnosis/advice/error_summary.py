"""An error in plain words, for one that is too long or changes too much to be read.

A short reason says all by itself and gets no summary, however often it came. A longer text, or attempts that each failed in
another way, get one: how long, what it says most, what repeats, how the attempts differ. It stands beside the text, never in its place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.excerpt import LIMIT, abridged, telling, telling_line
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Failure

_OFTEN: Final = 3
_FEW_LINES: Final = 3
_QUOTE: Final = 140
_WORD: Final = re.compile(r"[^\W\d_]{3}")
_MAX_LINES: Final = 5_000
_KILO: Final = 1_000


def is_simple(message: str) -> bool:
    """Return whether a reason can be read as it stands: one line, or two or three that together are no longer."""
    return len(message) <= LIMIT and len(message.strip().splitlines()) <= _FEW_LINES


def error_summary(failure: Failure, attempts: Sequence[AttemptRow] = ()) -> str:
    """Summarise in plain words what a long or ever changing error is.

    Args:
        failure: The failure that mattered.
        attempts: Attempts of its run; those of other nodes are left out.

    Returns:
        One to four sentences without secrets; empty when the reason is simple.
    """
    longest = max((link.message for link in failure.chain), key=len, default="")
    told = [] if is_simple(longest) else _of_text(longest)
    told += _of_attempts(failure, attempts)
    return redact(" ".join(told))


def _of_text(message: str) -> list[str]:
    """Describe one long text: its size, its most telling line, what repeats, and how it begins and ends."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()][:_MAX_LINES]
    size = f"{len(message) / _KILO:,.1f} kB" if len(message) >= _KILO else f"{len(message)} characters"
    told = [f"The error text has {len(lines):,} {'lines' if len(lines) > 1 else 'line'} ({size})."]
    kinds = [signature(line) for line in lines]
    common, times = Counter(kinds).most_common(1)[0]
    rare = [line for line, kind in zip(lines, kinds, strict=True) if times < _OFTEN or kind != common]
    most = telling_line("\n".join(rare)) or telling_line(message) or telling(message, _QUOTE)
    told.append(f"What it says most is {_quote(most)}.")
    if times >= _OFTEN:
        first = lines[kinds.index(common)]
        told.append(f"{times:,} of its lines say the same as {_quote(first)}.")
    ends = [line for line in lines if _WORD.search(line)]
    if len(ends) > _OFTEN and most not in {ends[0], ends[-1]}:
        told.append(f"It begins with {_quote(ends[0])} and ends with {_quote(ends[-1])}.")
    return told


def _of_attempts(failure: Failure, attempts: Sequence[AttemptRow]) -> list[str]:
    """Describe attempts that failed in different ways, in their order."""
    kinds = Counter(failure.signatures)
    if len(kinds) < 2:  # noqa: PLR2004  # one kind of failure is no change
        return []
    own = [
        a
        for a in sorted(attempts, key=by_start)
        if (a.node_id, a.iteration) == (failure.node_id, failure.iteration) and a.run_id == failure.run_id and a.error_message
    ]
    told = [f"{len(failure.signatures)} attempts failed in {len(kinds)} different ways."]
    messages = [telling(a.error_message or "", _QUOTE) for a in own]
    if messages and messages[0] != messages[-1]:
        told.append(f"The first said {_quote(messages[0])}, the last {_quote(messages[-1])}.")
    return told


def _quote(line: str) -> str:
    return f"“{abridged(' '.join(redact(line).split()), _QUOTE).rstrip('.')}”"
