"""What programs printed that a notebook ran, and which of them failed without anybody noticing."""

from __future__ import annotations

import pytest

from smithers_nb.sources.notebooks.document import Cell
from smithers_nb.sources.notebooks.streams import failed_unnoticed, is_one_command, shell_command


@pytest.mark.parametrize(
    ("source", "command", "alone"),
    [
        ("%%bash\nset -e\n# fetch\ncurl -sS http://127.0.0.1:9/x", "curl -sS http://127.0.0.1:9/x", True),
        ("%%sh\n./run.sh", "./run.sh", True),
        ("%%bash\npython3 - <<'PY'\nimport json\nPY", "python3 - <<'PY'", False),
        ("!make all", "make all", True),
    ],
)
def test_the_command_of_a_script(source, command, alone):
    """Settings and comments of a script run nothing, and the exit status of many lines is not that of the first."""
    cell = Cell(0, source, 1, (), {})
    assert (shell_command(cell), is_one_command(cell)) == (command, alone)


@pytest.mark.parametrize(
    ("source", "printed", "found"),
    [
        ("%pip install tabfold", "Looking in links\nERROR: No matching distribution found for tabfold", "ERROR: No matching"),
        ("os.system('tar xzf m.tgz')", "tar (child): m.tgz: Cannot open: No such file or directory", "tar (child): m.tgz"),
        ("!ls /data", "orders.csv", ""),
        ("print('error: none')", "error: none", ""),
    ],
)
def test_a_program_that_failed_unnoticed(source, printed, found):
    """Only what runs a program counts, and only when the program says that it failed."""
    told = failed_unnoticed(source, printed)
    assert (told or ("", ""))[1].startswith(found)
    assert bool(told) == bool(found)
