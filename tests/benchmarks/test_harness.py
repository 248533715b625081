"""The benchmarks run, say what they measured against, and judge nothing by the clock."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import __main__ as benchmarks  # noqa: E402
from tests.benchmarks.measure import Row  # noqa: E402
from tests.benchmarks.smithers_cli import real_cli  # noqa: E402
from tests.benchmarks.stores import big_store  # noqa: E402


def run(*arguments, **variables):
    """Run the harness as people do."""
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **variables},
        timeout=120,
        check=False,
    )


def test_a_quick_benchmark_prints_its_row(tmp_path):
    """One cheap benchmark by name gives one row with a ratio, and warns that it is too small to judge."""
    done = run("snapshot", "--quick", "--cache", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("one run's snapshot")]
    assert "x  <= 1.2x" in row
    assert "QUICK" in done.stdout


def test_without_the_real_cli_the_row_says_so(tmp_path):
    """Nobody needs the real CLI to run the benchmarks."""
    done = run("failures", "--quick", "--cache", str(tmp_path), SMITHERS_CLI=str(tmp_path / "none"))
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout


def test_an_unknown_benchmark_is_refused():
    """A misspelt name is answered with the names there are."""
    done = run("snapshots")
    assert done.returncode == 2
    assert "snapshot" in done.stderr


def test_a_benchmark_that_breaks_is_a_row_and_a_failure(monkeypatch, capsys):
    """The others still print, and the exit code tells."""

    def breaks(_sizes):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"one": breaks, "two": lambda _sizes: iter([Row("two", "1 ms", "2 ms", "0.5x", "")])})
    assert benchmarks.main([]) == 1
    told = capsys.readouterr().out
    assert "the disk is full" in told
    assert "0.5x" in told


def test_the_real_cli_is_only_what_exists(monkeypatch, tmp_path):
    """A wrong SMITHERS_CLI is not a CLI."""
    monkeypatch.setenv("SMITHERS_CLI", str(tmp_path / "smithers"))
    assert real_cli() is None


@pytest.mark.parametrize("copies", [1, 3])
def test_a_generated_store_is_whole(tmp_path, copies):
    """Each copy has its own runs, every log its first and last event, and no two events share a place."""
    store = big_store(tmp_path, 14 * copies, 60)
    with sqlite3.connect(f"file:{store.path}?mode=ro&immutable=1", uri=True) as connection:
        logs = connection.execute(
            "SELECT min(seq), count(*), count(DISTINCT seq), sum(type = 'RunStarted') FROM _smithers_events GROUP BY run_id"
        )
        assert store.runs == 14 * copies
        assert all(first == 0 and count == places and count >= 60 and starts >= 1 for first, count, places, starts in logs)
        (orphans,) = connection.execute(
            "SELECT count(*) FROM _smithers_events WHERE run_id NOT IN (SELECT run_id FROM _smithers_runs)"
        ).fetchone()
        (strays,) = connection.execute(
            "SELECT count(*) FROM _smithers_events WHERE json_extract(payload_json, '$.runId') <> run_id"
        ).fetchone()
    connection.close()
    assert (orphans, strays) == (0, 0)
    assert big_store(tmp_path, 14 * copies, 60) == store
