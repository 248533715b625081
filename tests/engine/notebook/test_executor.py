"""Notebooks run within limits, and whatever happens to them is kept and named."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from smithers_nb.engine.notebook.executor import execute, validated
from smithers_nb.errors import NotebookError, ParameterError


def outputs(path):
    """All outputs of a saved notebook, flat."""
    return [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]


def runs(pid):
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_parameters_reach_the_cells(notebook, parameters, tmp_path):
    """A notebook sees the values it was given, and the executed one is saved where it was asked for."""
    done = execute(notebook("name * count"), tmp_path / "out" / "done.ipynb", parameters(name="ab", count=2))
    assert done.path == tmp_path / "out" / "done.ipynb"
    assert outputs(done.path)[-1].data["text/plain"] == "'abab'"
    assert done.shown("text/plain") == "'abab'"
    assert done.shown("application/nothing+json") is None


def test_hostile_parameters_stay_text(notebook, parameters, tmp_path):
    """A value full of quotes, braces, escapes and code is the same text in the kernel, and runs nothing."""
    hostile = "\"'; raise SystemExit('owned') #\n\\ {name} {{0}} \x1b[31m </script> \u202e"
    done = execute(notebook("name"), tmp_path / "out.ipynb", parameters(name=hostile))
    assert done.shown("text/plain") == repr(hostile)


def test_the_kernel_is_ours(notebook, parameters, tmp_path):
    """The kernel speaks over private sockets, does not load what is slow, and starts no autopsy of its own."""
    cell = (
        "import os, sys\nfrom ipykernel.kernelapp import IPKernelApp\n"
        "IPKernelApp.instance().transport, os.environ['SMITHERS_POST_FAILURE'], sys.modules['rfc3987_syntax']"
    )
    done = execute(notebook(cell), tmp_path / "out.ipynb", parameters())
    assert done.shown("text/plain") == "('ipc', '0', None)"


def test_nothing_is_left_behind(notebook, parameters, tmp_path, monkeypatch):
    """Sockets, connection files and half-written notebooks are gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    execute(notebook("1"), tmp_path / "out" / "done.ipynb", parameters())
    assert list(folder.iterdir()) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["done.ipynb"]
    folder.rmdir()


def test_nothing_is_printed(notebook, parameters, tmp_path, capfd):
    """Neither papermill nor what the kernel's process writes reaches our own output, which is for the row."""
    execute(notebook("import os\nos.write(1, b'raw out')\nos.write(2, b'raw err')\nprint('said')"), tmp_path / "out.ipynb", parameters())
    assert capfd.readouterr() == ("", "")


def test_progress_tells_the_heading(notebook, parameters, tmp_path):
    """Whoever waits is told which step comes next."""
    told = []
    execute(notebook("1", "2"), tmp_path / "out.ipynb", parameters(), progress=lambda *step: told.append(step))
    assert told[-1] == (4 + 1, 5 + 1, "Step 2")


def test_time_is_used_while_the_kernel_starts(notebook, parameters, tmp_path):
    """`meanwhile` runs in the calling thread before the notebook has ended."""
    seen = []
    execute(
        notebook("1"),
        tmp_path / "out.ipynb",
        parameters(),
        meanwhile=lambda: seen.append((threading.current_thread(), (tmp_path / "out.ipynb").exists())),
    )
    assert seen == [(threading.main_thread(), False)]


def test_a_failing_cell_keeps_the_notebook(notebook, parameters, tmp_path):
    """The notebook as far as it got is saved, and the error names its file, the step and what was raised."""
    with pytest.raises(NotebookError, match=r"small\.ipynb stopped at “Step 2”: ValueError: no good") as caught:
        execute(notebook("'before'", "raise ValueError('no good')", "'after'"), tmp_path / "out.ipynb", parameters())
    assert caught.value.notebook == tmp_path / "out.ipynb"
    assert str(tmp_path / "out.ipynb") in caught.value.hint
    shown = outputs(tmp_path / "out.ipynb")
    assert [output.output_type for output in shown] == ["execute_result", "error"]
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "cell", ["import time\ntime.sleep(60)", "while True:\n    try:\n        while True: pass\n    except BaseException: pass"]
)
def test_a_cell_that_never_ends_is_ended(notebook, parameters, tmp_path, cell):
    """A cell past its time is ended, also one that ignores interrupts, and the notebook says so in that cell."""
    begun = time.monotonic()
    with pytest.raises(NotebookError, match=r"Step 2.*Timeout: the cell took longer"):
        execute(notebook("'before'", cell), tmp_path / "out.ipynb", parameters(), cell_timeout_s=1)
    assert time.monotonic() - begun < 15
    assert outputs(tmp_path / "out.ipynb")[-1].ename == "Timeout"


def test_the_whole_notebook_has_a_limit(notebook, parameters, tmp_path):
    """The limit of the whole notebook holds although each cell keeps within its own."""
    with pytest.raises(NotebookError, match="Timeout: the notebook took longer"):
        execute(notebook(*["import time\ntime.sleep(0.7)"] * 8), tmp_path / "out.ipynb", parameters(), total_timeout_s=2.5)
    assert outputs(tmp_path / "out.ipynb")[-1].ename == "Timeout"


def test_a_killed_kernel_is_noticed(notebook, parameters, tmp_path):
    """A kernel that dies mid-way ends the execution at once, and the cell that killed it says so."""
    begun = time.monotonic()
    with pytest.raises(NotebookError, match=r"Step 2.*the kernel died") as caught:
        execute(notebook("'before'", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), tmp_path / "out.ipynb", parameters())
    assert time.monotonic() - begun < 15
    assert caught.value.notebook == tmp_path / "out.ipynb"
    assert [output.output_type for output in outputs(tmp_path / "out.ipynb")] == ["execute_result", "error"]


def test_a_kernel_that_cannot_start_is_named(notebook, parameters, tmp_path, monkeypatch):
    """When the kernel's process dies at once, its last words are in the error."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ipykernel.py").write_text("raise ImportError('no kernel today')")
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=os.pathsep)
    with pytest.raises(NotebookError, match="no kernel today"):
        execute(notebook("1"), tmp_path / "out.ipynb", parameters(), total_timeout_s=60)


@contextmanager
def files_limited_to(size):
    """Let every write past `size` bytes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_notebook(notebook, parameters, tmp_path, monkeypatch):
    """What cannot be saved whole is not saved at all: an earlier notebook stays, and no part of the new one is left."""
    monkeypatch.setattr("smithers_nb.engine.notebook.executor._SAVE_EVERY_S", 3_600)  # what it had got to by then would fit
    output = tmp_path / "out" / "done.ipynb"
    output.parent.mkdir()
    output.write_text("the earlier one")
    small = notebook("'x' * 200_000")
    with files_limited_to(50_000), pytest.raises(NotebookError, match="could not be written") as caught:
        execute(small, output, parameters())
    assert caught.value.notebook is None
    assert output.read_text() == "the earlier one"
    assert [path.name for path in output.parent.iterdir()] == ["done.ipynb"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nam": "x"}, "unknown parameter 'nam'"),
        ({"count": "many"}, "count: input should be a valid integer"),
        ({"count": None}, "count: "),
    ],
)
def test_wrong_parameters_are_one_line(parameters, values, words):
    """Before anything starts, one line says which parameter is wrong, and the hint which there are."""
    with pytest.raises(ParameterError, match=words) as caught:
        validated(parameters, values)
    assert "\n" not in str(caught.value)
    assert caught.value.hint == "the parameters are name, count"


def test_an_interrupt_ends_the_kernel(notebook, parameters, tmp_path, monkeypatch):
    """Ctrl-C while a cell runs reaches the caller, and neither the kernel nor its sockets stay."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    pid = tmp_path / "pid"
    cell = (
        f"import os, signal, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nos.kill({os.getpid()}, signal.SIGINT)\ntime.sleep(60)"
    )
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(notebook(cell), tmp_path / "out.ipynb", parameters())
    assert time.monotonic() - begun < 15
    assert list(folder.iterdir()) == []
    assert not runs(int(pid.read_text()))
    folder.rmdir()


def test_a_killed_owner_takes_the_kernel_along(notebook, tmp_path):
    """When our own process is killed, its kernel ends by itself and removes its sockets."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    pid = tmp_path / "pid"
    tell = f"import os, signal, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))"
    small = notebook(f"{tell}\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)")
    paths = f"Path({str(small)!r}), Path({str(tmp_path / 'out.ipynb')!r})"
    code = f"from pathlib import Path; from smithers_nb.engine.notebook.executor import execute; execute({paths})"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(folder)}, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while (any(folder.iterdir()) or runs(int(pid.read_text()))) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(folder.iterdir()) == []
    assert not runs(int(pid.read_text()))
    folder.rmdir()


def test_what_a_cell_starts_has_no_input(notebook, tmp_path):
    """A program that reads its input ends at once instead of waiting for what never comes."""
    cell = "import subprocess\nsubprocess.run(['cat'], capture_output=True, check=True, timeout=5).stdout"
    done = execute(notebook(cell), tmp_path / "out.ipynb")
    assert done.shown("text/plain") == "b''"
