"""The tables are declared once, made by migrations, and are Smithers' own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from smithers_nb.engine.journal import migrations, schema
from smithers_nb.engine.journal.schema import metadata
from smithers_nb.engine.journal.store import HEAD

OURS = "_smithers_nb_"


def test_migrations_make_the_declared_tables(journal):
    """Tables, columns, types, defaults, keys and indexes in the database are those that the code declares."""
    options = {"compare_type": True, "compare_server_default": True, "include_schemas": False}
    with journal.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_migrations_make_the_declared_checks(journal):
    """Every CHECK that the code declares is in the database, under its name, and no other."""
    declared = {c.name for table in metadata.tables.values() for c in table.constraints if isinstance(c, sa.CheckConstraint)}
    with journal.reading() as connection:
        found = sa.inspect(connection)
        assert {check["name"] for name in metadata.tables for check in found.get_check_constraints(name)} == declared
    assert len(declared) == 3


def test_declared_checks_say_what_the_migrated_ones_say(in_file, tmp_path):
    """A database made from the declarations refuses the same rows as one made by the migrations."""
    plain = sa.create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    metadata.create_all(plain)
    run = {"workflow_name": "w", "created_at_ms": 1}
    errors = [None, "{}", '{"code":"X"}', '{"message":"m"}', '{"code":"","message":"m"}', '{"code":null,"message":"m"}']
    for engine in (plain, in_file.engine):
        for error in errors:
            with engine.connect() as connection, connection.begin(), pytest.raises(sa.exc.IntegrityError, match="failed_run_has_a_reason"):
                connection.execute(schema.runs.insert().values(run_id="r", status="failed", error_json=error, **run))
    plain.dispose()


def test_newest_revision_is_the_one_that_is_asked_for():
    """The version that spares an up-to-date journal Alembic's import is the newest migration."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_tables_are_those_of_smithers(store):
    """Every table but our own, and every column of it, is one that Smithers itself writes, so whatever reads its store reads a journal."""
    connection = sqlite3.connect(store("invoice-rollup"))
    theirs = {
        name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    connection.close()
    shared = [table for name, table in metadata.tables.items() if not name.startswith(OURS)]
    assert len(shared) == 9
    assert {table.name: {column.name for column in table.columns} - theirs[table.name] for table in shared if table.name in theirs} == {
        table.name: set() for table in shared
    }
