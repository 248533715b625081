"""The most telling words of a message, in one short line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.failure.excerpt import abridged, telling, telling_line

TRACEBACK = """Command failed: python3 scripts/tax.py
Traceback (most recent call last):
  File "/srv/tax/scripts/tax.py", line 9, in <module>
    print(total(rows))
  File "/srv/tax/scripts/tax.py", line 6, in total
    return sum(r["net_amount"] for r in rows)
               ~^^^^^^^^^^^^^^
KeyError: 'net_amount'

    at execFileSync (node:child_process:301:31)"""


def test_short_messages_stay_as_they_are():
    """What fits is quoted whole, on one line."""
    assert telling("connect ECONNREFUSED\n 10.0.0.1:5432") == "connect ECONNREFUSED 10.0.0.1:5432"
    assert telling("-" * 75 + '\nException encountered at "In [3]":\nboom') == 'Exception encountered at "In [3]": boom'
    assert telling("---") == "---"


def test_a_traceback_is_told_by_its_last_line():
    """Of a Python traceback the command and the exception are kept, whatever stands between and after."""
    assert telling(TRACEBACK) == "Command failed: python3 scripts/tax.py: KeyError: 'net_amount'"
    assert telling(TRACEBACK.partition("\n")[2]) == "KeyError: 'net_amount'"


def test_of_a_chained_traceback_the_last_exception_counts():
    """The exception that ended the program stands last."""
    chained = TRACEBACK.partition("\n\n")[0] + "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    again = 'Traceback (most recent call last):\n  File "/srv/a.py", line 3, in f\n    g()\npkg.TaxError: no rate\n'
    assert telling(chained + again).endswith("pkg.TaxError: no rate")


@pytest.mark.parametrize(
    ("log", "kept", "dropped"),
    [
        ("git push origin main", "! [rejected] main -> main (fetch first)", "hint: Updates were rejected because the remote contains work"),
        ("tsc failed", "src/cart.ts(12,9): error TS2339: Property 'vat' does not exist on type 'Line'.", "> tsc --noEmit -p ."),
        ("npm ci failed", "npm error code ERESOLVE", "npm error A complete log of this run can be found in: /root/.npm/_logs/x.log"),
        ("pytest", "E AssertionError: expected 3 rows", "platform linux -- Python 3.12.1, pytest-8.1"),
        ("go build ./...", "./main.go:7:2: undefined: fmtt, expected one import", "# example.com/app"),
    ],
)
def test_of_a_log_the_lines_that_tell_are_kept(log, kept, dropped):
    """Of a long log the command and the lines with the error stay; hints and banners go, and a mark shows where."""
    noise = "\n".join(f"step {number} of 40 is done" for number in range(40))
    said = telling(f"{log}\n{noise}\n{kept}\n{dropped}\n{noise}")
    assert said.startswith(log)
    assert kept in said
    assert dropped not in said
    assert "…" in said


def test_advice_goes_before_facts():
    """A long line loses general advice first, and is cut after a whole sentence."""
    fact = 'Task "a" expected structured JSON output, but the model did not return valid JSON.'
    advice = "This commonly happens with local model servers. Use a model that supports it."
    assert abridged(f"{fact} {advice} {'x' * 300}.", 120) == fact


def test_json_is_told_by_its_messages():
    """The issues of a schema library and the answer of a provider are words, not brackets."""
    zod = '[\n  {"expected": "number", "code": "invalid_type", "path": ["rate", 0], "message": "expected number, received string"}\n]'
    assert telling(zod) == "rate.0: expected number, received string"
    answer = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}'
    assert telling(f"API Error: 529 {answer}") == "API Error: 529 overloaded_error: Overloaded"
    assert telling("evaluating '{ items: [] }.levels.length'") == "evaluating '{ items: [] }.levels.length'"


def test_a_web_page_is_told_by_its_title():
    """Of a page of HTML only its title says something."""
    page = "<html><head><title>502 Bad Gateway</title></head><body><hr>nginx</body></html>"
    assert telling_line(page) == telling(page) == "502 Bad Gateway"


def test_the_line_of_a_log_that_tells():
    """One line is chosen: the error, not what is printed after it."""
    assert telling_line("loading\nImportError: no module named x\ngoodbye") == "ImportError: no module named x"
    assert telling_line("") == ""


@given(st.text(max_size=3000))
def test_any_text(text):
    """Every text gives one line of bounded length."""
    said = telling(text)
    assert "\n" not in said
    assert len(said) <= 400
    assert "\n" not in telling_line(text)


@pytest.mark.parametrize("piece", ["a ", "\n", "{", "[", "error\n", '{"a":', "<", "A. ", "\x1b[", 'File "a", line 1\n', "Use "])
def test_megabytes(piece):
    """A megabyte costs little."""
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    telling(text)
    telling_line(text)
    assert time.process_time() - started < 0.5
