"""Stores that are damaged, older, or filled with garbage by somebody: what can be read is read, typed, and the rest is told."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from smithers_nb.cli import main
from smithers_nb.errors import SourceUnreadable
from smithers_nb.model.rows import AttemptRow, EventRow, NodeRow, OutputRow, QuestionRow, RunRow, TaskRow
from smithers_nb.model.timestamps import duration
from smithers_nb.sources.locate import open_source

HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "a\x00b",
    "../../etc/passwd",
    "'; DROP TABLE x; --",
    "$(reboot) `id`",
    "\u202eabc",
    "x" * 1_000_000,  # a megabyte
]
GARBAGE = [
    "",
    "{",
    "null",
    "[]",
    "7",
    '"text"',
    '{"message": {"deep": [1]}}',
    "\u0000",
    "NaN",
    "[" * 3000,
    "[" * 500 + "]" * 500,
    "1" * 400,
]


def test_damaged_store(store):
    """A store with damaged pages gives what is readable and says which table was not, in rows and in frames."""
    source = open_source(store("vendor-sync"))
    assert source.rows(RunRow)[0].workflow == "vendor-sync"
    assert len(source.rows(NodeRow)) == 3
    source.rows(AttemptRow)
    source.frame(AttemptRow)
    assert [(p.where, p.what) for p in source.problems] == [("_smithers_attempts", "database disk image is malformed")]


def test_damaged_name(store):
    """A store in whose schema a name is no text any more is refused as damaged, although SQLite's own message cannot be read."""
    path = store("order-intake")
    content = path.read_bytes()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET name = CAST(x'e4e4' AS TEXT), sql = 'CREATE TABLE ' WHERE name = '_smithers_runs'")
    connection.commit()
    connection.close()
    assert path.read_bytes() != content
    with pytest.raises(SourceUnreadable, match="damaged"):
        open_source(path)


def test_rows_behind_the_damage(store):
    """A damaged page in the middle of a log costs the rows on it, not the end of the run behind it."""
    path = store("ad-copy")
    whole = open_source(path).rows(EventRow)
    content, size = bytearray(path.read_bytes()), 4096
    connection = sqlite3.connect(path)
    pages = connection.execute("SELECT pageno FROM dbstat WHERE name = '_smithers_events' AND pagetype = 'leaf'").fetchall()
    connection.close()
    page = pages[len(pages) // 2][0]
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    source = open_source(path)
    rows = source.rows(EventRow)
    assert 0 < len(rows) < len(whole)
    assert {min(whole, key=lambda row: row.at), max(whole, key=lambda row: row.at)} <= set(rows)
    assert rows == [row for row in whole if row in set(rows)]
    for run_id in source.run_ids():
        assert set(source.rows(EventRow, run_id)) >= {row for row in rows if row.run_id == run_id}
    assert [p.where for p in source.problems] == ["_smithers_events"]
    assert len(source.frame(EventRow)) == len(rows)


def test_table_of_a_new_workflow(store, change):
    """Outputs of a workflow that first ran after the store was opened are there at the next look."""
    path = store("invoice-rollup")
    source = open_source(path)
    before = len(source.rows(OutputRow))
    change(path, "CREATE TABLE fresh (run_id TEXT, node_id TEXT, iteration INTEGER, ok INTEGER)")
    change(path, "INSERT INTO fresh VALUES ('r', 'n', 0, 1)")
    assert len(source.rows(OutputRow)) == before + 1


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_everywhere(store, check_grains, value):
    """Whatever text stands in the text columns of every table comes out as it is, in rows and in frames."""
    path = store("legal-signoff")
    fill_text_columns(path, value)
    source = open_source(path)
    check_grains(source)
    assert source.rows(NodeRow)[0].label == value
    assert source.rows(QuestionRow)[0].prompt == value
    assert source.frame(NodeRow)["label"][0] == value
    assert source.problems == [p for p in source.problems if p.where.startswith("_smithers_frames")]


@pytest.mark.parametrize("value", [*GARBAGE, b"\xff\xfe\x00bytes", 7, 2.5, None], ids=range(len(GARBAGE) + 4))
def test_garbage_in_every_column(store, check_grains, value):
    """Values of any type in any column that allows them give typed rows and frames, never an exception."""
    path = store("ticket-summarizer")
    fill_columns(path, value, lambda name, _: name not in {"run_id", "node_id"})
    source = open_source(path)
    check_grains(source)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e300, 2**63 - 1, -(2**63)], ids=repr)
def test_one_infinite_time(store, change, check_grains, value):
    """One time that no calendar has is one time less, and neither rows nor lengths of time break at it."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_runs SET finished_at_ms = ?", (value,))
    change(path, "UPDATE _smithers_attempts SET finished_at_ms = ? WHERE attempt = 1", (value,))
    source = open_source(path)
    check_grains(source)
    for row in (*source.rows(RunRow), *source.rows(AttemptRow)):
        duration(row.duration_s)
    main(["--debug", "ps", "--all", "--source", str(path)])
    main(["--debug", "inspect", source.run_ids()[0], "--source", str(path)])


@pytest.mark.parametrize("rows", [True, False], ids=["rows", "no row"])
def test_a_view_without_an_end_is_given_up(store, change, rows, monkeypatch):
    """A query that never ends is given up, said so, and not asked three times more; tables beside it are read."""
    monkeypatch.setenv("SMITHERS_NB_QUERY_SECONDS", "0.3")
    path = store("order-intake")
    change(path, "DROP TABLE _smithers_events")
    tail = "" if rows else " WHERE x < 0"
    change(
        path,
        "CREATE VIEW _smithers_events AS WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) "
        f"SELECT 'r' AS run_id, x AS seq, 1 AS timestamp_ms, 'RunStarted' AS type, '{{}}' AS payload_json FROM a{tail}",
    )
    source = open_source(path)
    begun = time.monotonic()
    source.rows(EventRow)
    source.frame(EventRow)
    assert time.monotonic() - begun < 10
    assert {(p.where, p.what.partition(";")[0]) for p in source.problems} == {("_smithers_events", "a query was given up after 0.3 s")}
    assert source.rows(NodeRow)


def test_invalid_utf8_in_frames(store, change):
    """Bytes that are no UTF-8 are replaced in a bulk frame as in rows."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_attempts SET response_text = CAST(x'6f6bff' AS TEXT) WHERE attempt = 2")
    source = open_source(path)
    assert source.rows(AttemptRow, only={"attempt": [2]})[0].response == "ok\ufffd"
    frame = source.frame(AttemptRow)
    assert frame.loc[frame["attempt"] == 2, "response"].tolist() == ["ok\ufffd"]


def tables(path: Path) -> dict[str, list[tuple[str, str, int]]]:
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
    found = {name: [(c[1], c[2], c[5]) for c in connection.execute(f'PRAGMA table_info("{name}")')] for name in names}
    connection.close()
    return found


def fill_columns(path: Path, value: object, wanted) -> None:
    connection = sqlite3.connect(path)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{trigger}"')
    for table, columns in tables(path).items():
        for name, kind, _ in [] if "snapshot" in table else columns:
            if wanted(name, kind):
                connection.execute(f'UPDATE OR IGNORE "{table}" SET "{name}" = ?', (value,))
    connection.commit()
    connection.close()


def fill_text_columns(path: Path, value: str) -> None:
    fill_columns(path, value, lambda _, kind: kind == "TEXT")


@pytest.mark.parametrize("name", ["_smithers_runs", "_smithers_nodes", "_smithers_attempts", "_smithers_events", "_smithers_frames"])
def test_missing_table(store, change, check_grains, name):
    """A store without one of the tables gives no rows of that table and all the others."""
    path = store("legal-signoff")
    change(path, f"DROP TABLE {name}")
    source = open_source(path)
    check_grains(source)
    assert source.problems == []
    assert source.run_ids() == ([] if name == "_smithers_runs" else source.run_ids())


def test_only_keys_left(store, check_grains):
    """A store of an old version, in which every table has little more than its key, still gives typed rows."""
    path = store("ad-copy")
    keys = {"run_id", "node_id", "iteration", "attempt", "seq", "frame_no", "status", "state", "type"}
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    for kind, name in connection.execute(
        "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL"
    ).fetchall():
        connection.execute(f'DROP {kind} "{name}"')
    for table in tables(path):
        if "snapshot" in table:
            connection.execute(f'DROP TABLE "{table}"')
    for table, columns in tables(path).items():
        for name, _, key in [] if "snapshot" in table else columns:
            if not key and name not in keys and table.startswith("_smithers_"):
                connection.execute(f'ALTER TABLE "{table}" DROP COLUMN "{name}"')
    connection.execute("COMMIT")
    connection.close()
    source = open_source(path)
    check_grains(source)
    assert len(source.rows(RunRow)) == 3
    assert len(source.rows(NodeRow)) == 9
    assert source.rows(TaskRow) == []


def test_unknown_words_are_kept(store, change):
    """Event types, node states and attempt states that nobody knows are shown as they are, underscores read as hyphens."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_events SET type = 'QuantumFlux' WHERE seq = 3")
    change(path, "UPDATE _smithers_nodes SET state = 'half_done' WHERE node_id = 'fetch'")
    source = open_source(path)
    assert [(e.type, e.category) for e in source.rows(EventRow, only={"seq": [3]})] == [("QuantumFlux", "other")]
    assert source.frame(EventRow)["category"][3] == "other"
    assert source.rows(NodeRow)[0].state == "half-done"


def test_loop_suffix(store, change):
    """A node inside nested loops is known by its task's own id too."""
    path = store("invoice-rollup")
    change(path, "UPDATE _smithers_nodes SET node_id = 'review@@round=2' WHERE node_id = 'fetch'")
    assert {n.node_id: n.logical_id for n in open_source(path).rows(NodeRow)} == {"review@@round=2": "review", "rollup": "rollup"}


def test_whole_corpus(corpus_store, corpus, check_grains):
    """Every store of the corpus is read in every table, without a file beside it and with nothing but known damage."""
    for case in sorted(path.name for path in (corpus / "smithers").iterdir() if path.is_dir()):
        path = corpus_store(case)
        before = (sorted(path.parent.iterdir()), path.stat().st_mtime_ns, path.stat().st_size)
        source = open_source(path)
        check_grains(source, AttemptRow)
        source.close()
        assert {p.what for p in source.problems} <= {"database disk image is malformed"}
        assert (sorted(path.parent.iterdir()), path.stat().st_mtime_ns, path.stat().st_size) == before
        path.unlink()
