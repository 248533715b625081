"""A person before a gate in a real JupyterLab: "Run all" waits there, the keyboard is enough, and of two people one decides."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from smithers_nb.resources import EXAMPLE_RUN, example_store, resource
from tests.support.durable import until

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed at /usr/bin/chromium"),
    pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="JupyterLab is not installed (the extra `lab`)"),
]

DEPLOY = (
    "from smithers_nb import stage, gate, ask\nimport os; os.environ['JUPYTERHUB_USER'] = 'ann'",
    "stage('build', lambda: open('built', 'a').write('x'))",
    "decision = gate('deploy', 'Deploy to production?', 'All checks are green.', {'version': '1.2.3'})",
    "open('deployed', 'w').write(f'{decision.approved} {decision.note}')",
    "number = ask('copies', 'How many copies?', int)",
    "open('copies', 'w').write(str(number))",
)
WATCH = "import os; os.environ['JUPYTERHUB_USER'] = 'ben'\nimport smithers_nb\nsmithers_nb.connect('.').live()"
RED = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
"""What JupyterLab shows in red."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with two notebooks of its own, ours of the autopsy, and a store with failed runs."""
    root = tmp_path_factory.mktemp("lab")
    (root / ".smithers_nb").mkdir()
    for name, cells in (("deploy", DEPLOY), ("watch", (WATCH,))):
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        node = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
        node.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(node, root / f"{name}.ipynb")
    shutil.copy(resource("notebooks/autopsy.ipynb"), root)
    shutil.copy(example_store(), root)
    return root


@pytest.fixture(scope="module")
def lab(folder):
    """A JupyterLab on loopback that serves the project."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    private = {name: str(folder / ".jupyter" / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=t", f"--ServerApp.root_dir={folder}"]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *options,
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **private}, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        assert until(lambda: process.poll() is not None or _answers(f"{url}/api?token=t"), seconds=180), "JupyterLab does not answer"
        assert process.poll() is None, (folder / "lab.log").read_text()[-2000:]
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url):
    with suppress(OSError):
        urllib.request.urlopen(url, timeout=2).close()
        return True
    return False


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def opened(browser, lab, name):
    """Open a notebook in a browser of its own, as another person would."""
    page = browser.new_context(viewport={"width": 1200, "height": 1100}).new_page()
    page.goto(f"{lab}/lab/workspaces/{name}/tree/{name}.ipynb?token=t")
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    return page


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def decisions(folder):
    with sqlite3.connect(folder / ".smithers_nb" / "journal.db") as database:
        return database.execute("SELECT status, decided_by, note FROM _smithers_approvals").fetchall()


def saved_pages(folder):
    """Read the HTML that the saved notebook keeps of what it showed; nothing while JupyterLab is writing the file."""
    try:
        cells = json.loads((folder / "deploy.ipynb").read_text())["cells"]
    except json.JSONDecodeError:
        return []
    return ["".join(output.get("data", {}).get("text/html", "")) for cell in cells for output in cell.get("outputs", [])]


@pytest.mark.slow
def test_gate_and_question_by_keyboard_and_by_two_people(browser, lab, folder, tmp_path):
    """Nothing passes until somebody decides; both people see the one decision; the answer is checked before it counts."""
    ann = opened(browser, lab, "deploy")
    run_all(ann)
    ann.get_by_role("button", name="Approve").wait_for(timeout=60_000)
    assert not (folder / "deployed").exists()
    assert decisions(folder) == [("requested", None, None)]
    assert ann.get_by_text(re.compile(r"You decide as ann@")).is_visible()

    ben = opened(browser, lab, "watch")
    run_all(ben)
    ben.get_by_role("button", name="Approve").wait_for(timeout=60_000)
    ben.get_by_text(re.compile(r"You decide as ben@")).wait_for()
    ann.screenshot(path=tmp_path / "gate.png")
    ben.screenshot(path=tmp_path / "watch.png")

    ann.get_by_label("Note").focus()
    ann.keyboard.type("fine <b>by</b> me")
    ann.keyboard.press("Tab")
    assert ann.evaluate("document.activeElement.textContent").strip() == "Approve"
    ann.keyboard.press("Enter")
    until(lambda: decisions(folder)[0][0] != "requested")
    with suppress(Exception):  # he is told, or sees it by himself before he has clicked
        ben.get_by_role("button", name="Deny").click(timeout=3_000)
    ann.get_by_text(re.compile(r"Approved by ann@")).first.wait_for()
    ben.get_by_role("button", name="Deny").wait_for(state="hidden")
    ann.screenshot(path=tmp_path / "decided.png")
    assert [(status, by.partition("@")[0], note) for status, by, note in decisions(folder)] == [("approved", "ann", "fine <b>by</b> me")]

    field = ann.get_by_label("Answer")
    field.wait_for(timeout=60_000)
    assert (folder / "deployed").read_text() == "True fine <b>by</b> me"
    assert (folder / "built").read_text() == "x"
    field.fill("three")
    ann.get_by_role("button", name="Answer").click()
    ann.get_by_text("'three' is no whole number").wait_for()
    assert not (folder / "copies").exists()
    field.fill("3")
    ann.get_by_role("button", name="Answer").click()
    ann.get_by_text(re.compile(r"Answered by ann@")).wait_for()
    until((folder / "copies").exists)
    assert (folder / "copies").read_text() == "3"
    assert ann.locator(RED).count() == 0
    ann.screenshot(path=tmp_path / "done.png", full_page=True)
    ann.keyboard.press("Control+s")
    until(lambda: any("Approved by ann" in page for page in saved_pages(folder)))


@pytest.mark.slow
def test_a_blank_autopsy_lets_a_person_choose_the_run(browser, lab, tmp_path):
    """Opened without parameters, the notebook offers the failed runs, and goes on by itself with the one that is chosen."""
    page = opened(browser, lab, "autopsy")
    run_all(page)
    page.locator("label", has_text=EXAMPLE_RUN).click(timeout=60_000)
    page.get_by_role("button", name="Look into it").click()
    page.get_by_role("group", name="Verdict").wait_for(timeout=60_000)
    assert page.locator(RED).count() == 0
    page.screenshot(path=tmp_path / "chosen.png")
