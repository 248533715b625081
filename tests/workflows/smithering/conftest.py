"""Small real repositories to build in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def run_git(folder: Path, *words: str) -> str:
    """Run git as a person would, and return what it printed."""
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def made_repo(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Make a repository with one commit on `main`."""
    folder.mkdir(parents=True)
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    for name, text in (files or {"README.md": "hello\n", ".gitignore": "__pycache__/\n"}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Return a repository with one commit."""
    return made_repo(tmp_path / "repo")


@pytest.fixture
def in_git() -> Callable[..., str]:
    """Return git as a person would run it."""
    return run_git
