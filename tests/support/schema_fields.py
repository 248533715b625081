"""The fields of the JSON documents as they were published, one file for all of them.

`python -m tests.support.schema_fields` adds what is new: documents, fields, and everything of a version that was raised. It refuses
to take anything out of a version, because that is what a new version is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "data" / "schema_fields.json"


def fields_of(schema: dict[str, Any]) -> dict[str, str]:
    """Map each field of a document, by its path, to its JSON type; what a list holds is its path with `[]`."""
    return dict(_walk(schema.get("items", schema), "", schema.get("$defs", {}), ()))


def _walk(part: dict[str, Any], path: str, definitions: dict[str, Any], inside: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, field in part.get("properties", {}).items():
        yield from _field(field, f"{path}.{name}" if path else name, definitions, inside)


def _field(field: dict[str, Any], path: str, definitions: dict[str, Any], inside: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    choices = [_resolved(choice, definitions) for choice in field.get("anyOf", [field])]
    yield path, " or ".join(sorted({kind for _, choice in choices for kind in _kinds(choice)}))
    for name, choice in choices:
        if name not in inside:  # a class may hold itself
            deeper = (*inside, name) if name else inside
            yield from _walk(choice, path, definitions, deeper)
            if isinstance(choice.get("items"), dict):
                yield from _field(choice["items"], f"{path}[]", definitions, deeper)


def _resolved(choice: dict[str, Any], definitions: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = choice.get("$ref", "").rpartition("/")[2]
    return name, definitions[name] if name else choice


def _kinds(choice: dict[str, Any]) -> list[str]:
    kind = choice.get("type", "any")
    return kind if isinstance(kind, list) else [kind]


def _recorded_anew() -> dict[str, Any]:
    from smithers_nb.cli.schemas import DOCUMENTS, schema_of

    before = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    now = {}
    for name, document in DOCUMENTS.items():
        known = before.get(name, {})
        same = known.get("fields", {}) if known.get("version") == document.version else {}
        now[name] = {"version": document.version, "fields": fields_of(schema_of(name)) | same}
    return now


if __name__ == "__main__":
    RECORDED.write_text(f"{json.dumps(_recorded_anew(), indent=1, sort_keys=True)}\n")
