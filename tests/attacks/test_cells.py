"""Cells that try to get past a gate, or to end a run as something that it is not."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.support.durable import effect

_GATE = "from smithers_nb import gate, stage\n"
_IN_A_FORK = "import os\nif not (pid := os.fork()):\n    try: {}\n    finally: os._exit(0)\nos.waitpid(pid, 0)\nraise ValueError"
_CAUGHT = "try: gate('g', 'Go on?')\nexcept: pass\nstage('s', never)"
_NEVER = "def never():\n    open('effects', 'a').write('never ')\n"


class Cell(NamedTuple):
    """An attack, the statuses that are true after it, and whether every run of the tests makes it."""

    name: str
    code: str
    true: frozenset[str]
    always: bool = False


def _cell(name: str, code: str, true: str, *, always: bool = False) -> Cell:
    return Cell(name, code, frozenset(true.split()), always)


CELLS = [
    _cell("a class of the same name", 'class Parked(BaseException): pass\nraise Parked(\'{"node_id": "g"}\')', "failed"),
    _cell(
        "a gate in a fork",
        _IN_A_FORK.format("gate('g', 'Go on?')"),
        "failed",
    ),
    _cell(
        "a stage in a fork",
        _IN_A_FORK.format("stage('s', never)"),
        "failed",
        always=True,
    ),
    _cell(
        "a gate in a program that it starts",
        "import subprocess, sys\ncode = \"from smithers_nb import gate; gate('g', 'Go on?')\"\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\nstage('s', never)",
        "failed",
        always=True,
    ),
    _cell("a bare except", _CAUGHT, "waiting-approval", always=True),
    _cell(
        "suppress",
        "import contextlib\nwith contextlib.suppress(BaseException):\n    gate('g', 'Go on?')\nstage('s', never)",
        "waiting-approval",
    ),
    _cell(
        "a gate in a thread",
        "import threading\nthread = threading.Thread(target=gate, args=('g', 'Go on?'))\nthread.start(); thread.join()\nstage('s', never)",
        "waiting-approval",
    ),
    _cell(
        "a gate that is gathered",
        "import asyncio\nasync def ask(): gate('g', 'Go on?')\nawait asyncio.gather(ask(), return_exceptions=True)\nstage('s', never)",
        "waiting-approval",
    ),
    _cell("sys.exit in a stage", "import sys\nstage('s', sys.exit, 0)", "failed", always=True),
    _cell("os._exit", "import os\nos._exit(0)", "failed"),
    _cell("os._exit behind a gate", _CAUGHT.replace("stage('s', never)", "import os; os._exit(0)"), "failed waiting-approval"),
    _cell("except Exception", "try: gate('g', 'Go on?')\nexcept Exception: pass", "waiting-approval"),
    _cell(
        "a status in the environment",
        "import os\nos.environ.pop('SMITHERS_NB_RUN_ID')\nos.environ['SMITHERS_NB_OWNER'] = 'x'\ngate('g', 'Go on?')",
        "failed waiting-approval",
    ),
    _cell("a raise in a stage", "stage('s', lambda: 1 / 0)", "failed"),
    _cell("the kernel kills itself", "import os\nos.kill(os.getpid(), 9)", "failed", always=True),
    _cell("an interrupt of its own", "raise KeyboardInterrupt", "failed cancelled"),
    _cell("an error without words", "class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "failed"),
    _cell(
        "no standard output",
        "import sys, os\nsys.stdout.close(); sys.stderr = None; os.close(1); os.close(2)\nraise ValueError('x')",
        "failed",
    ),
    _cell("a flood", "for n in range(300): print('x' * 10_000)\nraise ValueError('x')", "failed"),
    _cell(
        "threads that stay",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nraise ValueError('x')",
        "failed",
    ),
]


@pytest.mark.slow
def test_cells(project, database, amount, tally):
    """No cell passes a gate that nobody has decided, and every run ends as what it is."""
    counts, wrong = tally(f"cells on {database}"), []
    some = [cell for cell in CELLS if cell.always] if database == "sqlite" else [cell for cell in CELLS if cell.name == "a stage in a fork"]
    for cell in amount(some, CELLS):
        run_id = project.submit(_GATE + _NEVER + cell.code, effect("never"))
        status = project.execute(run_id).status
        counts.tried += 1
        if status not in cell.true or project.run(run_id).status != status or project.lines():
            counts.passed += 1
            wrong.append((cell.name, status, project.lines()))
        project.root.joinpath("effects").unlink(missing_ok=True)
    assert counts.held, wrong
