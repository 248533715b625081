"""Work items as people see them: the same cards in a notebook, on a page and in a terminal, and the audit as frames."""

from html import unescape

import pytest

from smithers_nb.cli.app import main
from smithers_nb.engine.location import Location
from smithers_nb.engine.notebook.executor import execute
from smithers_nb.errors import ParameterError
from smithers_nb.ledger import Ledger, agents, dispatch, items
from smithers_nb.ledger.dispatch import Started
from smithers_nb.project import connect
from smithers_nb.resources import resource
from smithers_nb.workflows.beads import open_beads, show_bead
from smithers_nb.workflows.live.fleet_page import FleetPage
from smithers_nb.workflows.live.served_runs import ServedRuns

SAID = "Cannot find module '@/lib/auth'"
KEY = "sk-" + "abcdefghij0123456789" * 2


@pytest.fixture
def project(tmp_path):
    """Return a project whose ledger has a convoy of two beads: one agent crashed, and one bead was given back."""
    with Ledger.open(Location.of(tmp_path)) as ledger:
        with ledger.writing() as connection:
            items.add_rig(connection, "web", {})
            items.create(ledger, connection, "Checkout", bead_id="cv-1", type="convoy")
            for bead, agent in (("b-1", "toast"), ("b-2", "nux")):
                items.create(ledger, connection, f"Fix <{bead}>", bead_id=bead, rig_id="web")
                items.track(ledger, connection, bead, "cv-1")
                items.add_agent(ledger, connection, agent, role="polecat")
        for bead, agent in (("b-1", "toast"), ("b-2", "nux")):
            assert dispatch.dispatch(ledger, bead, agent, lambda *_: Started(ok=True))
        with ledger.writing() as connection:
            agents.give_back(ledger, connection, "b-2", actor="nux", note="waits for a decision about taxes")
            ended = {"status": "failed", "reason": SAID, "log": f"key {KEY}\nfatal: no such module", "autopsy_run_id": "run-7"}
            agents.agent_completed(ledger, connection, "toast", **ended)
    return tmp_path


def test_a_failed_bead_shows_its_reason_its_log_and_the_autopsy_of_its_run(project):
    """Banner, details, end of the log without its secret, the run's autopsy and the timeline entry are all in one card."""
    with open_beads(str(project)) as store:
        card = show_bead(store)
    page = card.html
    assert page.index("snb-banner") < page.index(SAID.replace("'", "&#x27;")) < page.index("Timeline of b-1")
    assert "agent_crashed" in page
    assert "fatal: no such module" in page
    assert KEY not in page
    assert "smithers-nb autopsy run-7" in page
    assert "&lt;b-1&gt;" in page
    assert "The whole event of b-1" in page[page.index("Timeline of b-1") :]


def test_a_convoy_leads_to_the_failure_of_its_member(project, capsys):
    """`beads show` of a convoy names the bead that failed, with code and message."""
    assert main(["beads", "show", "cv-1", "--source", str(project)]) == 0
    assert f"Caused by b-1: agent_crashed: Agent process exited with status: failed. Reason: {SAID}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["show", "b-1"], ["activity"], ["convoys"], ["audit"]])
def test_every_view_is_a_page_too(project, tmp_path, capsys, command):
    """`--report` writes one page without scripts and without anything to load, beside what is printed."""
    page = tmp_path / "page.html"
    assert main(["beads", *command, "--source", str(project), "--report", str(page)]) == 0
    written = page.read_text()
    assert written.startswith("<!doctype html>")
    assert "<script" not in written
    assert "b-1" in written or command[0] in {"convoys", "audit"}
    assert capsys.readouterr().out


def test_an_unknown_bead_is_one_clear_line(project):
    """A bead that is not there is named, with the way to list those that are."""
    with open_beads(str(project)) as store, pytest.raises(ParameterError, match="no bead 'b-9'"):
        show_bead(store, "b-9")


def test_the_audit_is_two_frames(project):
    """Counts and evidence come as typed frames, of the ledger of a project and of the same file read as a foreign store."""
    for where in (project, f"beads:{project}"):
        with connect(where) as opened:
            found = opened.audit()
        counts = found.frame().set_index("name").number
        assert counts["give_backs"] == 1
        assert counts["give_backs_no_reason"] == 0
        assert list(found.evidence_frame().columns) == ["finding", "bead_id", "at", "actor", "holder", "by", "reason", "ref"]


@pytest.mark.slow
def test_the_notebook_shows_all_of_it(project, tmp_path):
    """The notebook runs from its first to its last cell on a ledger and shows the failure, the activity and the audit."""
    done = execute(resource("notebooks/beads.ipynb"), tmp_path / "out.ipynb", {"source": str(project)})
    cells = {cell.id: cell for cell in done.node.cells}
    shown = {name: cells[name].outputs[0].data["text/html"] for name in ("bead", "activity", "audit", "counts")}
    assert "agent_crashed" in shown["bead"]
    assert "waits for a decision about taxes" in shown["activity"]
    assert "Coverage" in shown["audit"]
    assert "give_backs_no_reason" in shown["counts"]


def test_the_live_page_shows_work_items_by_the_same_cards(project):
    """The failed bead's banner, the convoys and the activity are a part of the page of all runs; an empty ledger has none."""
    page = FleetPage(ServedRuns.of(Location.of(project)), "key")
    (shown,) = page.work().values()
    assert SAID in unescape(str(shown))
    assert "landed_with_failures" not in str(shown)
    assert all(word in str(shown) for word in ("cv-1", "Activity", "waits for a decision about taxes", "agent_crashed"))
    assert KEY not in str(shown)
    assert "work" in page.sections


def test_a_project_without_work_items_shows_none(tmp_path):
    """Neither a ledger is made by looking, nor an empty one shown."""
    page = FleetPage(ServedRuns.of(Location.of(tmp_path)), "key")
    assert page.work() == {}
    assert not list(tmp_path.iterdir())
    Ledger.open(Location.of(tmp_path)).close()
    assert page.work() == {}
