"""Executed notebooks made of a few lines, in the shapes that papermill, nbclient and people leave behind."""

from __future__ import annotations

import json
from pathlib import Path

TIMES = {
    "iopub.status.busy": "2026-11-28T13:38:27.628044Z",
    "iopub.execute_input": "2026-11-28T13:38:27.628350Z",
    "iopub.status.idle": "2026-11-28T13:38:27.639102Z",
    "shell.execute_reply": "2026-11-28T13:38:27.637748Z",
}


def code(source="x = 1", count=None, *outputs, tags=(), **metadata):
    """A code cell."""
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
        "metadata": {"tags": list(tags), **metadata},
    }


def words(text):
    """A markdown cell."""
    return {"cell_type": "markdown", "source": text, "metadata": {}}


def error(name="ValueError", message="no", *traceback):
    """An error output."""
    lines = traceback or (f"{name}                Traceback (most recent call last)", f"{name}: {message}")
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": list(lines)}


def printed(text, name="stdout"):
    """What a cell printed."""
    return {"output_type": "stream", "name": name, "text": text}


def by_papermill(status="completed", *, second=0, reply=True, **noted):
    """What papermill 2 and nbclient note of a cell; a cell that was not begun has no times."""
    at = f"2026-11-28T13:38:{second:02}+00:00"
    times = {key: value for key, value in TIMES.items() if reply or key.startswith(("iopub.execute", "iopub.status.busy"))}
    if status == "pending" or noted.get("start_time", at) is None:
        return {"papermill": {"status": status, "start_time": None, "end_time": None, "exception": None, **noted}}
    return {"papermill": {"status": status, "start_time": at, "end_time": at, "exception": False, **noted}, "execution": times}


def run_block(*, failed=None, start="2026-11-28T13:38:00+00:00", end="2026-11-28T13:39:00+00:00", **noted):
    """What papermill notes of a run."""
    known = {"version": "2.7.0", "exception": failed, "start_time": start, "end_time": end, "duration": 60.0}
    return {"papermill": {**known, "input_path": "in.ipynb", "output_path": "out.ipynb", "parameters": {}, **noted}}


def notebook(*cells, **metadata):
    """The bytes of a notebook."""
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def failed_run(message="no", *, start="2026-11-28T13:38:00+00:00", **parameters):
    """A run of papermill that failed in its second cell."""
    return notebook(
        code("x = 1", 1, **by_papermill()),
        code("int('no')", 2, error("ValueError", message), **by_papermill("failed", exception=True)),
        code("print(x)", None, **by_papermill("pending")),
        **run_block(failed=True, start=start, parameters=parameters),
    )


def good_run(*, start="2026-11-28T13:38:00+00:00", **parameters):
    """A run of papermill that came to its end."""
    cells = [code("x = 1", 1, **by_papermill()), code("int('1')", 2, **by_papermill()), code("print(x)", 3, **by_papermill())]
    return notebook(*cells, **run_block(start=start, parameters=parameters))


def write(folder: Path, **files: bytes) -> Path:
    """Write notebooks into a folder, each under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.ipynb").write_bytes(content)
    return folder
