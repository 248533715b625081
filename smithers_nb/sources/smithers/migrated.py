"""Where a Smithers project keeps its history: in a file, or, after a migration, where its marker files say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.sources.urls import is_postgres, without_secrets

STORE: Final = "smithers.db"
"""File name of the store, in the project's folder or in `ANCHOR`."""

ANCHOR: Final = ".smithers"
"""Folder that marks a Smithers project."""

_MARKERS: Final = ("backend.json", "migrated.json")
_TARGET_KEYS: Final = ("dataDir", "connectionString", "url")
_ELSEWHERE: Final = ("pglite", "postgres")
_PLACEHOLDERS: Final = ("set", "custom-connection")
"""What the engine writes instead of a connection string."""

_VARIABLES: Final = ("SMITHERS_POSTGRES_URL", "DATABASE_URL")


def moved_to(place: Path) -> tuple[str, str] | None:
    """Return the backend that a project moved to and where its data is, from its marker files; None if it uses SQLite.

    Like the engine, this reads `backend.json` first, and the migration's receipt if that names no backend.
    """
    for name in _MARKERS:
        marker = _marker(place / ANCHOR / name)
        details = _target(marker)
        backend = str(marker.get("backend") or details.get("backend") or marker.get("target") or "").lower()
        if backend == "sqlite":
            return None
        if backend in _ELSEWHERE:
            named = next(
                (details[key] for key in _TARGET_KEYS if isinstance(details.get(key), str) and details[key] not in _PLACEHOLDERS), None
            )
            default = str(place / ANCHOR / "pg") if backend == "pglite" else "the database of SMITHERS_POSTGRES_URL"
            return backend, without_secrets(named or default)
    return None


def connection_string(place: Path) -> str | None:
    """Return the Postgres URL of a project: from its markers, which usually only say that one is set, else from the environment."""
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
