"""What the docstring of a package names is there: its files, its public names, our commands."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import smithers_nb
from smithers_nb.cli.app import COMMANDS

ROOT = Path(smithers_nb.__file__).parent
PACKAGES = sorted(path.parent for path in ROOT.rglob("__init__.py"))
KNOWN = {"smithers-nb", *COMMANDS}


def missing(package: Path, text: str) -> list[str]:
    """Return the plain names in backticks that are neither in the folder, nor defined by it, nor a module or command of ours."""
    here = import_module(".".join(("smithers_nb", *package.relative_to(ROOT).parts)))
    names = re.findall(r"`([a-z][\w./-]*)`", text)
    return [
        name
        for name in names
        if name not in KNOWN
        and not _is_file(package, name)
        and not _is_file(ROOT, name.replace(".", "/"))
        and not any(hasattr(owner, name) for owner in (here, smithers_nb))
    ]


def _is_file(folder: Path, name: str) -> bool:
    return (folder / name).exists() or (folder / f"{name}.py").is_file()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.relative_to(ROOT.parent).as_posix())
def test_a_docstring_names_what_exists(package: Path) -> None:
    """Each plain name that a package's docstring quotes exists."""
    assert missing(package, ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or "") == []


def test_a_file_that_was_renamed_is_found() -> None:
    """A module that is no longer there is reported; modules, packages and commands that are there are not."""
    text = "`sheet` lays out, `text_page` too, `look/why.py` and `engine.workers` run, `main` starts, `init` installs."
    assert missing(ROOT / "cli", text) == ["sheet"]
