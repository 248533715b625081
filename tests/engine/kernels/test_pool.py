"""Prewarmed kernels are quick, strangers to each other, and gone when they should be; without them notebooks run all the same."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smithers_nb.engine.kernels import pool as kernel_pool
from smithers_nb.engine.kernels.pool import KernelPool, prewarmed
from smithers_nb.engine.notebook.executor import execute
from smithers_nb.errors import NotebookError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are made by fork on Linux only")


@pytest.fixture(scope="module")
def pool():
    """One zygote for the tests that do not harm it."""
    with prewarmed(wait=True) as kernels:
        yield kernels


def runs(pid):
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=60):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def folder(monkeypatch):
    """A temporary folder of its own, to see what is left in it."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    monkeypatch.setenv("TMPDIR", str(made))
    yield made
    assert list(made.iterdir()) == []
    made.rmdir()


@pytest.mark.slow
def test_a_kernel_is_made_of_the_zygote(pool, notebook, parameters, tmp_path):
    """The kernel is a child of the zygote in a session of its own, has everything imported, and sees its parameters."""
    cell = "import os, sys\n(name * count, os.getppid(), os.getsid(0) == os.getpid(), 'pandas' in sys.modules)"
    before = pool.made
    done = execute(notebook(cell), tmp_path / "out.ipynb", parameters(name="ab", count=2), kernels=pool)
    assert done.shown("text/plain") == f"('abab', {pool.pid}, True, True)"
    assert pool.made == before + 1


def test_the_zygote_is_fit_to_be_copied(pool):
    """It has no thread of Python beside its only one, no open database and no event loop."""
    files = [str(path.readlink()) for path in Path(f"/proc/{pool.pid}/fd").iterdir()]
    assert not [name for name in files if ".db" in name or "sqlite" in name or "eventpoll" in name]
    names = {path.read_text().strip() for path in Path(f"/proc/{pool.pid}/task").glob("*/comm")}
    assert "AdbcInterrupt" not in names
    assert pool.threads == 1


def test_a_figure_was_drawn_before(pool, notebook, tmp_path):
    """A notebook that draws with plotly finds it imported, and its figure is drawn as ever."""
    cell = "import sys\nthere = 'plotly.graph_objects' in sys.modules\nimport plotly.graph_objects as go\ngo.Figure(go.Bar(y=[int(there)]))"
    done = execute(notebook(cell), tmp_path / "out.ipynb", kernels=pool)
    assert done.shown("application/vnd.plotly.v1+json")["data"][0]["y"] == [1]


def test_kernels_are_strangers(pool, notebook, tmp_path, monkeypatch):
    """What one kernel does to its environment, folder, modules and libraries does not reach the next."""
    monkeypatch.chdir(tmp_path)
    harm = (
        "import os, sys, pandas, json\nos.environ['LEAK'] = '1'\nos.chdir('/')\nsys.modules['leak'] = sys\ndel sys.modules['decimal']\n"
        "pandas.DataFrame = json.dumps = None\nsys.path.insert(0, '/leak')\nname = 'leak'"
    )
    execute(notebook(harm), tmp_path / "harm.ipynb", kernels=pool)
    look = (
        "import os, sys, pandas, json\nkept = [os.environ.get('LEAK'), os.getcwd(), 'leak' in sys.modules, 'decimal' in sys.modules, "
        "pandas.DataFrame is None, json.dumps is None, '/leak' in sys.path, name]\n' '.join(map(str, kept))"
    )
    done = execute(notebook(look), tmp_path / "look.ipynb", kernels=pool)
    assert done.shown("text/plain") == f"'None {tmp_path} False True False False False nobody'"


def test_environment_and_folder_are_those_of_now(pool, notebook, tmp_path, monkeypatch):
    """A kernel gets the environment and the folder of the moment it is asked for, as an ordinary one does."""
    monkeypatch.setenv("ASKED", "now")
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("TZ", "Etc/GMT-5")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("word = 'found'")
    cell = "import os, time, beside\n"
    cell += "[os.environ['ASKED'], 'HOME' in os.environ, time.timezone, os.environ['SMITHERS_POST_FAILURE'], beside.word]"
    done = execute(notebook(cell), tmp_path / "out.ipynb", kernels=pool)
    assert done.shown("text/plain") == "['now', False, -18000, '0', 'found']"


def test_chance_differs(pool, notebook, tmp_path):
    """Two kernels draw different numbers, although they are copies of one process."""
    cell = "import random, numpy, uuid\n(random.random(), numpy.random.rand(), uuid.uuid4().hex)"
    drawn = [execute(notebook(cell), tmp_path / "out.ipynb", kernels=pool).shown("text/plain") for _ in range(2)]
    first, second = (set(numbers.strip("()").split(", ")) for numbers in drawn)
    assert not first & second


def test_three_at_once(pool, notebook, tmp_path):
    """Kernels of one pool work at the same time: each waits in a cell until it has seen the others."""
    cell = (
        f"import os, pathlib, time\nhere = pathlib.Path({str(tmp_path)!r})\n(here / f'here-{{os.getpid()}}').touch()\n"
        "until = time.time() + 30\nwhile len(list(here.glob('here-*'))) < 3 and time.time() < until: time.sleep(0.01)\n"
        "len(list(here.glob('here-*')))"
    )
    small = notebook(cell)
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda n: execute(small, tmp_path / f"{n}.ipynb", kernels=pool), range(3)))
    assert [one.shown("text/plain") for one in done] == ["3", "3", "3"]


def test_a_killed_kernel_is_noticed(pool, notebook, tmp_path):
    """A kernel that dies mid-way ends the execution at once, and the next one is made all the same."""
    begun = time.monotonic()
    with pytest.raises(NotebookError, match=r"Step 2.*the kernel died"):
        execute(notebook("1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), tmp_path / "out.ipynb", kernels=pool)
    assert time.monotonic() - begun < 15
    assert execute(notebook("1 + 1"), tmp_path / "out.ipynb", kernels=pool).shown("text/plain") == "2"


@pytest.mark.parametrize(
    "cell", ["import time\ntime.sleep(60)", "while True:\n    try:\n        while True: pass\n    except BaseException: pass"]
)
def test_limits_hold(pool, notebook, tmp_path, cell):
    """A cell past its time is ended, also one that ignores interrupts, and its process with it."""
    pid = tmp_path / "pid"
    tell = f"import os\nopen({str(pid)!r}, 'w').write(str(os.getpid()))"
    with pytest.raises(NotebookError, match="Timeout: the cell took longer"):
        execute(notebook(tell, cell), tmp_path / "out.ipynb", cell_timeout_s=1, kernels=pool)
    assert until(lambda: not runs(int(pid.read_text())))


def test_the_whole_notebook_has_a_limit(pool, notebook, tmp_path):
    """The limit of the whole notebook ends a kernel of the pool too."""
    with pytest.raises(NotebookError, match="Timeout: the notebook took longer"):
        execute(notebook("import time\ntime.sleep(60)"), tmp_path / "out.ipynb", total_timeout_s=1.5, kernels=pool)


def test_an_interrupt_ends_the_kernel(pool, notebook, tmp_path, folder):
    """Ctrl-C while a cell runs reaches the caller, and neither the kernel nor its sockets stay."""
    pid = tmp_path / "pid"
    tell = f"import os, signal, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))"
    with pytest.raises(KeyboardInterrupt):
        execute(notebook(f"{tell}\nos.kill({os.getpid()}, signal.SIGINT)\ntime.sleep(60)"), tmp_path / "out.ipynb", kernels=pool)
    assert list(folder.iterdir()) == []
    assert until(lambda: not runs(int(pid.read_text())))


@pytest.mark.parametrize("leave", ["quit()", "exit()", "import sys; sys.exit(0)"])
def test_exit_handlers_run(pool, notebook, tmp_path, leave):
    """A cell that ends the program stops its notebook there and then, which says so; what it wants done at its kernel's end is done."""
    for kernels in (pool, None):
        mark = tmp_path / f"done-{kernels is None}"
        late = f"import atexit, pathlib\natexit.register(pathlib.Path({str(mark)!r}).write_text, 'yes')\n{leave}\nprint('never')"
        with pytest.raises(NotebookError, match=r"EndedEarly: the notebook ended early at cell 2 of 3: it called sys.exit\(0\)"):
            execute(notebook(late, "1"), tmp_path / "out.ipynb", kernels=kernels)
        assert mark.read_text() == "yes"
        assert "never\\n" not in (tmp_path / "out.ipynb").read_text()


def launch(pool, folder, argv=("-f", "kernel.json")):
    """Ask a pool for a kernel, without a kernel manager."""
    with (folder / "log").open("wb") as log:
        return pool.launch(argv, dict(os.environ), str(folder), log.fileno())


def test_the_way_it_ended_is_known(pool, tmp_path):
    """A kernel's end is reported as Popen reports it: minus the signal, or the exit code."""
    killed = launch(pool, tmp_path)
    assert killed.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0.05)
    killed.kill()
    assert killed.wait(10) == -signal.SIGKILL
    killed.send_signal(signal.SIGTERM)  # to nobody
    refused = launch(pool, tmp_path, ("-f",))
    assert refused.wait(10) == 2
    assert "expected one argument" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_dead_zygote_is_done_without(notebook, tmp_path, caplog):
    """When the zygote is killed, a notebook that is running goes on, later ones get ordinary kernels, and that is said once."""
    mark = tmp_path / "running"
    slow = notebook(f"import time\nopen({str(mark)!r}, 'w').close()\ntime.sleep(1)\n'went on'")
    with prewarmed() as pool, ThreadPoolExecutor(1) as threads:
        running = threads.submit(execute, slow, tmp_path / "slow.ipynb", kernels=pool)
        assert until(mark.exists, 30)
        os.kill(pool.pid, signal.SIGKILL)
        assert running.result(30).shown("text/plain") == "'went on'"
        small = notebook("import os\nos.getppid()")
        with caplog.at_level(logging.WARNING, "smithers_nb"):
            for _ in range(2):
                assert execute(small, tmp_path / "out.ipynb", kernels=pool).shown("text/plain") == str(os.getpid())
    assert [record.message for record in caplog.records] == [f"{pool.problem}; notebooks take longer"]
    assert "is gone" in pool.problem


@pytest.mark.parametrize(
    ("broken", "words"),
    [({"_MODULE": "no_such_module"}, "ended before it was ready"), ({"_is_supported": lambda: False}, "this system cannot fork")],
)
def test_without_a_zygote(notebook, tmp_path, monkeypatch, broken, words):
    """Where no zygote can be started, notebooks run on ordinary kernels and the pool says why."""
    monkeypatch.setattr(kernel_pool, *next(iter(broken.items())))
    with prewarmed() as pool:
        assert execute(notebook("1 + 1"), tmp_path / "out.ipynb", kernels=pool).shown("text/plain") == "2"
    assert words in pool.problem
    assert pool.made == 0


def test_some_environments_need_an_interpreter_of_their_own(pool, notebook, tmp_path, monkeypatch):
    """A variable that the interpreter reads when it starts is honoured: that kernel is an ordinary one, the pool stays."""
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    done = execute(notebook("import os\nos.getppid(), hash('x')"), tmp_path / "out.ipynb", kernels=pool)
    expected = subprocess.run([sys.executable, "-c", "print(hash('x'))"], capture_output=True, text=True, check=True).stdout.strip()
    assert done.shown("text/plain") == f"({os.getpid()}, {expected})"
    assert pool.problem == ""


@pytest.mark.slow
def test_a_killed_owner_takes_everything_along(notebook, tmp_path, folder):
    """When our own process is killed, zygote and kernel end by themselves and leave no folder and no socket."""
    pids = tmp_path / "pids"
    tell = f"import os, signal, time\nopen({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}')"
    small = notebook(f"{tell}\nos.kill(int(os.environ['OWNER']), signal.SIGKILL)\ntime.sleep(60)")
    code = (
        "import os\nfrom pathlib import Path\nfrom smithers_nb.engine.notebook.executor import execute\n"
        "from smithers_nb.engine.kernels.pool import prewarmed\nos.environ['OWNER'] = str(os.getpid())\n"
        f"with prewarmed() as pool: execute(Path({str(small)!r}), Path({str(tmp_path / 'out.ipynb')!r}), kernels=pool)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    kernel, zygote = map(int, pids.read_text().split())
    assert until(lambda: not runs(kernel) and not runs(zygote) and not list(folder.iterdir()))


@pytest.mark.usefixtures("folder")
@pytest.mark.slow
def test_a_pool_that_is_closed_is_gone(notebook, tmp_path):
    """Leaving the block ends the zygote and leaves nothing behind; a pool may be closed twice."""
    with prewarmed(wait=True) as pool:
        zygote = pool.pid
        assert runs(zygote)
    pool.close()
    assert not runs(zygote)
    assert execute(notebook("2"), tmp_path / "out.ipynb", kernels=pool).shown("text/plain") == "2"


@pytest.mark.slow
def test_a_pool_may_be_started_from_a_thread_that_ends(notebook, tmp_path):
    """The zygote belongs to the process, not to the thread that started it."""
    pool = KernelPool()
    starter = threading.Thread(target=pool.start)
    starter.start()
    starter.join()
    try:
        execute(notebook("2"), tmp_path / "out.ipynb", kernels=pool)
        assert (pool.made, pool.problem) == (1, "")
    finally:
        pool.close()
