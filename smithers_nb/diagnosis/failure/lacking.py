"""What is missing from a value that an expression read: a field, any entry of a list, or enough of them.

Follows the names in the expression into an output or an input as it was recorded.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

_MIN_LETTERS: Final = 3
"""Minimum length of a name that may be contained in another one."""

_LIST_MEMBERS: Final = frozenset({"length", "map", "filter", "reduce", "find", "forEach", "some", "every", "join", "slice", "at", "sort"})
"""What every JavaScript list has, whatever its entries are."""


class Lack(NamedTuple):
    """What is missing.

    Attributes:
        field: Dotted path to it.
        words: A clause that says how it is missing.
        near: The field that was probably meant; empty if there is none.
    """

    field: str
    words: str
    near: str = ""


def lacking(row: dict[str, Any], names: tuple[str, ...]) -> Lack | None:
    """Return the first of some names that is missing when they are followed into a value; None when none is."""
    value: Any = row
    path: list[str] = []
    for name in names:
        if isinstance(value, list):
            return _lack_in_list(value, path, name)
        if not isinstance(value, dict):
            return None
        key = next((key for key in value if is_same(key, name)), None)
        path.append(key or name)
        if key is None or value[key] is None:
            return _lack_in_object(value, path, key)
        value = value[key]
    return None


def _lack_in_object(value: dict[str, Any], path: list[str], key: str | None) -> Lack:
    near = near_name(path[-1], {k: v for k, v in value.items() if v is not None})
    return Lack(".".join(path), "which is null in this run" if key and not near else "which it does not have in this run", near)


def _lack_in_list(items: list[Any], path: list[str], name: str) -> Lack | None:
    """Return what is missing when an entry of a list is read by index: its field in every entry, or enough entries."""
    field = ".".join(path)
    if not items:
        return None if name in _LIST_MEMBERS else Lack(field, "which is an empty list in this run")
    if not all(isinstance(item, dict) for item in items):
        return None
    without = [item for item in items if next((v for k, v in item.items() if is_same(k, name)), None) is None]
    if len(without) == len(items) and name not in _LIST_MEMBERS:
        near = near_name(name, {k: v for k, v in items[0].items() if v is not None})
        return Lack(f"{field}[].{name}", "which no entry has in this run", near)
    if without or name in _LIST_MEMBERS:
        return None
    return Lack(field, f"which has {len(items)} {'entries' if len(items) > 1 else 'entry'} in this run")


def near_name(name: str, fields: dict[str, Any]) -> str:
    """Return the field that was probably meant: one name contains the other, or they have nearly the same letters."""
    plain = {letters(key): key for key in fields}
    wanted = letters(name)
    within = [key for word, key in plain.items() if min(len(word), len(wanted)) >= _MIN_LETTERS and (wanted in word or word in wanted)]
    close = get_close_matches(wanted, plain, n=1, cutoff=0.7)
    return within[0] if within else plain[close[0]] if close else ""


def is_same(name: str, other: str) -> bool:
    """Return whether two names are the same but for their spelling, as `fetch-orders` and `fetchOrders` are."""
    return name == other or letters(name) == letters(other)


def letters(name: str) -> str:
    """Return a name in lower case without punctuation, so that different spellings of it are equal."""
    return re.sub(r"[\W_]+", "", name).lower()
