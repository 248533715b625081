"""How the place of a store is written: which scheme it has, how it may be shown, and how it is handed to a process that we start."""

from __future__ import annotations

import os
from itertools import count
from typing import Final

POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
"""Schemes that the URL of a Postgres database may have."""

_LENT: Final = "SMITHERS_NB_SOURCE"


def scheme_of(text: str) -> str | None:
    """Name the scheme of a URL; a path has none, nor has a drive letter."""
    head, colon, _ = text.partition(":")
    return head.lower() if colon and len(head) > 1 and head.replace("+", "").replace("-", "").isalnum() else None


def is_postgres(where: str) -> bool:
    """Distinguish the URL of a Postgres database from any other place."""
    return scheme_of(where) in POSTGRES


def without_secrets(where: str) -> str:
    """Return a place as it may be shown: a URL without user, password and options, anything else as it is."""
    if scheme_of(where) is None or not {"@", "?"} & set(where):
        return where
    scheme, _, rest = where.partition("://" if "://" in where else ":")
    place, _, options = rest.partition("?")
    login, _, public = place.rpartition("@")
    # a password may hold characters that should have been escaped, so it may reach beyond what looks like a path or options
    if ":" in place and "@" in options and not login:
        return f"{scheme}:"
    is_login = "/" not in login or (":" in login and not login.startswith("/"))
    return f"{scheme}://{public if is_login else place}"


def lent(where: str) -> str:
    """Return a text that opens the same source and may be written down, for processes that we start.

    A URL with a password goes into the environment, and the text is the name of its variable: `env:SMITHERS_NB_SOURCE`.
    """
    before, at, _ = where.rpartition("@")
    secret = (at and ":" in before.partition("://")[2]) or "password" in where.partition("?")[2].lower()
    if scheme_of(where) is None or not secret or os.path.exists(where):  # noqa: PTH110
        return where
    name = next(name for place in count() if os.environ.get(name := f"{_LENT}_{place}" if place else _LENT, where) == where)
    os.environ[name] = where
    return f"env:{name}"
