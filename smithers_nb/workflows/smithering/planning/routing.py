"""How much process a request deserves, and why: rules over the request and the repository, each with the words that it saw.

A wrong guess is cheap to correct (`route` forces a tier), an unexplained one is not; so this is a table and no model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from smithers_nb.workflows.smithering.results.spec import Route, Tier


class _Sign(NamedTuple):
    pattern: re.Pattern[str]
    weight: int
    reason: str


def _sign(pattern: str, weight: int, reason: str) -> _Sign:
    return _Sign(re.compile(pattern, re.IGNORECASE), weight, reason)


_SIGNS: Final = (
    _sign(r"\b(?:typo|spelling|wording|comment|docstring|readme|changelog|whitespace|lint|format(?:ting)?)\b", -3, "a change of words"),
    _sign(r"\b(?:rename|bump|pin|upgrade the version|remove (?:an?|the) unused|delete (?:an?|the) unused)\b", -2, "a mechanical change"),
    _sign(r"\b(?:one[- ]line(?:r)?|small|tiny|quick|simple|just)\b", -1, "it says that it is small"),
    _sign(r"\b(?:fix|debug|repair|refactor|speed up|optimi[sz]e|investigate)\b", 1, "existing behaviour is to be changed"),
    _sign(r"\b(?:add|implement|support|introduce|extend)\b", 1, "something new in what exists"),
    _sign(r"\b(?:build|create|write|make|design) (?:an?|the|me|our|us)\b", 2, "something is to be built"),
    _sign(
        r"\b(?:app|application|service|server|platform|system|product|api|cli|library|pipeline|dashboard|website|game)\b", 2, "a product"
    ),
    _sign(
        r"\b(?:auth\w*|security|payments?|billing|encrypt\w*|permissions?|migrat\w+|multi-tenant|compliance)\b",
        2,
        "mistakes would be costly",
    ),
    _sign(
        r"\b(?:end[- ]to[- ]end|from scratch|whole|entire|full(?:y)?|architecture|spec(?:ification)?|roadmap|tickets?)\b",
        2,
        "it asks for the whole way",
    ),
)
_LONG: Final = 60
_VERY_LONG: Final = 200
_PARTS: Final = 3
_FULL: Final = 4
_COMPLEX: Final = 1


def classify(prompt: str, repo: Path | None = None) -> Route:
    """Decide the tier of a request, with every reason that counted."""
    found = [(sign.weight, f"{sign.reason} ({match.group(0)!r})") for sign in _SIGNS if (match := sign.pattern.search(prompt))]
    words, parts = len(prompt.split()), len(re.findall(r"^\s*(?:[-*•]|\d+[.)])\s", prompt, re.MULTILINE))
    if words > _LONG:
        found.append((3 if words > _VERY_LONG else 1, f"{words} words"))
    if parts >= _PARTS:
        found.append((2, f"a list of {parts} things"))
    if repo is not None and _is_empty(repo):
        found.append((2, "the repository is empty"))
    score = sum(weight for weight, _ in found)
    tier: Tier = "full-build" if score >= _FULL else "complex" if score >= _COMPLEX else "trivial"
    reasons = [f"{weight:+d} {reason}" for weight, reason in found] or ["nothing in it asks for more"]
    scale = f"{score:+d} in all: {_COMPLEX} and more is complex, {_FULL} and more a full build"
    return Route(tier=tier, reasoning=(*reasons, scale), summary=f"{tier}: {score:+d} by {len(found)} signs")


def checks_of(repo: Path) -> list[str]:
    """Return the command with which a repository checks itself, as its own files say; empty when they do not."""

    def has(name: str, pattern: str) -> bool:
        path = repo / name
        return path.is_file() and re.search(pattern, path.read_text("utf-8", "replace"), re.MULTILINE) is not None

    known = (
        (has("Makefile", r"^test\s*:"), "make test"),
        (has("package.json", r'"test"\s*:'), "npm test"),
        (has("pyproject.toml", r"pytest") or (repo / "pytest.ini").is_file() or (repo / "conftest.py").is_file(), "python3 -m pytest -q"),
        ((repo / "Cargo.toml").is_file(), "cargo test"),
        ((repo / "go.mod").is_file(), "go test ./..."),
        ((repo / "tests").is_dir() and any((repo / "tests").glob("test*.py")), "python3 -m unittest discover -s tests"),
    )
    return next(([command] for fits, command in known if fits), [])


def _is_empty(repo: Path) -> bool:
    known = {"readme.md", "readme", "license", ".gitignore", ".git", "artifacts", ".smithers_nb"}
    try:
        return repo.is_dir() and all(path.name.lower() in known for path in repo.iterdir())
    except OSError:
        return False
