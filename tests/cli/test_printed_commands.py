"""Every command of ours that code, templates, notebooks or documents print exists, with the options that it is printed with."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from smithers_nb.cli.app import app
from tests.support.data import TESTS

ROOT = TESTS.parent
LINE = re.compile(r"smithers-nb ((?:[a-z]+(?:-[a-z]+)*)(?= |$|[`'\")\\])[^`\n;|&)]*)")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("*.ipynb"))]


def literals(path: Path) -> list[str]:
    """Return the string literals of a module, with a word where an f-string has a value."""
    tree = ast.parse(path.read_text("utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = [
        "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
    ]
    return texts + [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
    ]


def printed() -> list[tuple[str, str]]:
    """List what is printed, each with the file it is in."""
    texts = [(str(path.relative_to(ROOT)), text) for path in (ROOT / "smithers_nb").rglob("*.py") for text in literals(path)]
    texts += [(name, (ROOT / name).read_text("utf-8")) for name in DOCUMENTS]
    return sorted({(name, found.group(1).strip()) for name, text in texts for found in LINE.finditer(text)})


def unknown(line: str) -> str | None:
    """Return what of a printed command does not exist: the command, or one of its options."""
    first, *words = line.split()
    command: click.Command | None = app.get_command(click.Context(app), first)
    if command is None:
        return first
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
    passed_on = command.context_settings.get("ignore_unknown_options", False)
    return next((word for word in re.findall(r"(?<!\S)--[a-z][a-z-]*", " ".join(words)) if word not in options and not passed_on), None)


@pytest.mark.parametrize(("where", "line"), printed())
def test_a_printed_command_exists(where: str, line: str) -> None:
    """The command line knows the command and each option of a printed line."""
    assert unknown(line) is None, where


def test_a_wrong_option_would_be_noticed() -> None:
    """A line that our own command line refuses is told by the option that it does not know."""
    assert unknown("retry-task r1 --node publish") == "--node"
    assert unknown("no-such-command r1") == "no-such-command"
