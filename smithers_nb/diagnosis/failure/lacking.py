"""What a value lacks that was read of it: a field, any entry of a list, or enough of them.

Gets an output or an input as it was recorded and the names that an expression followed into it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

_NEAR: Final = 3


class Lack(NamedTuple):
    """What is not there.

    Attributes:
        field: Dotted path to it.
        words: How it is not there, as a clause.
        near: The field that was probably meant; empty for none.
    """

    field: str
    words: str
    near: str = ""


def lacking(row: dict[str, Any], names: tuple[str, ...]) -> Lack | None:
    """Follow names into a value down to the first that is not there."""
    value: Any = row
    path: list[str] = []
    for name in names:
        if isinstance(value, list):
            return _of_list(value, path, name)
        if not isinstance(value, dict):
            return None
        key = next((key for key in value if is_same(key, name)), None)
        path.append(key or name)
        if key is None or value[key] is None:
            return _of_object(value, path, key)
        value = value[key]
    return None


def _of_object(value: dict[str, Any], path: list[str], key: str | None) -> Lack:
    near = near_name(path[-1], {k: v for k, v in value.items() if v is not None})
    return Lack(".".join(path), "which is null in this run" if key and not near else "which it does not have in this run", near)


def _of_list(items: list[Any], path: list[str], name: str) -> Lack | None:
    """Say what entries lack that are read by an index: all of them their field, or the list so many."""
    field = ".".join(path)
    if not items:
        return None if name in _OF_ANY_LIST else Lack(field, "which is an empty list in this run")
    if not all(isinstance(item, dict) for item in items):
        return None
    without = [item for item in items if next((v for k, v in item.items() if is_same(k, name)), None) is None]
    if len(without) == len(items) and name not in _OF_ANY_LIST:
        near = near_name(name, {k: v for k, v in items[0].items() if v is not None})
        return Lack(f"{field}[].{name}", "which no entry has in this run", near)
    if without or name in _OF_ANY_LIST:
        return None
    return Lack(field, f"which has {len(items)} {'entries' if len(items) > 1 else 'entry'} in this run")


_OF_ANY_LIST: Final = frozenset({"length", "map", "filter", "reduce", "find", "forEach", "some", "every", "join", "slice", "at", "sort"})


def near_name(name: str, given: dict[str, Any]) -> str:
    """Find the field that was probably meant: one whose name contains the other, or nearly the same letters."""
    plain = {letters(key): key for key in given}
    wanted = letters(name)
    within = [key for word, key in plain.items() if min(len(word), len(wanted)) >= _NEAR and (wanted in word or word in wanted)]
    close = get_close_matches(wanted, plain, n=1, cutoff=0.7)
    return within[0] if within else plain[close[0]] if close else ""


def is_same(one: str, other: str) -> bool:
    """Return whether two names are one, written `fetch-orders` or `fetchOrders`."""
    return one == other or letters(one) == letters(other)


def letters(name: str) -> str:
    """Keep what a name is by whichever way it is written."""
    return re.sub(r"[\W_]+", "", name).lower()
