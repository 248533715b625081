"""A Smithers store in Postgres reads exactly like the same store in SQLite, and is only ever read."""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd
import psycopg
import pytest

from smithers_nb.errors import SourceMoved, SourceNotFound, SourceUnreadable, SourceVanished
from smithers_nb.model.rows import TABLES, ApprovalRow, AttemptRow, EventRow, FailureRow, OutputRow, RunRow, TaskRow
from smithers_nb.model.vocabulary import NOISE_EVENTS
from smithers_nb.sources.base import AllBut
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.stores.postgres import PostgresDatabase
from smithers_nb.workflows.autopsy.stages import run_autopsy

READ = tuple(row for row in TABLES.values() if row is not FailureRow)
NOW = 1_800_000_000_000
PASSWORD = "hun:ter2"


@pytest.fixture
def opened(postgres):
    """Open a URL, by default that of the test's database, and close it afterwards."""
    sources = []

    def run(url: str = postgres):
        sources.append(open_source(url))
        return sources[-1]

    yield run
    for source in sources:
        source.close()


def rows_of(source, row, *args, **options):
    """Rows of a table without the store's own name, which is all that may differ."""
    found = source.rows(row, *args, **options)
    return [one._replace(source="") for one in found] if row is RunRow else found


def frame_of(source, row):
    """The frame of a table without the store's own name."""
    frame = source.frame(row)
    return frame.assign(source=pd.Series([""] * len(frame), dtype="str")) if row is RunRow else frame


def same(sqlite, postgres) -> None:
    """Hold every table of two stores against each other: all of it, run by run, and as frames."""
    assert postgres.run_ids("", 1000) == sqlite.run_ids("", 1000)
    assert postgres.version == sqlite.version
    for row in READ:
        assert rows_of(postgres, row) == rows_of(sqlite, row), row
        pd.testing.assert_frame_equal(frame_of(postgres, row), frame_of(sqlite, row))
        for run_id in sqlite.run_ids("", 1000)[:3]:
            assert rows_of(postgres, row, run_id) == rows_of(sqlite, row, run_id), (row, run_id)
    assert postgres.problems == sqlite.problems


@pytest.mark.parametrize("name", ["fleet", "two-gates", "agent-login", "retry-task", "grandchild", "unsafe-repeat", "legal-signoff"])
def test_every_grain_reads_the_same(store, copied, opened, name):
    """Rows and frames of every table are equal to those of the SQLite store, for the whole store and for one run."""
    path = store(name)
    copied(path)
    same(opened(str(path)), opened())


@pytest.mark.parametrize("case", ["d07", "d31"])
def test_corpus_stores_read_the_same(corpus_store, copied, opened, case):
    """The same holds for recorded cases beyond those of tests/data."""
    path = corpus_store(case)
    copied(path)
    same(opened(str(path)), opened())


def test_filters_mean_the_same(store, copied, opened):
    """Whatever is asked for by `only` and `since_ms` gives the same rows, also when nothing can be left to the database."""
    path = store("fleet")
    copied(path)
    sqlite, postgres = opened(str(path)), opened()
    run_id = sqlite.run_ids()[0]
    middle = sorted(event.at for event in sqlite.rows(EventRow))[200]
    asked = [
        (EventRow, {"only": {"type": AllBut(NOISE_EVENTS)}}),
        (EventRow, {"only": {"type": ["NodeFailed"], "category": ["node"]}}),
        (EventRow, {"only": {"type": AllBut(())}, "since_ms": middle}),
        (EventRow, {"only": {"type": ["with \x00 NUL", "half \udc80 character", "%s"]}}),
        (EventRow, {"since_ms": 2**70}),
        (EventRow, {"only": {"seq": [0, 1, 2**70]}}),
        (AttemptRow, {"only": {"state": ["failed", "in-progress"], "attempt": [1]}}),
        (RunRow, {"only": {"status": ["failed"], "parent_run_id": [run_id, "nobody"]}}),
        (RunRow, {"only": {"run_id": [f"r{n}" for n in range(2000)] + [run_id]}}),
        (ApprovalRow, {"only": {"status": ["requested"]}, "since_ms": 0}),
    ]
    for row, options in asked:
        assert rows_of(postgres, row, **options) == rows_of(sqlite, row, **options), (row, options)


def test_the_verdict_is_the_same(store, copied, postgres):
    """An autopsy of a run in Postgres comes to the same verdict as one of its SQLite twin."""
    for schema, name in (("public", "fleet"), ("other", "agent-login")):
        path = store(name)
        copied(path, schema)
        source = open_source(str(path))
        failed = next(run.run_id for run in source.rows(RunRow, only={"status": ["failed"]}))
        source.close()
        twin, own = (run_autopsy(where, failed, now=NOW) for where in (f"{postgres}?schema={schema}", path))
        assert twin.root_cause
        # only a file can lie somewhere else than the project it is about, which is then said
        detail = own.suggestion_detail.partition(" (the store in")[0]
        assert twin.suggestion_detail.rstrip(".") == detail.rstrip(".")
        assert replace(twin, suggestion_detail=own.suggestion_detail) == own


def test_a_read_sees_what_is_there_now(store, copied, opened, postgres):
    """Rows, a new table of outputs and a deleted run show up in a source that was opened before."""
    copied(store("two-gates"))
    source = opened()
    (run_id,) = source.run_ids()
    events = len(source.rows(EventRow, run_id))
    outputs = len(source.rows(OutputRow, run_id))
    with psycopg.connect(postgres) as writer:
        writer.execute(
            "INSERT INTO _smithers_events (run_id, seq, timestamp_ms, type, payload_json) VALUES (%s, 99999, 1, 'Later', '{}')", (run_id,)
        )
        writer.execute(
            "CREATE TABLE brand_new (run_id TEXT, node_id TEXT, iteration BIGINT, told BOOLEAN, at NUMERIC, raw BYTEA, doc JSONB)"
        )
        writer.execute("INSERT INTO brand_new VALUES (%s, 'n', 0, true, 1.5, 'ab'::bytea, '{\"a\": [1]}')", (run_id,))
    assert source.rows(EventRow, run_id)[-1].type == "Later"
    assert len(source.rows(EventRow, run_id)) == events + 1
    found = source.rows(OutputRow, run_id)
    assert len(found) == outputs + 1
    assert next(row.row for row in found if row.table == "brand_new") == '{"told":1,"at":1.5,"raw":"ab","doc":"{\\"a\\": [1]}"}'
    with psycopg.connect(postgres) as writer:
        writer.execute("DELETE FROM _smithers_runs")
    assert source.run_ids() == []


def test_one_run_is_read_without_the_others(store, copied, opened, monkeypatch):
    """A table of one run transfers that run's rows only, and no log noise when it is not asked for."""
    copied(store("fleet"))
    source = opened()
    moved = []
    read = PostgresDatabase.rows

    def counting(self, connection, part):
        for cells in read(self, connection, part):
            moved.append(part.table.name)
            yield cells

    monkeypatch.setattr(PostgresDatabase, "rows", counting)
    run_id = source.run_ids()[0]
    moved.clear()
    events = source.rows(EventRow, run_id, only={"type": AllBut(NOISE_EVENTS)})
    assert len(moved) == len(events) > 0
    moved.clear()
    tasks = source.rows(TaskRow, run_id)
    assert tasks
    assert 0 < len(moved) < 50


def test_nothing_can_be_written(store, copied, opened):
    """The transaction that reads refuses to change anything."""
    copied(store("two-gates"))
    source = opened()
    with pytest.raises(SourceUnreadable, match="read-only"), source.database.reading() as connection:
        connection.execute("DELETE FROM _smithers_runs")
    assert source.run_ids()


def test_a_table_without_permission_is_a_problem(store, copied, opened, postgres):
    """What may not be read is named, and everything else is read."""
    copied(store("agent-login"))
    with psycopg.connect(postgres) as owner:
        owner.execute("DROP ROLE IF EXISTS snb_reader")
        owner.execute("CREATE ROLE snb_reader LOGIN")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO snb_reader")
        owner.execute("REVOKE SELECT ON _smithers_events FROM snb_reader")
    source = opened(postgres.replace("postgres@", "snb_reader@"))
    assert len(source.rows(AttemptRow)) > 0
    assert source.rows(EventRow) == []
    assert [tuple(problem) for problem in source.problems] == [("_smithers_events", "permission denied")]
    with psycopg.connect(postgres) as owner:
        owner.execute("REVOKE SELECT ON _smithers_attempts FROM snb_reader")
    assert source.rows(AttemptRow) == []
    assert source.problems[-1].where == "_smithers_attempts"
    assert len(source.rows(RunRow)) == 1
    with psycopg.connect(postgres) as owner:
        owner.execute("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM snb_reader")
    with pytest.raises(SourceUnreadable, match="may not be read"):
        open_source(postgres.replace("postgres@", "snb_reader@"))


def test_an_older_store_gives_fewer_values(store, copied, opened, postgres):
    """Missing tables give no rows, missing columns give nothing in them, and neither is an error."""
    copied(store("two-gates"))
    with psycopg.connect(postgres) as owner:
        owner.execute("DROP TABLE _smithers_approvals, _smithers_frames, _smithers_output_schema_columns, _smithers_schema_migrations")
        owner.execute("ALTER TABLE _smithers_runs DROP COLUMN vcs_root, DROP COLUMN error_json")
        owner.execute("ALTER TABLE _smithers_runs ALTER created_at_ms TYPE NUMERIC, ALTER config_json TYPE JSONB USING config_json::jsonb")
    source = opened()
    (run,) = source.rows(RunRow)
    assert run.repository is None
    assert type(run.created_at) is int
    assert run.root
    assert source.rows(ApprovalRow) == source.rows(TaskRow) == []
    assert len(source.rows(OutputRow)) > 0
    assert source.version == ""
    assert source.problems == []


def test_the_schema_is_found_or_named(store, copied, opened, postgres):
    """The search path comes first, then our journal's schema; a URL may name another, and a second place with runs is told."""
    copied(store("two-gates"), "smithers_nb")
    assert opened().location.endswith("?schema=smithers_nb")
    copied(store("retry-task"))
    both = opened()
    assert "?" not in both.location
    assert [problem.where for problem in both.problems] == ["schema"]
    assert "schema=smithers_nb" in both.problems[0].what
    assert opened(f"{postgres}?schema=smithers_nb").run_ids() == ["two-gates-1"]
    assert opened(f"{postgres}?options=-csearch_path%3Dsmithers_nb").run_ids() == ["two-gates-1"]
    with pytest.raises(SourceUnreadable, match="no runs in schema elsewhere"):
        open_source(f"{postgres}?schema=elsewhere")


def test_a_database_without_runs_is_named(postgres, store, copied):
    """A database that holds none says so, and where runs are that the URL does not lead to."""
    with pytest.raises(SourceUnreadable, match="holds no runs"):
        open_source(postgres)
    copied(store("two-gates"), "hidden")
    with pytest.raises(SourceUnreadable) as caught:
        open_source(postgres)
    assert "?schema=hidden" in caught.value.hint


def test_no_text_shows_the_password(postgres_server):
    """Whatever is wrong with a URL, neither the message nor its cause nor the hint has the password in it."""
    port = postgres_server.rpartition(":")[2].partition("/")[0]
    quoted = "hun%3Ater2"
    urls = {
        f"postgresql://u:{quoted}@127.0.0.1:1/db": SourceUnreadable,
        f"postgresql://postgres:{quoted}@127.0.0.1:{port}/nowhere": SourceNotFound,
        f"postgresql://nobody:{quoted}@127.0.0.1:{port}/postgres": SourceUnreadable,
        f"postgresql://u:{quoted}@127.0.0.1:port/db": SourceUnreadable,
        f"postgresql://u:pa/{quoted}@127.0.0.1/db": SourceUnreadable,
        f"postgresql://127.0.0.1:1/db?password={quoted}&nonsense={quoted}": SourceUnreadable,
        f"postgresql://[u:{quoted}@127.0.0.1/db": SourceUnreadable,
    }
    for url, kind in urls.items():
        with pytest.raises(kind) as caught:
            open_source(url)
        told = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
        assert PASSWORD not in told, told
        assert quoted not in told, told
        assert caught.value.hint


def test_a_missing_driver_is_one_line(monkeypatch):
    """Without psycopg the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SourceUnreadable) as caught:
        open_source("postgresql://127.0.0.1/x")
    assert "smithers-nb[postgres]" in caught.value.hint


def test_a_shared_database_shows_its_journal(store, copied, opened, tmp_path, monkeypatch):
    """A folder whose runs are in a shared database sees those of the journal's schema, not what else the database holds."""
    copied(store("retry-task"))
    monkeypatch.setenv("SMITHERS_NB_DATABASE", copied(store("two-gates"), "smithers_nb"))
    assert opened(str(tmp_path)).run_ids() == ["two-gates-1"]


def test_a_cut_connection_is_made_anew(store, copied, opened, postgres):
    """A source outlives a connection that the server cut; when the database itself goes, the source has vanished."""
    copied(store("two-gates"))
    source = opened()
    server = postgres.rpartition("/")[0] + "/postgres"
    name = postgres.rpartition("/")[2]
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(cut, (name,))
        assert source.rows(RunRow)
        admin.execute(cut, (name,))
        admin.execute(f"ALTER DATABASE {name} RENAME TO gone_{name}")
        with pytest.raises(SourceVanished):
            source.rows(RunRow)
        admin.execute(f"ALTER DATABASE gone_{name} RENAME TO {name}")


def test_a_migrated_project_is_followed(store, copied, opened, postgres, monkeypatch):
    """A project whose marker says postgres is read there when it can be found, with a word about it, and refused when not."""
    path = store("two-gates")
    copied(path)
    marker = path.parent / ".smithers" / "backend.json"
    marker.parent.mkdir()
    marker.write_text('{"backend": "postgres", "target": {"backend": "postgres", "url": "set"}}', encoding="utf-8")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("SMITHERS_POSTGRES_URL", raising=False)
    with pytest.raises(SourceMoved, match="SMITHERS_POSTGRES_URL") as caught:
        open_source(path.parent)
    assert caught.value.backend == "postgres"
    monkeypatch.setenv("DATABASE_URL", postgres)
    source = opened(str(path.parent))
    assert source.run_ids() == ["two-gates-1"]
    assert [problem.where for problem in source.problems] == ["backend"]
    monkeypatch.delenv("DATABASE_URL")
    marker.write_text(f'{{"backend": "postgres", "target": {{"connectionString": "{postgres}"}}}}', encoding="utf-8")
    assert opened(str(path.parent)).run_ids() == ["two-gates-1"]
    marker.write_text('{"backend": "pglite"}', encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", postgres)
    with pytest.raises(SourceMoved):
        open_source(path.parent)
