"""Every command explains itself, and what the README shows exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from smithers_nb.cli.app import COMMANDS, app

README = Path(__file__).resolve().parents[2] / "README.md"


def command(name: str) -> click.Command:
    """Find a command by its name, or by the words of a group and of a command in it."""
    found: click.Command | None = app
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    return found


GROUPS = [name for name in COMMANDS if isinstance(command(name), click.Group)]
ALL = [
    *(name for name in COMMANDS if name not in GROUPS),
    *(f"{name} {below}" for name in GROUPS for below in command(name).commands),
]
"""Every command that does something."""


@pytest.mark.parametrize("name", ALL)
def test_a_command_has_help_and_an_example(name: str) -> None:
    """A command says what it does in a sentence and shows a command line that calls it."""
    found = command(name)
    assert found.help
    assert f"smithers-nb {name}" in (found.epilog or "")


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_help(name: str) -> None:
    """No option is left unexplained."""
    options = [param for param in command(name).params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_a_format(name: str) -> None:
    """Every command prints a table, a JSON document or JSON lines; `why` and `autopsy` a Markdown card as well."""
    chosen = next(param for param in command(name).params if param.name == "fmt")
    card = ("markdown",) if name in {"why", "autopsy"} else ()
    assert chosen.type.to_info_dict()["choices"] == ("table", "json", "jsonl", *card)


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in {"classify", "demo", "schema", "verify"} and not name.startswith("incident ")]
)
def test_every_command_that_reads_a_store_takes_its_place(name: str) -> None:
    """`--source` and `-s` name the store in every command that reads one."""
    assert any({"--source", "-s"} <= set(param.opts) for param in command(name).params)


@pytest.mark.parametrize("name", ALL)
def test_examples_can_be_parsed(name: str) -> None:
    """The examples in a command's help use arguments and options that it has."""
    for line in (command(name).epilog or "").splitlines():
        for words in calls_in(line):
            parse(words)


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_shows_its_commands(cli, name: str) -> None:
    """The word of a group alone explains what is below it."""
    answer = cli(name)
    assert answer.code == 0
    assert all(below in answer.out for below in command(name).commands)


def test_readme_shows_only_what_exists() -> None:
    """Every `smithers-nb …` in the README is a command with options that it has."""
    for line in readme_lines(README.read_text("utf-8")):
        for words in calls_in(line):
            parse(words)


def test_unknown_option_in_a_readme_would_be_found() -> None:
    """The check of the README does refuse an option that does not exist."""
    with pytest.raises(click.UsageError):
        parse(["why", "RUN", "--no-such-option"])


def test_group_help_loads_no_command(process) -> None:
    """`--help` needs no command's module."""
    code = "import sys; from smithers_nb.cli import main; main(['--help']); print([m for m in sys.modules if 'smithers_nb.cli.' in m])"
    loaded = process(code=("-c", code)).stdout.decode().splitlines()[-1]
    assert eval(loaded) == ["smithers_nb.cli.app"]


def readme_lines(text: str) -> list[str]:
    """Find the lines of code blocks, and inline code."""
    blocks = re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + re.findall(r"`([^`\n]+)`", outside)


def calls_in(line: str) -> list[list[str]]:
    """Find calls of `smithers-nb` in a shell line: at its start or behind a pipe, `&&` or `;`, up to the next of them."""
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        words = list(lexer)
    except ValueError:
        return []
    calls: list[list[str]] = []
    current: list[str] | None = None
    for previous, word in zip(["|", *words], words, strict=False):
        if set(word) <= set("|&;<>"):
            current = None
        elif word.rpartition("/")[2] == "smithers-nb" and set(previous) <= set("|&;"):
            current = []
            calls.append(current)
        elif current is not None:
            current.append(word)
    return calls


def parse(words: list[str]) -> None:
    """Parse a call without running it; placeholders like `[RUN]` and `…` are no values."""
    if not words or words[0].startswith("-"):
        assert not words or words[0] in {"--help", "-h", "--version", "-V"}, words
        return
    assert words[0] in COMMANDS, words
    rest = [word for word in words[1:] if word not in {"…", "..."}]
    if words[0] in GROUPS and rest and not rest[0].startswith("-"):
        words, rest = [f"{words[0]} {rest[0]}", *rest[1:]], rest[1:]
    if len(words) > 1 and "--help" not in rest:
        command(words[0]).make_context(words[0], rest, resilient_parsing=False)
