"""What the README shows of durable notebooks is done here as a reader would: pasted into a notebook, operated by the commands beside it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
PROGRAM = (sys.executable, "-m", "smithers_nb")
THEIRS = """
from pydantic import BaseModel

class Orders(BaseModel):
    count: int

def load_orders(day) -> Orders:
    open("loaded", "a").write(f"{day} ")
    return Orders(count=3)

def send(orders, region):
    open("sent", "a").write(f"{orders.count} to {region}")
"""
"""What the snippet leaves to its reader."""


@pytest.fixture
def project(tmp_path):
    """A folder with a space and a letter beyond ASCII in its name, and the README's notebook in it."""
    folder = tmp_path / "nächtliche Läufe"
    folder.mkdir()
    (snippet,) = (block for block in blocks("python") if "stage(" in block)
    cells = [nbformat.v4.new_code_cell(source) for source in ('day = "2026-11-19"', THEIRS, snippet)]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "nightly.ipynb")
    return folder


@pytest.mark.slow
def test_the_durable_notebook(project):
    """It parks at its question and at its gate, the README's commands find and decide them, and each stage is done once."""
    parked = smithers_nb(project, *shown("up nightly.ipynb"), "--run-id", "nightly-1", "--format", "json")
    assert (parked.returncode, json.loads(parked.stdout)["status"]) == (3, "waiting-event")
    (asked,) = json.loads(smithers_nb(project, *shown("human inbox"), "--format", "json").stdout)
    answer = [word.replace("REQUEST", asked["requestId"]) for word in shown("human answer")]
    assert smithers_nb(project, *answer).returncode == 0
    until(project, "waiting-approval")
    decision = [word.replace("RUN", "nightly-1") for word in shown("approve RUN --node publish")]
    assert smithers_nb(project, *decision).returncode == 0
    followed = smithers_nb(project, *(word.replace("RUN", "nightly-1") for word in shown("logs RUN --follow")))
    assert followed.returncode == 0, followed.stderr
    assert ((project / "loaded").read_text(), (project / "sent").read_text()) == ("2026-11-20 ", "3 to eu")


def blocks(language):
    found = re.findall(r"```(\w*)\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    return [block for name, block in found if name == language]


def shown(beginning):
    """Find the command line of the README that begins with these words, and give its words."""
    lines = (line for block in blocks("") for line in block.splitlines())
    (found,) = (line for line in lines if line.startswith(f"smithers-nb {beginning}"))
    return shlex.split(found)[1:]


def smithers_nb(folder, *words):
    environment = {**os.environ, "SMITHERS_POST_FAILURE": "0"}
    return subprocess.run([*PROGRAM, *words], cwd=folder, env=environment, text=True, capture_output=True, timeout=90, check=False)


def until(folder, status):
    deadline = time.monotonic() + 30
    while (found := json.loads(smithers_nb(folder, "inspect", "nightly-1", "--format", "json").stdout)["run"]["status"]) != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
