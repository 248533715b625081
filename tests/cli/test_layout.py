"""How tables and pages fit a terminal: eighty columns or two hundred, and no limit when piped."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.cli.output import fit, width

START = ("-c", "import sys; from smithers_nb.cli import main; sys.exit(main())")


def on_terminal(args: list[str], columns: int, **env: str) -> str:
    """Run a command on a terminal of this many columns and give what it printed."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "TERM"}}
    running = subprocess.Popen(
        [sys.executable, *START, *args], stdin=theirs, stdout=theirs, stderr=theirs, env={**clean, "TERM": "xterm", **env}
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        printed += piece
    assert running.wait(timeout=60) == 0
    os.close(ours)
    return printed.decode()


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("columns", [80, 120, 200])
@pytest.mark.parametrize("args", [["ps"], ["failures"], ["inspect", "order-sync-013"], ["events", "order-sync-013"]], ids=" ".join)
def test_lines_fit_the_terminal(example: Path, args: list[str], columns: int) -> None:
    """No line of a table or of an inspection is wider than the terminal."""
    lines = without_colour(on_terminal([*args, "--source", str(example)], columns)).splitlines()
    assert max(width(line) for line in lines if not line.startswith("  smithers-nb")) <= columns  # commands are never wrapped


def test_narrow_terminals_leave_out_what_matters_least(example: Path) -> None:
    """In sixty columns a run list still has id, state, age and error."""
    heading = without_colour(on_terminal(["ps", "--source", str(example)], 60)).splitlines()[0]
    assert heading.split() == ["RUN", "STATE", "AGE", "ERROR"]


def test_eighty_columns_have_the_cause_and_who_shares_it(example: Path) -> None:
    """Where ids begin with the workflow's name, its column makes room for how many runs failed on the same."""
    lines = without_colour(on_terminal(["ps", "--source", str(example), "--status", "failed"], 80)).splitlines()
    assert {"AGE", "SAME", "ERROR"} <= set(lines[0].split())
    assert "WORKFLOW" not in lines[0]
    assert any("2 others" in line for line in lines)


def test_states_have_colour_and_a_word(example: Path) -> None:
    """On a terminal a state has a colour beside its icon and word; with NO_COLOR only these."""
    args = ["ps", "--source", str(example), "--status", "failed"]
    assert "\x1b[31m✖ failed" in on_terminal(args, 120)
    plain = on_terminal(args, 120, NO_COLOR="1")
    assert "\x1b[" not in plain
    assert "✖ failed" in plain


def test_commands_are_never_wrapped(example: Path) -> None:
    """A command stays on one line in a narrow terminal, so that it can be copied."""
    out = without_colour(on_terminal(["why", "order-sync-013", "--source", str(example)], 60))
    assert any(line.strip().startswith("bunx smithers-orchestrator") and len(line) > 60 for line in out.splitlines())


def test_a_long_message_is_whole_in_json_and_its_telling_line_in_a_table(cli, example: Path) -> None:
    """A piped table has the words that tell what failed, in at most 200 characters; JSON has the whole message."""
    whole, *_ = cli("failures", "pr-review-033", "--source", example, "-f", "json").json
    assert "prompt-based JSON extraction." in whole["message"]
    heading, line, *_ = cli("failures", "pr-review-033", "--source", example).out.splitlines()
    message = line[heading.index("MESSAGE") :]
    assert "did not return valid JSON" in message
    assert len(message) <= 200 < len(whole["message"])


@pytest.mark.parametrize("command", ["ps", "failures", "failures --by attempt", "events order-sync-013"])
def test_piped_output_fits_the_columns_that_are_set(cli, example: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """With COLUMNS set, piped tables fit it as they fit a terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(width, cli(*command.split(), "--source", example).out.splitlines())) <= 80


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_fitted_text_fits(text: str, room: int) -> None:
    """Whatever the characters, a fitted text is no wider than asked for; one that needs no cut is exactly as wide, and whole."""
    fitted = fit(text, room)
    assert width(fitted) <= room
    assert width(text) > room or (width(fitted) == room and fitted.startswith(text))
