"""Big stores for benchmarks: the rows of a real store of tests/data, many times over; folders of executed notebooks.

Every copy of a run has its own id, time and, in part, its own error text, so that a store of two thousand runs has hundreds of kinds
of failure. Its event log is stretched by repeating what happened between its start and its end.
"""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.notebooks import by_papermill, code, error, notebook, printed, run_block, words, write

DATA = Path(__file__).parents[1] / "data"

BASE = "fleet"
KINDS_OF_FAILURE = 200
_APART_MS = 120_000
_LEFT_OUT = ("_smithers_snapshot", "_smithers_schema_migrations", "_smithers_output_schema_columns")


class Store(NamedTuple):
    """A generated store.

    Attributes:
        folder: Project folder; the store is `smithers.db` in it, where the real CLI looks.
        runs: Runs in it.
        events: Events in it.
        failed: Id of a run that failed, the same in every size.
    """

    folder: Path
    runs: int
    events: int
    failed: str

    @property
    def path(self) -> Path:
        return self.folder / "smithers.db"


def big_store(cache: Path, runs: int, events_per_run: int) -> Store:
    """Make a store of about so many runs and events, or take the one made before; no runs asked for means those of the base."""
    made_by = hashlib.blake2b(Path(__file__).read_bytes(), digest_size=4).hexdigest()
    folder = cache / f"store-{runs}x{events_per_run}-{made_by}"
    if not (folder / "smithers.db").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".smithers").mkdir(exist_ok=True)
        unfinished = folder / "unfinished.db"
        unfinished.write_bytes(gzip.decompress((DATA / f"{BASE}.db.gz").read_bytes()))
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
            _multiply(connection, runs, events_per_run)
        unfinished.rename(folder / "smithers.db")
    with closing(sqlite3.connect(f"file:{folder / 'smithers.db'}?mode=ro&immutable=1", uri=True)) as connection:
        made = [connection.execute(f"SELECT count(*) FROM _smithers_{table}").fetchone()[0] for table in ("runs", "events")]
        failed = connection.execute("SELECT run_id FROM _smithers_runs WHERE status = 'failed' ORDER BY run_id").fetchone()[0]
    return Store(folder, made[0], made[1], failed)


def _multiply(connection: sqlite3.Connection, runs: int, events_per_run: int) -> None:
    for pragma in ("foreign_keys=OFF", "journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    own = [row[0] for row in connection.execute("SELECT run_id FROM _smithers_runs ORDER BY run_id")]
    copies = max(-(-runs // len(own)), 1)
    connection.execute("BEGIN")
    connection.execute("CREATE TEMP TABLE copies (k INTEGER)")
    connection.executemany("INSERT INTO copies VALUES (?)", [(k,) for k in range(1, copies)])
    for table, columns in _tables(connection).items():
        if table != "_smithers_events" and not table.startswith(_LEFT_OUT) and copies > 1:
            connection.execute(_copy(table, columns))
    _copy_events(connection, events_per_run)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL").fetchall()


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    found = {name: [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')] for name in names}
    return {name: columns for name, columns in found.items() if "run_id" in columns}


def _copy(table: str, columns: list[str]) -> str:
    """Copy every row once per copy; a surrogate `id` is left to SQLite."""
    kept = [column for column in columns if column != "id"]
    values = ", ".join(_value(column) for column in kept)
    names = ", ".join(f'"{column}"' for column in kept)
    return f'INSERT OR IGNORE INTO "{table}" ({names}) SELECT {values} FROM "{table}" CROSS JOIN copies'


def _value(column: str) -> str:
    if column in {"run_id", "parent_run_id"}:
        return f"\"{column}\" || '-' || printf('%05d', k)"
    if column == "request_id":
        return "\"request_id\" || '-' || k"
    if column.endswith("_ms"):
        return f'"{column}" + k * {_APART_MS}'
    if column == "error_json":
        return _error("error_json")
    return f'"{column}"'


def _error(column: str) -> str:
    """Return each copy one of many error texts, so that classifying them is work."""
    word = f"'field_' || char(97 + k % 26) || char(97 + (k / 26) % {KINDS_OF_FAILURE // 26 + 1})"
    return f"replace(\"{column}\", 'is not an object', 'is not an object in ' || {word})"


def _copy_events(connection: sqlite3.Connection, per_run: int) -> None:
    """Stretch each log to `per_run` events: its first stays first, its last stays last, what lies between is repeated."""
    connection.execute("CREATE TEMP TABLE logs AS SELECT run_id, max(seq) AS last, count(*) AS own FROM _smithers_events GROUP BY run_id")
    connection.execute("CREATE TEMP TABLE base AS SELECT e.*, l.last, l.own FROM _smithers_events e JOIN logs l USING (run_id)")
    connection.execute("DELETE FROM _smithers_events")
    connection.execute("INSERT INTO copies VALUES (0)")
    connection.execute(
        "CREATE TEMP TABLE rounds AS WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < ?) SELECT i FROM r",
        (per_run,),
    )
    new_id = "CASE k WHEN 0 THEN run_id ELSE run_id || '-' || printf('%05d', k) END"
    repeats = f"max(({per_run} + own - 5) / max(own - 2, 1), 1)"
    payload = f"CASE k WHEN 0 THEN payload_json ELSE replace({_error('payload_json')}, run_id, {new_id}) END"
    connection.execute(
        f"INSERT INTO _smithers_events (run_id, seq, timestamp_ms, type, payload_json) "
        f"SELECT {new_id}, CASE WHEN seq = 0 THEN 0 WHEN seq = last THEN last * {repeats} ELSE seq + i * (last - 1) END, "
        f"timestamp_ms + k * {_APART_MS} + i, type, {payload} "
        f"FROM base CROSS JOIN copies CROSS JOIN rounds "
        f"WHERE i < CASE WHEN seq IN (0, last) THEN 1 ELSE {repeats} END ORDER BY run_id, k, 2"
    )


def executed_notebooks(cache: Path, count: int) -> Path:
    """Return a folder of notebooks as papermill leaves them, with twelve cells each; every third failed in its ninth."""
    folder = cache / f"notebooks-{count}"
    if not folder.exists():
        making = cache / f"notebooks-{count}.part"
        write(making, **{f"run-{number:05}": _executed(failed=number % 3 == 0) for number in range(count)})
        making.rename(folder)
    return folder


def _executed(*, failed: bool) -> bytes:
    trace = [f"\x1b[0;31mFrame {number}\x1b[0m\n----> {number} call()" for number in range(20)]
    cells: list[Any] = []
    for number in range(12):
        text = printed("\n".join(f"row {line} of cell {number}: value {line * number}" for line in range(40)))
        broke, late = failed and number == 8, failed and number > 8
        noted = by_papermill("pending" if late else "failed" if broke else "completed", second=number, exception=broke or None)
        outputs = () if late else (text, error("KeyError", "'b'", *trace, "KeyError: 'b'")) if broke else (text,)
        cells += [words(f"## Step {number}"), code(f"table_{number} = load({number})", None if late else number + 1, *outputs, **noted)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook(*cells, kernelspec=kernel, **run_block(failed=failed or None))
