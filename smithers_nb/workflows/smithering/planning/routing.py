"""How much process a request gets, and why: weighted rules over the request and the repository, each quoting the words that matched.

A wrong guess is cheap to correct (`route` forces a tier), an unexplained one is not; so this is a table, not a model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from smithers_nb.workflows.smithering.results.spec import Route, Tier


class _Sign(NamedTuple):
    pattern: str
    weight: int
    reason: str


_SIGNS: Final = (
    _Sign(r"\b(?:typo|spelling|wording|comment|docstring|readme|changelog|whitespace|lint|format(?:ting)?)\b", -3, "a change of words"),
    _Sign(r"\b(?:rename|bump|pin|upgrade the version|remove (?:an?|the) unused|delete (?:an?|the) unused)\b", -2, "a mechanical change"),
    _Sign(r"\b(?:one[- ]line(?:r)?|small|tiny|quick|simple|just)\b", -1, "described as small"),
    _Sign(r"\b(?:fix|debug|repair|refactor|speed up|optimi[sz]e|investigate)\b", 1, "a change of existing behaviour"),
    _Sign(r"\b(?:add|implement|support|introduce|extend)\b", 1, "an addition to existing code"),
    _Sign(r"\b(?:build|create|write|make|design) (?:an?|the|me|our|us)\b", 2, "something to build"),
    _Sign(
        r"\b(?:app|application|service|server|platform|system|product|api|cli|library|pipeline|dashboard|website|game)\b", 2, "a product"
    ),
    _Sign(
        r"\b(?:auth\w*|security|payments?|billing|encrypt\w*|permissions?|migrat\w+|multi-tenant|compliance)\b",
        2,
        "mistakes would be costly",
    ),
    _Sign(
        r"\b(?:end[- ]to[- ]end|from scratch|whole|entire|full(?:y)?|architecture|spec(?:ification)?|roadmap|tickets?)\b",
        2,
        "asks for the whole process",
    ),
)
_LONG_WORDS: Final = 60
_VERY_LONG_WORDS: Final = 200
_MIN_PARTS: Final = 3
_FULL_SCORE: Final = 4
_COMPLEX_SCORE: Final = 1


def classify(prompt: str, repo: Path | None = None) -> Route:
    """Return the tier of a request with all the reasons that counted."""
    found = [
        (sign.weight, f"{sign.reason} ({match.group(0)!r})") for sign in _SIGNS if (match := re.search(sign.pattern, prompt, re.IGNORECASE))
    ]
    words, parts = len(prompt.split()), len(re.findall(r"^\s*(?:[-*•]|\d+[.)])\s", prompt, re.MULTILINE))
    if words > _LONG_WORDS:
        found.append((3 if words > _VERY_LONG_WORDS else 1, f"{words} words"))
    if parts >= _MIN_PARTS:
        found.append((2, f"a list of {parts} things"))
    if repo is not None and _is_empty(repo):
        found.append((2, "the repository is empty"))
    score = sum(weight for weight, _ in found)
    tier: Tier = "full-build" if score >= _FULL_SCORE else "complex" if score >= _COMPLEX_SCORE else "trivial"
    reasons = [f"{weight:+d} {reason}" for weight, reason in found] or ["no sign that more is needed"]
    scale = f"{score:+d} in total: complex from {_COMPLEX_SCORE}, full build from {_FULL_SCORE}"
    return Route(tier=tier, reasoning=(*reasons, scale), summary=f"{tier}: score {score:+d} from {len(found)} signs")


def checks_of(repo: Path) -> list[str]:
    """Return the command that runs a repository's own checks, according to its files; empty when they name none."""

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
    return next(([command] for present, command in known if present), [])


def _is_empty(repo: Path) -> bool:
    known = {"readme.md", "readme", "license", ".gitignore", ".git", "artifacts", ".smithers_nb"}
    try:
        return repo.is_dir() and all(path.name.lower() in known for path in repo.iterdir())
    except OSError:
        return False
