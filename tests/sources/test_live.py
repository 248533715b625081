"""A store whose engine is at work: rows and bulk frames are of whole transactions, and the engine never notices."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from smithers_nb.model.rows import EventRow
from smithers_nb.sources.locate import open_source

ENGINE = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA wal_autocheckpoint = 10")
payload = '{"nodeId": "n", "iteration": 0, "attempt": 1, "text": "' + "x" * 800 + '"}'
for n in range(0, 2_000_000, 2):
    connection.execute("BEGIN IMMEDIATE")
    for seq in (n, n + 1):
        connection.execute("INSERT INTO _smithers_events VALUES ('live', ?, ?, 'NodeStarted', ?)", (seq, 1_800_000_000_000 + n, payload))
    connection.execute("COMMIT")
    if n == 100:
        print("ready", flush=True)
    time.sleep(0.001)
"""


@pytest.fixture
def engine(store):
    """Start a process that appends to the log of a real store, two events per transaction."""
    path = store("invoice-rollup")
    process = subprocess.Popen([sys.executable, "-c", ENGINE, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_rows_and_frames_of_a_live_store(engine):
    """Reads in turn by both libraries give pairs of events without gaps, and never fewer than before."""
    path, process = engine
    source, counts = open_source(path), []
    for _ in range(25):
        for events in (source.rows(EventRow, "live"), source.frame(EventRow, "live").itertuples()):
            seqs = [event.seq for event in events]
            assert seqs == list(range(len(seqs)))
            assert len(seqs) % 2 == 0
            counts.append(len(seqs))
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert source.problems == []
    assert process.poll() is None


def test_engine_that_dies(engine):
    """After the engine is killed its committed events are read by both libraries, and no file comes or goes."""
    path, process = engine
    source = open_source(path)
    source.rows(EventRow, "live")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = names(path.parent), path.read_bytes(), path.with_name("smithers.db-wal").read_bytes()
    rows, frame = source.rows(EventRow, "live"), source.frame(EventRow, "live")
    assert len(rows) == len(frame) > 100
    assert len(rows) % 2 == 0
    source.close()
    assert (names(path.parent), path.read_bytes(), path.with_name("smithers.db-wal").read_bytes()) == before


def test_wal_without_its_index_in_bulk(engine):
    """Bulk frames of a copied store with a left-over `-wal` come from the private copy, too."""
    path, process = engine
    process.send_signal(signal.SIGKILL)
    process.wait()
    path.with_name("smithers.db-shm").unlink()
    before = names(path.parent)
    source = open_source(path)
    assert len(source.frame(EventRow, "live")) == len(source.rows(EventRow, "live")) > 100
    assert names(path.parent) == before
    source.close()
    assert names(path.parent) == before


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}
