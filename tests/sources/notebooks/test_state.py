"""How a run ended is told from evidence, not from one flag."""

from __future__ import annotations

import pytest

from smithers_nb.sources.notebooks.document import parse_notebook
from smithers_nb.sources.notebooks.state import outcome_of
from tests.support.notebooks import TIMES, by_papermill, code, error, failed_run, good_run, notebook, printed, run_block, words

STOP = error("KeyboardInterrupt", "")


def outcome(*cells, **metadata):
    """How a notebook of these cells ended."""
    return outcome_of(parse_notebook(notebook(*cells, **metadata)))


def ended(found):
    """State and number of the deciding cell."""
    return found.state, found.cell and found.cell.index


def test_a_failed_and_a_good_run_of_papermill():
    """The plain cases."""
    failed = outcome_of(parse_notebook(failed_run()))
    assert ended(failed) == ("failed", 1)
    assert [cell.index for cell in failed.never_ran] == [2]
    assert outcome_of(parse_notebook(good_run())).state == "finished"


def test_a_dead_kernel_looks_like_success():
    """Papermill notes `completed` and no exception; the kernel's last messages are missing, and nothing after it began."""
    cells = (
        code("x = 1", 1, **by_papermill()),
        code("die()", None, **{**by_papermill(), "execution": {}}),
        code("y", None, **by_papermill(start_time=None)),
    )
    found = outcome(*cells, **run_block())
    assert (*ended(found), found.reason) == ("failed", 1, "kernel-died")


def test_a_time_limit_is_told_from_ctrl_c():
    """After a time-out nbclient waits for no reply; after Ctrl-C the kernel has replied."""
    late = {**by_papermill(), "execution": {key: value for key, value in TIMES.items() if key != "shell.execute_reply"}}
    after = code("y", None, **by_papermill(start_time=None))
    timeout = outcome(code("wait()", 1, STOP, **late), after, **run_block())
    person = outcome(code("wait()", 1, STOP, **by_papermill()), after, **run_block())
    assert (timeout.state, timeout.reason) == ("failed", "timeout")
    assert (person.state, person.reason) == ("interrupted", "interrupt")


def test_ctrl_c_without_a_reply_is_told_by_the_time():
    """A time limit is a whole number of seconds; a person stops a cell at any moment."""
    late = {key: value for key, value in TIMES.items() if key != "shell.execute_reply"}
    noted = by_papermill(duration=7.41)["papermill"]
    after = code("y", None, **by_papermill(start_time=None))
    assert outcome(code("wait()", 1, STOP, papermill=noted, execution=late), after, **run_block()).state == "interrupted"
    on_time = {**noted, "duration": 60.004}
    assert outcome(code("wait()", 1, STOP, papermill=on_time, execution=late), after, **run_block()).reason == "timeout"


def test_the_last_cell_may_be_the_one_that_ran_into_its_time_limit():
    """Nothing was left out after it, and nbclient waited for no reply all the same."""
    late = {key: value for key, value in TIMES.items() if key != "shell.execute_reply"}
    noted = by_papermill(duration=10.009)["papermill"]
    first = code("x = 1", 1, **by_papermill())
    assert outcome(first, code("wait()", 2, STOP, papermill=noted, execution=late), **run_block()).reason == "timeout"
    assert outcome(first, code("wait()", 2, STOP, **by_papermill()), **run_block()).state == "interrupted"


def test_what_databricks_skipped_was_not_run_after_an_error():
    """`Command skipped` is an output, but no sign that the run went on; `Cancelled` is a stop by somebody."""

    def noted(summary):
        said = {"type": "ipynbError", "errorSummary": summary, "data": ""}
        return {"output_type": "display_data", "data": {}, "metadata": {"application/vnd.databricks.v1+output": said}}

    skipped = code("y", 0, noted("Command skipped"))
    found = outcome(code("x", 0, noted("KeyError: 'a'")), skipped, **{"application/vnd.databricks.v1+notebook": {}})
    assert (*ended(found), found.went_on) == ("failed", 0, False)
    assert outcome(code("x", 0, noted("Cancelled")), skipped, **{"application/vnd.databricks.v1+notebook": {}}).state == "interrupted"


def test_a_session_that_spark_refused_is_a_failure():
    """Sparkmagic prints that no session came about, and goes on."""
    told = "The code failed because of a fatal error:\n\tInvalid status code 400 from livy.\n\nSome things to try:\na) ..."
    found = outcome(code("1", 1, printed(told, "stderr")), code("2", 2))
    assert (*ended(found), found.error["message"]) == ("failed", 0, "Invalid status code 400 from livy.")


def test_papermill_that_was_killed_leaves_a_running_cell():
    """Whether it still runs cannot be told from the file."""
    found = outcome(code("wait()", None, **by_papermill("running")), code("y", None, **by_papermill("pending")), **run_block(end=None))
    assert (*ended(found), found.reason) == ("partial", 0, "executor-stopped")


def test_a_failure_that_was_run_again_by_hand_is_stale():
    """`exception: true` survives; cells after it that were run since say otherwise."""
    cells = (code("x", 1, **by_papermill("failed", exception=True)), code("y", 2, **by_papermill("pending")))
    assert outcome(*cells, **run_block(failed=True)).state == "finished"


def test_a_banner_alone_is_no_failure():
    """The banner cells of an old run are kept by whoever clears the outputs."""
    banner = words('<span id="papermill-error-cell">Execution using papermill encountered an exception here</span>')
    found = outcome(banner, code("assert False"), **run_block(start=None, end=None))
    assert (found.state, found.reason) == ("partial", "never-run")


def test_cleared_outputs_are_no_unrun_cells():
    """Every cell was begun and answered, whatever is left of its outputs."""
    assert outcome(code("x", None, **by_papermill()), code("y", None, **by_papermill()), **run_block()).state == "finished"


def test_a_tagged_error_is_passed_over():
    """`raises-exception` is meant; the cell that papermill stopped at decides."""
    cells = (
        code("int('x')", 1, error(), tags=["raises-exception"], **by_papermill()),
        code("t['b']", 2, error("KeyError", "'b'"), **by_papermill("failed", exception=True)),
    )
    found = outcome(*cells, **run_block(failed=True))
    assert ended(found) == ("failed", 1)
    assert [cell.index for cell in found.expected] == [0]


@pytest.mark.parametrize(
    "cells",
    [
        (code("# Will produce an error\n1/0", 1, error("ZeroDivisionError", "division by zero")),),
        (words("The following cell should fail to execute:"), code("x", 1, error("NameError", "name 'x' is not defined"))),
        (code("1/0", 1, error("ZeroDivisionError", "d")), words("Notice how we got an error.")),
        (words("If you add it twice you will get an `IntegrityError`:"), code("add()", 1, error("IntegrityError", "twice"))),
        (code("d['k']  # KeyError: nothing is there yet", 1, error("KeyError", "'k'")),),
        (words("### TypeError"), code("'a' + 1", 1, error("TypeError", "no"))),
    ],
)
def test_words_beside_a_cell_say_that_its_error_is_meant(cells):
    """A comment, or the text before or after."""
    found = outcome(*cells)
    assert found.state == "finished"
    assert len(found.expected) == 1


@pytest.mark.parametrize(
    "text",
    ["Now the standard error of the mean:", "## Error analysis", "We log errors to a file.", "An Exception was encountered at 'In [1]'."],
)
def test_words_about_other_errors_say_nothing(text):
    """A notebook may speak of errors of measurement, of logs, or of papermill's own banner."""
    assert outcome(words(text), code("x", 1, error("NameError", "name 'x' is not defined"))).state == "failed"


def test_a_run_that_goes_straight_on_is_undecided():
    """The next cell has the next count, and nothing says whether the error was meant."""
    found = outcome(code("a.b = 1", 1, error("AttributeError", "immutable")), code("c = 2", 2))
    assert found.state == "finished"
    assert [cell.index for cell in found.undecided] == [0]


@pytest.mark.parametrize(
    "cells",
    [
        (code("import scipy", 1, error("ImportError", "No module named 'scipy'")), code("c = 2", 2)),
        (code("x = f()", 1, error()), code("print(x)", 2, error("NameError", "name 'x' is not defined")), code("c", 3)),
        (code("x = f()", 1, error()), code("c", 7)),
        (code("x = f()", 1, error(), execution=TIMES), code("c", 2, execution=TIMES)),
    ],
)
def test_going_on_excuses_no_lack_no_cascade_no_gap_and_no_batch(cells):
    """Something that is not installed, a later cell that misses its name, work in between, a program told to go on."""
    assert ended(outcome(*cells)) == ("failed", 0)


def test_the_first_decides_in_order_and_the_last_otherwise():
    """A notebook run from top to bottom fails at its root; one worked on by hand at what was tried last."""
    bad = error("OSError", "no")
    assert ended(outcome(code("a", 1, bad), code("b", 2, bad))) == ("failed", 0)
    assert ended(outcome(code("a", 5, bad), code("b", 3, bad), code("c", 4))) == ("failed", 0)
    assert ended(outcome(code("a", 3, bad), code("b", 7, bad), code("c", 4))) == ("failed", 1)


def test_a_name_defined_elsewhere_is_pointed_at():
    """Hidden state: the cell that defines the name was not run in this kernel."""
    found = outcome(code("def load():\n    pass", 60), code("load()", 2, error("NameError", "name 'load' is not defined")))
    assert ended(found) == ("failed", 1)
    assert [cell.index for cell in found.defined_in] == [0]


TRACE = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
    import scipy
ModuleNotFoundError: No module named 'scipy'
"""


def test_a_command_that_only_printed_its_error():
    """`!python x.py` makes no error output."""
    found = outcome(code("!python x.py", 1, printed(TRACE)), code("y", 2))
    assert (*ended(found), found.reason) == ("failed", 0, "printed-error")


@pytest.mark.parametrize(
    "cell",
    [
        code("%%sh --no-raise-error\npython x.py", 1, printed(TRACE)),
        code("!python x.py || true", 1, printed(TRACE)),
        code("print(captured.stderr)", 1, printed(TRACE)),
        code("spark.run()", 1, printed(TRACE, "stderr")),
        code("!python x.py", 1, printed(TRACE + "".join(f"step {i}\n" for i in range(20)))),
    ],
)
def test_a_traceback_that_ends_no_command_is_noise(cell):
    """Forgiven commands, quoted logs, widgets of the platform, and programs that went on."""
    assert outcome(cell, code("y", 2)).state == "finished"


def test_sparkmagic_prints_and_goes_on():
    """An error of Spark is a stream of a cell that completed."""
    found = outcome(
        code("df.show()", 1, printed("An error was encountered:\nPath does not exist: s3://b/x\n", "stderr"), **by_papermill()),
        **run_block(),
    )
    assert ended(found) == ("failed", 0)
    assert found.error["message"] == "Path does not exist: s3://b/x"


def test_cells_without_a_count():
    """A few in the middle were pasted there after the run; the rest of the file that was never run is another matter."""
    ran = [code(f"x{i}", i + 1) for i in range(9)]
    assert outcome(*ran[:5], code("pasted"), *ran[5:]).state == "finished"
    assert outcome(*ran, code("later"), code("# only words")).state == "partial"
    assert outcome(*[code(f"x{i}", None, printed("1")) for i in range(3)]).state == "finished"


def test_papermill_fails_at_the_end_where_the_kernel_had_answered_well():
    """`%run` shows an error and the kernel says "ok", so every cell is completed; papermill's banner says which one made it fail."""
    banner = words('<span id="papermill-error-cell" style="color:red">An exception was encountered here</span>')
    cells = (code("x = 1", 1, **by_papermill()), code("%run load.py", 2, error("KeyError", "'total'"), **by_papermill()))
    after = code("x", 3, **by_papermill())
    assert ended(outcome(cells[0], banner, cells[1], after, **run_block())) == ("failed", 1)
    assert outcome(*cells, after, **run_block()).state == "finished"
