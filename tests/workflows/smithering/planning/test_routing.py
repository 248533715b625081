"""How much process a request deserves."""

from __future__ import annotations

from pathlib import Path

import pytest

from smithers_nb.workflows.smithering.planning.routing import checks_of, classify


@pytest.mark.parametrize(
    ("prompt", "tier"),
    [
        ("Fix the typo in the README", "trivial"),
        ("Rename the flag --colour to --color", "trivial"),
        ("Add a --json option to the export command", "complex"),
        ("Fix the crash when the file is empty", "complex"),
        ("Build a command line app that totals our price list, with discount, tax and an API", "full-build"),
        ("Design and build a billing service from scratch, end to end", "full-build"),
    ],
)
def test_a_request_gets_a_tier_with_reasons(prompt: str, tier: str) -> None:
    """Each tier is decided by signs in the request, and every one that counted is told with its weight."""
    found = classify(prompt)
    assert found.tier == tier
    assert all(reason[0] in "+-" for reason in found.reasoning)


def test_an_empty_repository_asks_for_more(tmp_path: Path) -> None:
    """The repository counts too."""
    assert any("empty" in reason for reason in classify("Add a greeting", tmp_path).reasoning)


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("Makefile", "all:\n\ntest: all\n\tpytest\n", "make test"),
        ("package.json", '{"scripts": {"test": "jest"}}', "npm test"),
        ("go.mod", "module x\n", "go test ./..."),
    ],
)
def test_checks_are_what_the_repository_says(tmp_path: Path, name: str, text: str, command: str) -> None:
    """Its own files name the command; without any there is none."""
    assert checks_of(tmp_path) == []
    (tmp_path / name).write_text(text)
    assert checks_of(tmp_path) == [command]
