"""A printed command never carries a secret of the run's input, and cannot be pasted before somebody has filled it in."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from smithers_nb.cli.run_options import given_parameters
from smithers_nb.diagnosis.engines.base import FILL_IN, EngineCommands, secret_fields
from smithers_nb.diagnosis.engines.notebooks import NotebookCommands
from smithers_nb.diagnosis.engines.smithers import SmithersCommands
from smithers_nb.errors import ParameterError
from smithers_nb.redact import redact

TOKEN = "ghp_" + "0aB1cD2eF3" * 3 + "456789"
INPUTS: list[tuple[dict[str, Any], str]] = [
    ({"api_key": 'it\'s "my" $ecret 9', "day": 3}, "$ecret"),
    ({"day": 3, "note": f"use {TOKEN} for it"}, TOKEN),
    ({"db": {"host": "h", "password": "hunter'22x"}, "day": 3}, "hunter"),
    ({"dsn": "postgresql://svc:pa'ss9word1@db.internal/app"}, "ss9word1"),
    ({"headers": ["Authorization: Bearer 0123456789abcdef0123456789"]}, "0123456789abcdef"),
    ({"env": [{"name": "API_TOKEN", "value": "q'7w8e9r0t1y2u3i4o"}]}, "7w8e9r0t1y"),
    ({"kept": "[REDACTED:3f2a]"}, "[REDACTED"),
    ({"token": TOKEN[:-1] + "'"}, TOKEN[:-1]),
]


@pytest.mark.parametrize(("given", "secret"), INPUTS)
@pytest.mark.parametrize("engine", [NotebookCommands(), SmithersCommands()])
def test_secrets_are_left_to_fill_in(engine: EngineCommands, given: dict[str, Any], secret: str) -> None:
    """Quotes in a secret do not hide it, nothing is replaced after quoting, and the rest of the input is whole."""
    line = engine.fresh_run("w", given)
    assert secret not in line
    assert "[REDACTED" not in redact(line)
    assert FILL_IN in line
    assert secret_fields(given)
    if "day" in given:
        assert '"day": 3' in line or "-p day 3" in line


@pytest.mark.parametrize(("given", "secret"), INPUTS)
def test_an_unfilled_command_of_ours_starts_nothing(given: dict[str, Any], secret: str) -> None:
    """Pasted as it is, the line is refused; neither `…` nor a replacement becomes a parameter."""
    del secret
    words = shlex.split(NotebookCommands().fresh_run("w", given))[3:]
    pairs = tuple((words[at + 1], words[at + 2]) for at in range(0, len(words), 3))
    with pytest.raises(ParameterError, match="still has to be filled in"):
        given_parameters(pairs, None, None)


@pytest.mark.parametrize(("given", "secret"), INPUTS)
def test_an_unfilled_input_of_smithers_is_no_json(given: dict[str, Any], secret: str) -> None:
    """Smithers refuses an `--input` in which a place to fill in still stands."""
    del secret
    with pytest.raises(json.JSONDecodeError):
        json.loads(shlex.split(SmithersCommands().fresh_run("w", given))[-1])


def test_ordinary_input_is_printed_whole() -> None:
    """What is no secret is not left out."""
    given = {"month": "2026-10", "tokens": 5, "key": "EUR", "paths": ["/a b/c"], "text": "café … ok"}
    assert json.loads(shlex.split(SmithersCommands().fresh_run("w", given))[-1]) == given
    assert secret_fields(given) == []


@pytest.mark.parametrize("document", ['{"a": "…"}', '{"a": {"b": ["[REDACTED]"]}}', '{"a": "x [REDACTED:3f2a] y"}'])
def test_json_with_a_place_to_fill_in_is_refused(document: str) -> None:
    """Also within JSON; a file of parameters is somebody's own text and is taken as it is."""
    with pytest.raises(ParameterError, match="still has to be filled in"):
        given_parameters((), None, document)
