"""The report in a real browser: one request, nothing foreign runs, everything can be seen, reached and copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from smithers_nb.present.html.cards import banner, command_sheet
from smithers_nb.present.report.report import write_report
from smithers_nb.workflows.monitor.report import page_of
from tests.support import sample as invented

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).with_name("axe.min.js")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two sample notebooks as files."""
    sample = vars(invented)
    folder = tmp_path_factory.mktemp("reports")
    return {name: write_report(sample[name](), folder / f"{name}.html") for name in ("harmless", "hostile")}


class Visit:
    """One opened page, and what it asked for and complained about."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("name", ["harmless", "hostile"])
def test_one_request_and_no_complaint(browser: Any, reports: dict[str, Path], name: str) -> None:
    """The page asks for itself only, and neither script nor policy complains."""
    with Visit(browser, reports[name]) as visit:
        visit.page.wait_for_selector(".main-svg")
        assert visit.requests == [reports[name].as_uri()]
        assert visit.complaints == []


def test_a_card_that_is_longer_than_a_page_is_printed_from_where_it_begins(browser: Any, tmp_path: Path) -> None:
    """On paper a long list of commands follows its heading at once: it may break between two commands, and no command is torn."""
    long = command_sheet([(f"smithers-nb why run-{number}", "what it failed on") for number in range(80)])
    file = tmp_path / "long.html"
    file.write_text(page_of([("What to do", long)], title="Long", subtitle="", lead=banner("Problems", "80 runs", state="failed")))
    with Visit(browser, file) as visit:
        visit.page.emulate_media(media="print")
        breaks = "element => getComputedStyle(element).breakInside"
        assert visit.page.locator(".snb-card:has(.snb-commands)").evaluate(breaks) == "auto"
        assert visit.page.locator(".snb-commands > li").first.evaluate(breaks) == "avoid"
        assert visit.page.locator(".snb-banner").evaluate(breaks) == "avoid"


def test_hostile_text_is_inert(browser: Any, reports: dict[str, Path]) -> None:
    """No attack of any field ran, nothing foreign is in the document, and its text can be read."""
    with Visit(browser, reports["hostile"]) as visit:
        visit.page.wait_for_selector(".main-svg")
        for link in visit.page.query_selector_all("main a[href]"):
            assert link.get_attribute("href").startswith(("#", "http://x.invalid"))
        assert visit.page.evaluate("window.pwned") is None
        assert (
            visit.page.evaluate(
                "document.querySelectorAll('iframe, form, input, base, main script, main [onclick], main [onerror]').length"
            )
            == 0
        )
        assert "<script>window.pwned=1</script>" in visit.page.inner_text(".snb-banner")
        assert visit.page.evaluate("getComputedStyle(document.querySelector('main')).display") != "none"


def test_a_script_that_got_in_does_not_run(browser: Any, reports: dict[str, Path], tmp_path: Path) -> None:
    """Were a script to get past every escape, the policy would stop it: inline, as a handler and as an address."""
    attacks = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'><svg onload='window.pwned=1'></svg>"
    page = reports["harmless"].read_text(encoding="utf-8").replace('<main id="snb-main"', f'{attacks}<main id="snb-main"', 1)
    injected = tmp_path / "injected.html"
    injected.write_text(page, encoding="utf-8")
    with Visit(browser, injected) as visit:
        visit.page.wait_for_selector(".main-svg")
        assert visit.page.evaluate("window.pwned") is None
        assert any("Content Security Policy" in complaint for complaint in visit.complaints)


def test_the_figure_is_live_on_screen_and_still_on_paper(browser: Any, reports: dict[str, Path]) -> None:
    """On screen plotly draws with the page's colours, on paper the still drawing stands in and folded evidence is open."""
    with Visit(browser, reports["harmless"], color_scheme="dark") as visit:
        visit.page.wait_for_selector(".main-svg")
        assert visit.page.locator(".snb-plot .main-svg").first.is_visible()
        assert not visit.page.locator(".snb-svg").is_visible()
        assert "implement" in visit.page.locator(".snb-plot").inner_text()
        dark = visit.page.evaluate("getComputedStyle(document.querySelector('.snb-plot .main-svg')).backgroundColor")
        visit.page.emulate_media(media="print")
        assert visit.page.locator(".snb-svg").is_visible()
        assert not visit.page.locator(".snb-plot").is_visible()
        assert visit.page.get_by_text("Attempts (6)").is_visible()
        visit.page.emulate_media(media="screen", color_scheme="light")
        visit.page.wait_for_timeout(300)  # the policy forbids the evaluation that polling needs
        assert visit.page.evaluate("getComputedStyle(document.querySelector('.snb-plot .main-svg')).backgroundColor") != dark


def test_everything_is_there_without_scripts(browser: Any, reports: dict[str, Path]) -> None:
    """With scripts off the still drawing, the folds and the commands are there."""
    with Visit(browser, reports["harmless"], java_script_enabled=False) as visit:
        assert visit.page.locator(".snb-svg").is_visible()
        assert visit.page.locator("code.snb-command").is_visible()
        visit.page.get_by_text("Raw error").click()
        assert visit.page.locator("details[open]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["harmless", "hostile"])
def test_nothing_serious_for_accessibility(browser: Any, reports: dict[str, Path], name: str, scheme: str) -> None:
    """axe-core finds nothing serious or critical, with every fold open."""
    with Visit(browser, reports[name], color_scheme=scheme) as visit:
        visit.page.wait_for_selector(".main-svg")
        visit.page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        visit.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = visit.page.evaluate("axe.run()")["violations"]
        serious = {
            finding["id"]: [node["html"][:200] for node in finding["nodes"]]
            for finding in found
            if finding["impact"] in {"serious", "critical"}
        }
        assert serious == {}


def test_tab_reaches_everything(browser: Any, reports: dict[str, Path]) -> None:
    """Every fold, link, scrolling table and copy button can be reached with the Tab key, the skip link first."""
    with Visit(browser, reports["harmless"]) as visit:
        visit.page.wait_for_selector(".main-svg")
        wanted = visit.page.locator("summary, button, main a[href]").count()
        reached: list[str] = []
        for _ in range(wanted + 60):
            visit.page.keyboard.press("Tab")
            reached.append(visit.page.evaluate("(e => { e.dataset.reached = 1; return e.className; })(document.activeElement)"))
        assert reached[0] == "snb-skip"
        unreached = "(e) => !e.dataset.reached && e.checkVisibility()"
        everything = "[...document.querySelectorAll('summary, button, main a[href]')]"
        left = visit.page.evaluate(f"{everything}.filter({unreached}).map((e) => e.outerHTML)")
        assert left == []


def test_a_command_is_copied(browser: Any, reports: dict[str, Path]) -> None:
    """The copy button puts the command on the clipboard and says so."""
    with Visit(browser, reports["harmless"]) as visit:
        visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.page.get_by_role("button", name="Copy").click()
        visit.page.get_by_text("Command copied").wait_for(state="attached")
        command = visit.page.locator("code.snb-command").inner_text()
        assert visit.page.evaluate("navigator.clipboard.readText()") == command


def test_a_reference_opens_the_row_it_names(browser: Any, reports: dict[str, Path]) -> None:
    """Following a reference of the evidence unfolds the table of attempts and shows the row."""
    with Visit(browser, reports["harmless"]) as visit:
        visit.page.wait_for_selector(".main-svg")
        visit.page.locator(".snb-evidence a[href]").first.click()
        assert visit.page.locator("tr:target").is_visible()
        assert "implement" in visit.page.locator("tr:target").inner_text()


@pytest.mark.parametrize("name", ["harmless", "hostile"])
def test_narrow_windows_do_not_scroll_sideways(browser: Any, reports: dict[str, Path], name: str) -> None:
    """On a telephone the page fits; only tables scroll within themselves."""
    with Visit(browser, reports[name], viewport={"width": 390, "height": 800}) as visit:
        visit.page.wait_for_selector(".main-svg")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
