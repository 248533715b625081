"""Commands start at once, because they load only what they use."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

HEAVY = {"pandas", "numpy", "pyarrow", "adbc_driver_sqlite", "plotly", "nbconvert", "nbformat", "papermill", "IPython", "jupyter_client"}


def loaded(process, args: list[str], stdin: bytes = b"") -> set[str]:
    code = (
        f"import sys; from smithers_nb.cli import main; code = main({args!r}); print(sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = process(code=("-c", code), stdin=stdin)
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stderr.decode().splitlines()[-1]))


@pytest.mark.parametrize(
    "args",
    [
        ["why", "order-sync-013"],
        ["why", "release-gate-035"],
        ["inspect", "order-sync-013"],
        ["events", "order-sync-013"],
        ["output", "order-sync-004"],
        ["node", "order-sync-013", "normalize"],
        ["ps"],
        ["failures"],
        ["failures", "order-sync-013"],
    ],
    ids=" ".join,
)
def test_looking_at_runs_loads_nothing_heavy(process, example: Path, args: list[str]) -> None:
    """Neither pandas nor Arrow, plotly, nbconvert, papermill, IPython or pydantic is loaded to look at runs."""
    assert not loaded(process, [*args, "--source", str(example)]) & (HEAVY | {"pydantic"})


def test_classifying_loads_nothing_heavy(process) -> None:
    """Messages are classified without pandas."""
    assert not loaded(process, ["classify"], b"boom\n") & HEAVY


def test_help_loads_next_to_nothing(process) -> None:
    """`--help` loads click and no pydantic, rich, SQLite or orjson."""
    assert not loaded(process, ["--help"]) & (HEAVY | {"pydantic", "rich", "sqlite3", "orjson"})


def test_pages_and_tables_need_no_rich(process, example: Path) -> None:
    """Tables are laid out without rich, which would cost a sixth of the time."""
    for args in (["why", "order-sync-013"], ["ps"]):
        assert "rich" not in loaded(process, [*args, "--source", str(example)])


@pytest.mark.slow
def test_a_run_that_goes_well_needs_no_autopsy(process, tmp_path: Path) -> None:
    """`up` of a notebook that does not fail loads nothing that looks into failures."""
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), tmp_path / "fine.ipynb")
    (tmp_path / ".smithers_nb").mkdir()
    names = loaded(process, ["up", str(tmp_path / "fine.ipynb"), "--source", str(tmp_path)])
    rooms = ("diagnosis", "agents", "workflows.autopsy", "workflows.batch", "workflows.bugs")
    assert not [name for name in names if name.startswith(tuple(f"smithers_nb.{room}" for room in rooms))]
