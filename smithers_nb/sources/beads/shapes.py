"""Classify a line by its keys, not by file name or version: an issue, an entry of one of six kinds of log, or a side table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

Log = Literal["audit", "journal", "interactions", "gascity", "cloud", "gt"]
Shape = Literal[
    "audit", "journal", "interactions", "gascity", "cloud", "gt", "issue", "bead", "comment", "dependency", "label", "config", "other"
]

_KEYS: Final[tuple[tuple[Shape, frozenset[str]], ...]] = (
    ("cloud", frozenset({"bead_event_id", "bead_id", "event_type"})),
    ("audit", frozenset({"issue_id", "event_type", "new_value"})),
    ("audit", frozenset({"issue_id", "event_type", "actor"})),
    ("journal", frozenset({"seq", "op", "issue_id"})),
    ("interactions", frozenset({"kind", "id", "created_at"})),
    ("interactions", frozenset({"kind", "issue_id"})),
    ("gascity", frozenset({"seq", "type", "ts"})),
    ("gt", frozenset({"ts", "source", "type", "visibility"})),
    ("gt", frozenset({"ts", "type", "actor", "payload"})),
    ("bead", frozenset({"bead_id", "type", "status", "title"})),
    ("issue", frozenset({"id", "title", "status"})),
    ("dependency", frozenset({"issue_id", "depends_on_id"})),
    ("comment", frozenset({"issue_id", "text"})),
    ("comment", frozenset({"issue_id", "author", "id"})),
    ("label", frozenset({"issue_id", "label"})),
    ("config", frozenset({"key", "value"})),
)
"""Minimum keys of each shape; the first match wins."""

LOGS: Final[tuple[Log, ...]] = ("audit", "cloud", "journal", "interactions", "gascity", "gt")
"""Kinds of log, the most complete first; of two that show the same number of changes, the first counts."""

NUMBERED: Final[frozenset[Log]] = frozenset({"journal", "gascity"})
"""Kinds of log that number their lines in `seq`."""

NAMES: Final[Mapping[str, str]] = {
    "audit": "bd audit events",
    "cloud": "bead events",
    "journal": "bd events journal",
    "interactions": "bd interactions",
    "gascity": "gascity events",
    "gt": "gt events",
    "issue": "bd issues",
    "bead": "beads",
}

OURS: Final[Mapping[str, Shape]] = {"ledger:beads": "bead", "ledger:bead_events": "cloud"}
"""Types of the lines in our ledger's export that are beads and their log."""

_TYPES: Final[Mapping[str, Shape]] = {"issue": "issue", "bead": "bead", "bead_event": "cloud", **OURS}


_MAX_SEEN: Final = 10_000
SEEN: Final[dict[tuple[str, ...], Shape]] = {}
"""Cache of shapes by keys (without `_type`): lines of one writer have the same keys, so most are known already."""


def shape_of(record: Mapping[str, Any]) -> Shape:
    """Return the shape of a line; `other` for a memory, a schema line or anything unknown."""
    named = record.get("_type")
    if named is not None:
        return _TYPES.get(named, "other") if isinstance(named, str) else "other"
    keys = tuple(record)
    known = SEEN.get(keys)
    if known is not None:
        return known
    shape: Shape = next((shape for shape, needed in _KEYS if needed <= record.keys()), "other")
    if len(SEEN) < _MAX_SEEN and "_type" not in keys:
        SEEN[keys] = shape
    return shape
