"""Filters a provider's prose sentence by sentence.

A sentence that puts words in quotation marks claims that they are in the record, so they must be. A sentence that asks for something our
own advice never would (deleting, downloading and running, exposing secrets) is dropped, even if the record says it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])\s+|\n+")
_QUOTED: Final = re.compile(r"“([^”]{4,400})”|(?<!\w)\"([^\"\n]{4,400})\"|`([^`\n]{4,400})`")
_HARMFUL: Final = re.compile(
    r"\brm\s+-\w|\bsudo\b|\bmkfs\b|\bdd\s+if=|\bchmod\b[^.\n]*7|\b(?:curl|wget|iwr)\b[^.\n]*\|\s*\w*sh\b|\|\s*(?:ba|z)?sh\b|\beval\b|\bbase64\s+-d"
    r"|\bgit\s+(?:push\s+.*-f|push\s+.*--force|reset\s+--hard|clean\s+-\w*f)|\b(?:drop|truncate)\s+(?:table|database)\b|\bdelete\s+from\b"
    r"|\bprintenv\b|\.ssh/|\.aws/|/etc/(?:passwd|shadow)|\bid_rsa\b|:\(\)\s*\{|\bkill(?:all)?\s+-|\bpoweroff\b|\bshutdown\b|>\s*/dev/(?!null)",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """Split a text at sentence ends and line breaks."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def believable(text: str, occurs: Callable[[str], bool]) -> tuple[str, list[str]]:
    """Keep the sentences whose quotations occur in the record and that ask for nothing harmful.

    Args:
        text: The provider's prose.
        occurs: Returns whether words are in the record.

    Returns:
        The remaining text, and a reason for each sentence that was dropped.
    """
    kept, dropped = [], []
    for sentence in sentences(text):
        missing = next((words for words in _quotations(sentence) if not occurs(words)), None)
        if missing is not None:
            dropped.append(f"a sentence that quotes {missing[:60]!r}, which is not in the record")
        elif is_harmful(sentence):
            dropped.append("a sentence that asks for something dangerous")
        else:
            kept.append(sentence)
    return " ".join(kept), dropped


def harmless(text: str) -> tuple[str, list[str]]:
    """Keep the sentences of advice that ask for nothing harmful; also return a reason for each one dropped."""
    parts = sentences(text)
    kept = [sentence for sentence in parts if not is_harmful(sentence)]
    return " ".join(kept), ["a sentence that asks for something dangerous"] * (len(parts) - len(kept))


def is_harmful(text: str) -> bool:
    """Return whether a text asks for something dangerous."""
    return _HARMFUL.search(text) is not None


def _quotations(sentence: str) -> list[str]:
    return [next(filter(None, groups)).strip() for groups in _QUOTED.findall(sentence)]
