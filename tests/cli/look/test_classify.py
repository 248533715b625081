"""`classify`: one row per message, in order, whatever comes in."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.cli.look.classify import classified


@pytest.fixture
def stdin(monkeypatch):
    """Put bytes on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))

    return put


def test_one_row_per_line_in_order(cli, stdin) -> None:
    """JSON lines and plain lines are answered in order, one JSON row each, without being asked for a format."""
    stdin(b'{"message": "connect ECONNREFUSED 127.0.0.1:5432", "code": "ECONNREFUSED"}\nTypeError: x is not a function\n\nboom\n')
    answer = cli("classify")
    assert answer.code == 0
    assert [row["line"] for row in answer.lines] == [1, 2, 4]
    assert [row["failureClass"] for row in answer.lines][:2] == ["environment", "workflow-bug"]
    assert all({"failureClass", "confidence", "rule", "signature"} <= set(row) for row in answer.lines)


def test_messages_may_be_arguments(cli) -> None:
    """Each argument is one message; standard input is not read."""
    rows = cli("classify", "connect ECONNREFUSED 127.0.0.1:5432", "TypeError: x is not a function").lines
    assert [(row["line"], row["failureClass"]) for row in rows] == [(1, "environment"), (2, "workflow-bug")]


def test_equal_failures_have_equal_signatures(cli, stdin) -> None:
    """Ports and numbers do not tell failures apart."""
    stdin(b"connect ECONNREFUSED 10.0.0.1:5432\nconnect ECONNREFUSED 10.0.0.7:6000\n")
    first, second = cli("classify").lines
    assert first["signature"] == second["signature"]


@pytest.mark.parametrize("line", [b'{"message": ', b'{"text": "x"}', b'{"message": 5}', b'{"message": "\xff"}', b"{}"])
def test_a_malformed_line_is_answered_and_told(cli, stdin, line: bytes) -> None:
    """A line that is no message gives a row that says so, its number on standard error, exit code 4, and the rest goes on."""
    stdin(b"boom\n" + line + b"\nboom\n")
    answer = cli("classify")
    assert answer.code == 4
    assert [row["failureClass"] is None for row in answer.lines] == [False, True, False]
    assert "line 2" in answer.err
    assert "Traceback" not in answer.err


def test_all_malformed_lines_are_counted(cli, stdin) -> None:
    """Standard error names the first malformed line and counts the others; their rows have every field of a row."""
    stdin(b'boom\n{\n{"code": 3}\n{}\n{"message": "boom", "code": 529}\n')
    answer = cli("classify")
    assert "line 2 and 2 more" in answer.err
    assert len({frozenset(row) for row in answer.lines}) == 1
    assert [row["error"] is None for row in answer.lines] == [True, False, False, False, True]


def test_nothing_comes_in(cli, stdin) -> None:
    """No input gives no output."""
    stdin(b"")
    assert cli("classify") == (0, "", "")


def test_one_document(cli, stdin) -> None:
    """`--format json` gives one array."""
    stdin(b"a\nb\n")
    assert len(cli("classify", "-f", "json").json) == 2


def test_a_table_for_people(cli, stdin) -> None:
    """`--format table` says whose fault it is, what to do, why, and by which words of the message."""
    stdin(b"connect ECONNREFUSED 127.0.0.1:5432\n{}\n")
    head, row, wrong = cli("classify", "-f", "table").out.splitlines()
    assert head.split("  ")[0] == "LINE"
    assert row.split()[1:4] == ["environment", "high", "fix-environment"]
    assert row.endswith("connect ECONNREFUSED 127.0.0.1:5432")
    assert "has no text `message`" in wrong


def test_the_part_that_tells_is_quoted(cli, stdin) -> None:
    """Of a long message `quote` has the line by which it was recognised, without its secrets."""
    noise = "\n".join(f"step {n} of the build went well and took {n} seconds" for n in range(200))
    key = "sk-ant-api03-" + "Zx9" * 20
    told = f"{noise}\nnpm error code ERESOLVE for token={key}\n{noise}"
    stdin(json.dumps({"message": told}).encode() + b"\n")
    (row,) = cli("classify").lines
    assert "npm error code ERESOLVE" in row["quote"]
    assert len(row["quote"]) < 500
    assert key not in row["quote"]


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=5))
def test_any_bytes_are_answered(lines: list[bytes]) -> None:
    """Whatever bytes a line has, it gets one row that can be written as JSON."""
    rows = list(classified(line + b"\n" for line in lines))
    assert [row["line"] for row in rows] == [number for number, line in enumerate(lines, 1) if line.strip()]
    json.dumps(rows)
