"""Where a project of Smithers keeps its history: a file, or, since it was migrated, what the markers say that it left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.sources.urls import is_postgres, without_secrets

STORE: Final = "smithers.db"
"""Name of its store, in the project's folder or in `ANCHOR`."""

ANCHOR: Final = ".smithers"
"""Folder that makes a folder a project of Smithers."""

_MARKERS: Final = ("backend.json", "migrated.json")
_TARGET_KEYS: Final = ("dataDir", "connectionString", "url")
_ELSEWHERE: Final = ("pglite", "postgres")
_ONLY_SAID: Final = ("set", "custom-connection")
"""What the engine writes instead of a connection string."""

_VARIABLES: Final = ("SMITHERS_POSTGRES_URL", "DATABASE_URL")


def moved_to(place: Path) -> tuple[str, str] | None:
    """Read the project's markers: the backend that is not SQLite, and where its data lies.

    The engine asks `backend.json` first and the migration's receipt when that names no backend.
    """
    for name in _MARKERS:
        marker = _marker(place / ANCHOR / name)
        details = _target(marker)
        backend = str(marker.get("backend") or details.get("backend") or marker.get("target") or "").lower()
        if backend == "sqlite":
            return None
        if backend in _ELSEWHERE:
            named = next(
                (details[key] for key in _TARGET_KEYS if isinstance(details.get(key), str) and details[key] not in _ONLY_SAID), None
            )
            default = str(place / ANCHOR / "pg") if backend == "pglite" else "the database of SMITHERS_POSTGRES_URL"
            return backend, without_secrets(named or default)
    return None


def connection_string(place: Path) -> str | None:
    """Find how to connect: as the project's markers say, which as a rule say only that it is set, else as the engine itself does."""
    named = (details.get(key) for name in _MARKERS for details in [_target(_marker(place / ANCHOR / name))] for key in _TARGET_KEYS)
    known = (*named, *map(os.environ.get, _VARIABLES))
    return next((url for url in known if isinstance(url, str) and is_postgres(url)), None)


def _target(marker: dict[str, Any]) -> dict[str, Any]:
    target = marker.get("target")
    return target if isinstance(target, dict) else {}


def _marker(path: Path) -> dict[str, Any]:
    try:
        return as_object(path.read_bytes())
    except OSError:
        return {}
