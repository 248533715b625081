"""Text of a run, made short enough to show.

Secrets are taken out before anything is cut: what recognises a secret needs the whole of it, and half a token is still half a
token.
"""

from __future__ import annotations

from typing import Final

from smithers_nb.model.verdict import Evidence
from smithers_nb.redact import redact

QUOTE: Final = 400
"""Longest quote of a row, characters."""


def excerpt(text: str | None, length: int = QUOTE) -> str:
    """Give the beginning of a text, without its secrets."""
    return redact(text or "")[:length]


def quoted(ref: str, text: str | None, note: str = "", length: int = QUOTE) -> Evidence:
    """Quote a row: its reference and the beginning of its text, without its secrets."""
    return Evidence(ref=ref, quote=excerpt(text, length), note=note)
