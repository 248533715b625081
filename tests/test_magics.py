"""`%load_ext smithers_nb` in a real IPython shell."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from smithers_nb.resources import resource


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A shell with the extension, in a project folder that holds the example store."""
    (tmp_path / "smithers.db").write_bytes(gzip.decompress(resource("templates/example/smithers.db.gz").read_bytes()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    fresh = InteractiveShell()
    fresh.run_line_magic("load_ext", "smithers_nb")
    yield fresh
    fresh.history_manager.end_session()
    InteractiveShell.clear_instance()


def test_runs_is_a_frame(shell) -> None:
    """`%runs` gives the newest runs, filtered as asked."""
    assert isinstance(shell.run_line_magic("runs", ""), pd.DataFrame)
    assert len(shell.run_line_magic("runs", "--limit 3")) == 3
    assert set(shell.run_line_magic("runs", "--status failed")["status"]) == {"failed"}


def test_autopsy_displays_the_verdict(shell) -> None:
    """`%autopsy RUN` shows class, cause and commands."""
    card = shell.run_line_magic("autopsy", "order-sync-013")
    assert "workflow-bug" in card.text
    assert "normalize" in card._repr_html_()


def test_autopsy_takes_a_place_and_a_time(shell, tmp_path: Path) -> None:
    """`--source` and `--now` are those of the command line."""
    card = shell.run_line_magic("autopsy", f"order-sync-013 --source {tmp_path / 'smithers.db'} --now 2026-11-21")
    assert "workflow-bug" in card.text


@pytest.mark.parametrize(
    "line",
    ["nope", "", "order-sync-004", "order-sync-013 --nope", "order-sync-013 'unclosed", "order-sync-013 --now soon", "x --source /nowhere"],
)
def test_errors_are_a_line(shell, line: str) -> None:
    """A wrong id, option or place is a line in the cell and no traceback."""
    assert shell.run_line_magic("autopsy", line).text.startswith("!")


def completed(shell, line: str) -> set[str]:
    with provisionalcompleter():
        return {found.text for found in shell.Completer.completions(line, len(line))}


@pytest.mark.slow
def test_ids_and_options_are_completed(shell) -> None:
    """Tab completes run ids behind `%autopsy`, and options of both magics."""
    assert "order-sync-013" in completed(shell, "%autopsy order-sync-01")
    assert "--workflow-path" in completed(shell, "%autopsy order-sync-013 --work")
    assert "--status" in completed(shell, "%runs --st")
