"""What the rehearsal of an autopsy leaves behind in the process that kernels are made of."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_rehearsal_leaves_nothing_but_what_it_learned(tmp_path):
    """It starts no thread, keeps no file open and leaves none; a second one has nothing left to import."""
    code = (
        "import os, sys, threading\nfrom smithers_nb.workflows.autopsy.warm_up import draw_a_figure, rehearse\n"
        "open_before = len(os.listdir('/proc/self/fd'))\n"
        "rehearse()\ndraw_a_figure()\nknown = set(sys.modules)\nrehearse()\ndraw_a_figure()\n"
        "print(threading.active_count(), len(os.listdir('/proc/self/fd')) - open_before, sorted(set(sys.modules) - known))\n"
        "names = [open(f'/proc/self/task/{task}/comm').read().strip() for task in os.listdir('/proc/self/task')]\n"
        "print('AdbcInterrupt' in names, 'pandas' in sys.modules, 'sqlalchemy' in sys.modules, 'plotly' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}, check=False
    )
    assert done.stdout.splitlines() == ["1 0 []", "False True True True"], done.stderr
    assert list(tmp_path.iterdir()) == []
