"""The words of an error are found in every shape that kernels give them."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.failure.stack import group_members
from smithers_nb.sources.notebooks.document import parse_notebook
from smithers_nb.sources.notebooks.errors import error_beside_outputs, error_of, has_error, is_crash, thrown, was_skipped
from tests.support.notebooks import code, error, notebook, printed

DATABRICKS = "application/vnd.databricks.v1+"


def cell(*outputs, source="run()", **metadata):
    """One cell of a notebook."""
    return parse_notebook(notebook(code(source, 1, *outputs), **metadata)).cells[0]


def databricks(summary, data=""):
    """An error as Databricks exports it."""
    noted = {"type": "ipynbError", "errorSummary": summary, "data": data}
    shown = {"output_type": "display_data", "data": {}, "metadata": {f"{DATABRICKS}output": noted}}
    return cell(shown, **{f"{DATABRICKS}notebook": {}})


def test_the_word_ignored_is_no_message():
    """Colab wrote `ignored` until 2023: the message is the last line of the traceback."""
    lines = ("\x1b[0;31mRuntimeError\x1b[0m        Traceback (most recent call last)", "\x1b[0;31mRuntimeError\x1b[0m: sizes differ")
    found = error_of(cell(error("RuntimeError", "ignored", *lines)))
    assert (found["name"], found["message"]) == ("RuntimeError", "sizes differ")


def test_a_chain_begins_with_its_root():
    """The first block of a chained traceback is what the others came of."""
    trace = """ModuleNotFoundError                       Traceback (most recent call last)
fs.py in load()
--> 1 import gcsfs

ModuleNotFoundError: No module named 'gcsfs'

The above exception was the direct cause of the following exception:

SourceError                               Traceback (most recent call last)
Cell In[4], line 1
----> 1 load()

SourceError: cannot load"""
    found = error_of(cell(error("SourceError", "cannot load", trace)))
    assert found["cause"]["message"] == "No module named 'gcsfs'"
    assert "gcsfs" not in found["stack"]


def test_the_last_cause_of_java_is_taken():
    """Stack frames of the Java machine are left out; what caused it comes last."""
    said = """An error occurred while calling o49.fit.
: org.apache.spark.SparkException: Job aborted
\tat org.apache.spark.A.run(A.scala:1)
Caused by: java.lang.RuntimeException: wrapped
\tat B.run(B.java:2)
Caused by: java.io.FileNotFoundException: /data/in.csv
\t... 1 more
"""
    found = error_of(cell(error("Py4JJavaError", said)))
    assert found["message"] == "org.apache.spark.SparkException: Job aborted"
    assert found["cause"] == {"name": "FileNotFoundException", "message": "/data/in.csv"}


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("Usage: tool [KEY]\n\nError: Missing argument 'KEY'.\n", "Missing argument 'KEY'"),
        ('Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    go()\nKeyError: 7\n', "KeyError: 7"),
        ("bash: line 1: jqq: command not found\n", "command not found"),
    ],
)
def test_a_shell_says_the_cause_on_stderr(stderr, told):
    """The error of a `%%bash` cell only has the exit status."""
    failed = error("CalledProcessError", "Command 'b'tool\\n'' returned non-zero exit status 2.")
    found = error_of(cell(printed(stderr, "stderr"), failed, source="%%bash\ntool $KEY"))
    assert told in found["message"]
    assert (found["exitCode"], found["command"]) == (2, "tool $KEY")


def test_an_error_without_words_is_found_on_a_stream():
    """Almond and Swift leave name and message empty."""
    swift = cell(printed("Fatal error: no module named 'numpy'\nCurrent stack trace:\n0  lib.so 0x1\n"), error("", "", "frame #3: main"))
    assert error_of(swift)["message"] == "Fatal error: no module named 'numpy'"


def test_rich_shows_its_traceback():
    """Rich replaces the error output by a box; the exception stands below it."""
    box = "╭─ Traceback (most recent call last) ─╮\n│ ❱ 1 total(rows) KeyError: quoted     │\n╰──────────────────────────────────────╯\n"
    box += "TypeError: not a number\n"
    shown = {"output_type": "display_data", "data": {"text/plain": box}, "metadata": {}}
    assert error_beside_outputs(cell(shown)) == {"name": "TypeError", "message": "not a number"}


def test_a_crash_is_told_by_its_links():
    """VS Code writes a crash in the language of its user."""
    text = "El kernel se bloqueó. <a href='https://aka.ms/vscodeJupyterKernelCrash'>aquí</a>"
    crashed = cell(error("", "", text))
    assert is_crash(crashed)
    assert error_of(crashed)["code"] == "KERNEL_DIED"


def test_databricks_notes_errors_beside_an_output():
    """Its summary is HTML; an empty one is no error, and a skipped command ran not at all."""
    found = databricks("<span class='ansi-red-fg'>NameError</span>: name &#39;x&#39; is not defined")
    assert has_error(found)
    assert error_of(found)["message"] == "name 'x' is not defined"
    assert not has_error(databricks(""))
    skipped = databricks("Command skipped")
    assert was_skipped(skipped)
    assert not has_error(skipped)


def test_warnings_of_a_compiler_are_no_errors():
    """Gophernotes of 2017 sent its warnings as errors."""
    assert not has_error(cell(error("ERROR", "// warning: redefined identifier: err\n")))


@pytest.mark.parametrize(("name", "plain"), [("<class 'ImportError'>", "ImportError"), ("ERROR", "Error"), ("KeyError", "KeyError")])
def test_names_of_other_kernels_are_made_plain(name, plain):
    """xeus-python, IRkernel and .NET have ways of their own."""
    assert error_of(cell(error(name, "x")))["name"] == plain


def test_the_quick_words_are_those_of_the_whole_record():
    """What is read over many files says the same as what is read of one."""
    one = cell(error("KeyError", "'b'"))
    assert thrown(one) == {key: error_of(one)[key] for key in ("name", "message")}


def test_an_enormous_message_is_cut_in_its_middle():
    """The sentence that matters may be the first or the last."""
    found = error_of(cell(error("RuntimeError", f"begins {'x' * 200_000} ends")))
    assert len(found["message"]) < 21_000
    assert found["message"].startswith("begins")
    assert found["message"].endswith("ends")


def test_the_command_that_failed_is_named():
    """Of a script the line that the shell names, else the first that does something."""
    script = "%%bash\nset -e\necho begin\nloadit --all"
    failed = error("CalledProcessError", "Command 'b\"set -e\"' returned non-zero exit status 127.")
    named = error_of(cell(failed, printed("bash: line 3: loadit: command not found", "stderr"), source=script))
    assert named["command"] == "loadit --all"
    assert "command" not in error_of(cell(failed, source=script))  # of several lines nothing tells which


def test_an_exception_group_is_known_by_what_is_in_it():
    """IPython prints a group on stderr, with lines drawn around its members."""
    drawn = """  + Exception Group Traceback (most recent call last):
  |   File "/app/run.py", line 3, in main
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/run.py", line 9, in load
    | TimeoutError: no answer
    +------------------------------------
"""
    found = error_beside_outputs(cell(printed(drawn, "stderr")))
    assert (found["name"], found["message"]) == ("TimeoutError", "no answer")


def test_a_group_of_several_keeps_them_all():
    """The last of them would hide the others, so the group is the error and its traceback goes with it."""
    drawn = """  + Exception Group Traceback (most recent call last):
  |   File "/app/run.py", line 3, in main
  | ExceptionGroup: bad orders (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: order 7: no customer
    +---------------- 2 ----------------
    | KeyError: 'currency'
    +------------------------------------
"""
    found = error_beside_outputs(cell(printed(drawn, "stderr")))
    assert (found["name"], found["message"]) == ("ExceptionGroup", "bad orders (2 sub-exceptions)")
    assert [one.name for one in group_members(found["stack"])] == ["ValueError", "KeyError"]


def test_a_script_without_a_complaint_is_known_by_its_last_line():
    """An exit status alone says nothing; what the script printed last may."""
    failed = error("CalledProcessError", "Command 'b\"check\"' returned non-zero exit status 3.")
    found = error_of(cell(failed, printed("begin\n12 orders are without a customer\n"), source="%%bash\ncheck"))
    assert found["message"].endswith("returned non-zero exit status 3; it printed last: 12 orders are without a customer")


def test_an_exit_with_a_number_is_known_by_what_was_printed():
    """`argparse` prints what is wrong and exits with 2."""
    found = error_of(cell(error("SystemExit", "2"), printed("usage: score [-h]\nscore: error: no --model is given\n", "stderr")))
    assert found["message"] == "score: error: no --model is given (exit status 2)"
    added = "An exception has occurred, use %tb to see the full traceback.\nSystemExit: 3\n"
    assert error_of(cell(error("SystemExit", "3"), printed(added, "stderr")))["message"] == "3"


def test_sentences_of_an_editor_begin_with_what_is_wrong():
    """VS Code writes an error without name or message: what is wrong, then what to do."""
    lines = (
        "Running cells with 'env' requires the ipykernel package.",
        "Install 'ipykernel' into the environment.",
        "Command: 'pip install x'",
    )
    assert error_of(cell(error("", "", *lines)))["message"] == lines[0]


def test_r_names_the_file_in_its_warning():
    """The error itself says only that a connection could not be opened."""
    warning = printed("Warning message in file(f):\n\"cannot open file 'a.csv': No such file or directory\"", "stderr")
    found = error_of(
        cell(warning, error("ERROR", "Error in file(f): cannot open the connection", "Error in file(f): cannot open the connection"))
    )
    assert found["message"].endswith("cannot open file 'a.csv': No such file or directory")


def test_a_cell_of_ploomber_engine_keeps_its_number():
    """It calls every cell the first; code that is not in the cell has no number at all."""

    def stack(source):
        trace = ("KeyError    Traceback (most recent call last)", "Cell In[1], line 2\n      1 t = {}\n----> 2 t['a']\n", "KeyError: 'a'")
        block = notebook(code("x", 1), code(source, 2, error("KeyError", "'a'", *trace), ploomber={"timestamp_start": 1.0}))
        return error_of(parse_notebook(block).cells[1])["stack"]

    assert "Cell In[2], line 2" in stack("t = {}\nt['a']")
    assert "Cell In[?], line 2" in stack("use(t)")
