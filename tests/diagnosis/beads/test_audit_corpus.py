"""The audit on real fleets: every count that was counted independently comes out."""

import hashlib
import json

import pytest

from smithers_nb.cli.app import main
from smithers_nb.project import connect
from tests.support.data import CORPUS

BEADS = CORPUS / "beads"
KEYS = [
    "closes",
    "closes_no_reason",
    "closes_default",
    "closes_one_word",
    "give_backs",
    "give_backs_no_reason",
    "reopens",
    "reopens_no_reason",
    "reopen_reason_gone",
    "bounced_3",
]
COUNTED = {
    "2026/beadsel-2026-03/events.jsonl": (81, 0, 40, 40, 8, 8, 4, 3, 2, 0),
    "2026/beadsel-2026-03/issues.jsonl": (48, 0, 14, 14, None, None, None, None, None, None),
    "2026/lenny-2026-06/gc-events.jsonl": (2, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "2026/lenny-2026-06/interactions.jsonl": (320, 199, 59, 59, 4, 4, 1, 1, 1, 0),
    "2026/lenny-2026-06/issues.jsonl": (121, 37, 35, 35, None, None, None, None, None, None),
    "2026/made-journal-1.3/events-journal.jsonl": (5, 1, 1, 1, 4, 3, 2, 1, 2, 1),
    "2026/phux-2026-08/gc-events.jsonl": (47, 0, 1, 1, 0, 0, 0, 0, 0, 0),
    "2026/phux-2026-08/interactions.jsonl": (715, 11, 68, 71, 8, 8, 2, 2, 2, 0),
    "2026/phux-2026-08/issues.jsonl": (905, 24, 98, 100, None, None, None, None, None, None),
    "2026/senologie-2026-05/gc-events.jsonl": (24, 0, 22, 22, 0, 0, 0, 0, 0, 0),
    "gastown-rig-backup": (788, 2, 220, 223, 107, 107, 16, 16, 12, 14),
}

pytestmark = pytest.mark.skipif(not BEADS.is_dir(), reason="the corpus is not beside this checkout")


@pytest.mark.parametrize("name", COUNTED)
def test_every_published_count_comes_out(name):
    """Closes, give-backs and reopens of each set are those that were counted by hand or by another program."""
    with connect(f"beads:{BEADS / name}") as project:
        found = project.audit()
    assert tuple(found.counts[key] for key in KEYS) == COUNTED[name]


def test_rows_leases_and_hints_of_the_newest_set():
    """The rows of phux show its ten leases that were never renewed, and bd's rule about prose as a hint only."""
    with connect(f"beads:{BEADS / '2026/phux-2026-08'}") as project:
        found = project.audit().as_json(0)
    wanted = {"rows": 1007, "rows_closed": 905, "rows_closed_terse": 128, "rows_wip": 24, "rows_wip_no_assignee": 9, "rows_wip_leased": 10}
    wanted |= {"wip_lease_expired": 10, "wip_lease_never_renewed": 10, "wip_untouched_7d": 12, "closes": 715}
    assert {key: found[key] for key in wanted} == wanted
    with connect(f"beads:{BEADS / '2026/phux-2026-08/issues.jsonl'}") as project:
        hints = project.audit().more
    assert (hints["hint_failure_by_bd_rule"], hints["hint_non_completing_by_bd_rule"]) == (78, 23)


def test_coverage_of_a_log_with_repeated_numbers():
    """Repeated and falling seqs of a gascity log are said, and so is what it cannot promise."""
    with connect(f"beads:{BEADS / '2026/phux-2026-08/gc-events.jsonl'}") as project:
        (part,) = project.audit().coverage
    assert part["records"] == 209
    assert {"5 lines repeat a seq", "seq does not grow in 2 places"} <= set(part["notes"])
    assert "best effort" in part["cannot_show"][0]


def test_every_count_has_its_rows():
    """Each lost reason can be looked up: as many rows of evidence as the count says, each with file and line."""
    with connect(f"beads:{BEADS / 'gastown-rig-backup'}") as project:
        found = project.audit().as_json()
    for key in ("closes_no_reason", "closes_one_word", "give_backs_no_reason", "reopen_reason_gone", "second_reason_dropped"):
        assert len(found["evidence"][key]) == found[key]
    assert found["second_reason_dropped"] == 60
    assert found["evidence"]["closes_no_reason"][0]["ref"].startswith("events.jsonl:")


def test_reading_changes_no_byte():
    """An audit of a folder with a database leaves every file as it was, and adds none."""
    folder = BEADS / "bd-run"
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    with connect(f"beads:{folder}") as project:
        found = project.audit()
        assert len(project.beads) == 4
    assert found.counts["closes"] == 1
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == before


def test_the_command_prints_one_object_and_exits_by_its_limits(capsysbinary):
    """`--format json` is one object with the counts at top level; a count over its limit exits with 1."""
    source = f"beads:{BEADS / '2026/beadsel-2026-03'}"
    assert main(["beads", "audit", "--source", source, "--format", "json", "--fail-over", "closes_one_word=40"]) == 0
    found = json.loads(capsysbinary.readouterr().out)
    assert {key: found[key] for key in ("closes", "rows_closed", "give_backs_no_reason")} == {
        "closes": 81,
        "rows_closed": 48,
        "give_backs_no_reason": 8,
    }
    assert main(["beads", "audit", "--source", source, "--fail-over", "closes_one_word=39"]) == 1
