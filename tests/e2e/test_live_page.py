"""The live page of a run that really runs, in a real browser: it follows the run, gates are decided on it, and two tabs agree."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.engine.location import Location
from tests.support.durable import Project
from tests.support.history import Runs, cell, write_notebook

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).with_name("axe.min.js")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed at /usr/bin/chromium"),
]
CELLS = (
    "import time\nfrom pathlib import Path\nfrom smithers_nb import stage, gate, ask",
    "def wait():\n    while not Path('go').exists():\n        time.sleep(0.05)\n    return 1\nstage('load', wait)",
    "gate('first', 'Load the orders?', 'All 212 are checked.', {'orders': 212})",
    "gate('second', 'Publish the numbers?')",
    "ask('copies', 'How many copies?', int)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


def tab(context: Any, address: str, complaints: list[str]) -> Any:
    """Open a page and keep what its console complains about."""
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    return page


def serious(page: Any) -> dict[str, list[str]]:
    """Ask axe-core, which comes with the tests, what is serious or critical."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return {item["id"]: [node["html"][:200] for node in item["nodes"]] for item in found if item["impact"] in {"serious", "critical"}}


@pytest.mark.slow
def test_a_run_is_followed_and_decided_from_two_tabs(browser: Any, tmp_path: Path) -> None:
    """Running, waiting, finished: a gate approved by keyboard, one by click, a question answered, and the other tab sees all of it."""
    notebook = Project(Location.of(tmp_path)).notebook(*CELLS)
    command = [sys.executable, "-m", "smithers_nb", "up", str(notebook), "--run-id", "r1", "--serve"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(60_000)
    try:
        address = process.stderr.readline().rpartition(" ")[2].strip()
        one = tab(context, address, complaints)
        two = tab(context, f"{address.partition('/run/')[0]}/run/r1", complaints)  # the cookie is enough
        assert "token" not in one.url
        one.locator("#f-status", has_text="running").wait_for()
        assert serious(one) == {}
        one.screenshot(path=tmp_path / "running.png")

        (tmp_path / "go").touch()
        for page in (one, two):
            page.get_by_text("Load the orders?").first.wait_for()
            page.locator("#f-status", has_text="waiting").wait_for()
        assert serious(one) == {}
        one.get_by_label("Note").focus()
        one.keyboard.type("fine by me")
        one.keyboard.press("Enter")  # a new line, never an approval
        one.keyboard.press("Tab")
        assert "Approve" in one.evaluate("document.activeElement.textContent")
        one.keyboard.press("Enter")

        two.get_by_text("Publish the numbers?").first.wait_for()
        assert two.locator(".snb-form").count() == 1
        two.get_by_role("button", name="Approve").click()
        one.get_by_text("How many copies?").first.wait_for()
        one.get_by_label("Answer").fill("three")
        one.get_by_role("button", name="Answer").click()
        one.get_by_text("'three' is no whole number").wait_for()
        one.get_by_label("Answer").fill("3")
        one.get_by_role("button", name="Answer").click()
        for page in (one, two):
            page.locator("#f-status", has_text=re.compile("finished|succeeded")).wait_for()
            assert page.get_by_role("button", name=re.compile("Approve|Deny|Answer")).count() == 0
        assert serious(one) == {}
        assert process.wait(60) == 0
        one.get_by_text("this is the last state").wait_for()
        assert complaints == []
    finally:
        process.kill()
        process.communicate()
        context.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A project whose runs finished, failed, and wait for a person."""
    folder = tmp_path_factory.mktemp("shop")
    runs = Runs(Location.of(folder), write_notebook(folder / "nightly.ipynb", cell("1", name="work")))
    for name in ("orders-1", "orders-2", "orders-3", "orders-4"):
        runs.new(name)
        runs.did(name, "load", "check")
    runs.status("orders-1", "finished")
    runs.failed("orders-2", "store")
    runs.gate("orders-3", "publish")
    runs.question("orders-4", "region", options=["eu", "us"])
    yield runs.location
    runs.journal.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_and_touched(browser: Any, project: Location, scheme: str, width: int, tmp_path: Path) -> None:
    """At both widths, light and dark, nothing serious for accessibility, nothing scrolls sideways, and what is touched is large enough."""
    from smithers_nb.workflows.live.served_runs import ServedRuns
    from smithers_nb.workflows.live.server import serving

    complaints: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, has_touch=width < 500)
    with serving(ServedRuns.of(project), lambda _: None) as address:
        page = tab(context, address, complaints)
        page.get_by_text("Needs you (3)").wait_for()
        page.locator("#connection[data-state=live]").wait_for()
        for name, path in (("fleet", "/"), ("gate", "/run/orders-3"), ("question", "/run/orders-4"), ("failed", "/run/orders-2")):
            page.goto(f"{address.partition('/?')[0]}{path}")
            page.locator("#connection[data-state=live]").wait_for()
            page.locator("#f-inbox section, #f-why section").first.wait_for()
            page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
            assert serious(page) == {}
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            drawn = page.locator(".snb-drawing svg")
            assert all(box.bounding_box()["width"] >= 600 for box in drawn.all())
            small = "[...document.querySelectorAll('button, textarea, .snb-choice')].filter((e) => e.offsetHeight < 44).length"
            assert page.evaluate(small) == 0
        context.close()
    assert complaints == []


def test_runs_are_found_by_words_and_state(browser: Any, project: Location) -> None:
    """The filters of the page of all runs leave what has all words and the state, and say how many that are."""
    from smithers_nb.workflows.live.served_runs import ServedRuns
    from smithers_nb.workflows.live.server import serving

    with serving(ServedRuns.of(project), lambda _: None) as address:
        page = browser.new_context().new_page()
        page.goto(address)
        rows = page.locator("tr[data-state]:not([hidden])")
        assert rows.count() == 4
        page.get_by_label("Find").fill("orders-2 nightly")
        page.get_by_text("1 shown").wait_for()
        page.get_by_label("Find").fill("")
        page.get_by_label("State").select_option("waiting-approval")
        page.get_by_text("1 shown").wait_for()
        assert "orders-3" in rows.first.inner_text()
        page.context.close()
