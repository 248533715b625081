"""Tickets built in a real repository: what lands, what does not, and why."""

import json
import re
import shutil

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.location import Location
from smithers_nb.errors import SmitheringError
from smithers_nb.ledger import Ledger, queries
from smithers_nb.workflows.smithering.building.build import read_index
from smithers_nb.workflows.smithering.landing.evidence import missing
from smithers_nb.workflows.smithering.landing.queue import Policy
from smithers_nb.workflows.smithering.workforce.agent_cli import AgentCli
from smithers_nb.workflows.smithering.workforce.base import WorkDone
from smithers_nb.workflows.smithering.workforce.budget import Budget
from tests.workflows.smithering.hands import Hands, built, ticket, write_own_file, writes

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def evidence(repo, name, run="run-1"):
    return repo.parent / "artifacts/smithering/build" / run / name


def row(repo, name, file, run="run-1"):
    return json.loads((evidence(repo, name, run) / file).read_text())


def state(result, name):
    return next(one for one in result.tickets if one.ticket_id == name)


def kinds(repo, name):
    folder = evidence(repo, "_orchestrator") / name
    return [json.loads(path.read_text())["kind"] for path in sorted(folder.glob("*/capture.json"))]


def is_tidy(repo, in_git):
    """Return whether the base branch is where it was, the main checkout clean, and no worktree left."""
    assert in_git(repo, "status", "--porcelain") == ""
    assert in_git(repo, "log", "--format=%s", "main") == "Begin"
    assert len(in_git(repo, "worktree", "list").splitlines()) == 1
    return True


def test_tickets_land_in_the_order_of_their_dependencies(repo, in_git):
    """Each ticket is one commit on the integration branch, after what it depends on; the base branch stays where it was."""
    result = built(repo, [ticket("c", "a", "b"), ticket("a"), ticket("b")])
    assert result.failed == {}
    log = in_git(repo, "log", "--reverse", "--format=%H %(trailers:key=smithering-land,valueonly,separator=%x20)", f"main..{result.branch}")
    assert {line.split()[1]: line.split()[0] for line in log.splitlines()} == result.landed
    assert log.splitlines()[-1].endswith(" c")
    assert is_tidy(repo, in_git)
    assert in_git(repo, "branch", "--list", "smithering/*").split() == ["smithering/run-1/integration"]


def test_the_tested_commit_is_the_landed_commit(repo, in_git):
    """The commit that the commands ran on, as they saw it themselves, is the one that landed, on the parent that the verdict names."""
    seen = "test -f a.txt && git rev-parse HEAD"
    result = built(repo, [ticket("a", command=seen), ticket("b", command=seen.replace("a.txt", "b.txt"))])
    for name, commit in result.landed.items():
        verify = row(repo, name, "verify.json")
        assert verify["pass"] is True
        assert verify["head"] == verify["verdictOf"]["head"] == commit
        assert verify["rebasedTip"] == {"base": in_git(repo, "rev-parse", f"{commit}^"), "ok": True}
        assert commit in (evidence(repo, name) / "test-output" / f"{name}-1.log").read_text()


def test_the_evidence_of_a_landed_ticket_is_complete(repo):
    """Plan, patch, gates with a real red and a real green log, verdict and review are there."""
    built(repo, [ticket("a")], Hands(answers={"review:a": {"approved": True, "reasons": "fine"}}))
    folder = evidence(repo, "a")
    assert missing(folder) == []
    (gate,) = row(repo, "a", "gates.json")
    assert (gate["criterionId"], gate["command"]) == ("a-1", "test -f a.txt")
    assert "[red: exit 1" in (folder / gate["redRunPath"]).read_text()
    assert "[green: exit 0" in (folder / gate["greenRunPath"]).read_text()
    assert "+a" in (folder / "diff.patch").read_text()
    assert row(repo, "a", "review.json")["model"] == "two"
    assert (evidence(repo, "index.md")).read_text().splitlines()[2].startswith("| a | landed |")


def test_a_red_verification_is_repaired_with_its_feedback(repo):
    """A red command goes back to the worker word for word, and the second attempt lands."""
    hands = Hands({"a": writes("a.txt", "wrong\n", "right\n")})
    result = built(repo, [ticket("a", command="cat a.txt; grep -q right a.txt")], hands)
    assert result.failed == {}
    assert hands.attempts("a") == [1, 2]
    assert "exit 1" in hands.orders[1].feedback
    assert "wrong" in hands.orders[1].feedback
    assert kinds(repo, "a") == ["red", "landed"]


def test_a_conflict_is_resolved_by_its_ticket(repo, in_git):
    """Whoever lands second gets both sides between markers, resolves them within its budget, and both land."""
    seen = {}

    def deed(order):
        path = order.folder / "README.md"
        seen[order.ticket.id, order.attempt] = path.read_text()
        path.write_text("one and two\n" if order.attempt > 1 else f"{order.ticket.id}\n")

    tickets = [ticket(name, command="true") for name in ("one", "two")]
    result = built(repo, tickets, Hands({"one": deed, "two": deed}))
    assert result.failed == {}
    (second,) = [key for key in seen if key[1] == 2]
    assert "<<<<<<<" in seen[second]
    assert in_git(repo, "show", f"{result.branch}:README.md") == "one and two"
    assert len(result.landed) == 2


def test_markers_of_a_conflict_never_land(repo):
    """A worker that leaves the markers where they are uses up its attempts."""

    def deed(order):
        if order.attempt == 1:
            (order.folder / "README.md").write_text(f"{order.ticket.id}\n")

    result = built(repo, [ticket(name, command="true") for name in ("one", "two")], Hands({"one": deed, "two": deed}))
    (name,) = result.failed
    assert "markers of a conflict" in result.failed[name]


def test_a_blocked_ticket_takes_only_its_dependents_with_it(repo):
    """After four red attempts a ticket is blocked with an autopsy, what depends on it is told so, and siblings land."""
    hands = Hands({"a": writes("a.txt", "wrong\n")})
    result = built(repo, [ticket("a", command="grep right a.txt"), ticket("b", "a"), ticket("c", "b"), ticket("d")], hands)
    assert hands.attempts("a") == [1, 2, 3, 4]
    assert list(result.landed) == ["d"]
    assert [state(result, name).state for name in "abc"] == ["blocked", "blocked-by-dep", "blocked-by-dep"]
    assert state(result, "c").on == ("a",)
    autopsy = (evidence(repo, "a") / "autopsy.md").read_text()
    assert "verification_failed** after 4 failed" in autopsy
    assert "Every attempt failed alike." in autopsy


def test_done_without_a_change_is_refused(repo):
    """A worker that says it is done and has committed nothing is not believed."""
    result = built(repo, [ticket("a", command="true")], Hands({"a": lambda _: WorkDone(summary="done", claims=("all green",))}))
    assert "without a change" in result.failed["a"]
    assert state(result, "a").code == "shipped_without_commit"
    assert row(repo, "a", "work.json")["claims"] == ["all green"]


def test_a_claim_of_green_is_not_believed(repo):
    """What a worker claims does not land a commit whose command is red."""

    def deed(order):
        write_own_file(order)
        return WorkDone(summary="all tests pass", claims=("a-1 is green",))

    result = built(repo, [ticket("a", command="echo '1 failed'; exit 1")], Hands({"a": deed}), policy=Policy(attempts=1))
    assert result.landed == {}
    assert row(repo, "a", "verify.json")["pass"] is False


def test_a_tip_that_was_red_already_costs_nobody_an_attempt(repo):
    """With a gate that is red on the base, innocent tickets wait until one mends it, and then land at their first attempt."""
    hands = Hands({"mend": writes("mended.txt", "x")})
    result = built(
        repo, [ticket("a"), ticket("b"), ticket("mend", command="true")], hands, policy=Policy(always=("test -f mended.txt",)), parallel=1
    )
    assert result.failed == {}
    assert [hands.attempts(name) for name in ("a", "b", "mend")] == [[1], [1], [1]]


def test_a_tip_that_nobody_mends_blocks_as_such(repo):
    """When nothing is left that could mend the tip, its bystanders are blocked by it, without a lost attempt."""
    hands = Hands()
    result = built(repo, [ticket("a")], hands, policy=Policy(always=("false",)))
    assert state(result, "a").code == "tip_red"
    assert "red on the tip" in result.failed["a"]
    assert hands.attempts("a") == [1]
    assert kinds(repo, "a") == []


def test_a_regression_is_red_by_itself(repo):
    """A gate that is green on the tip and red on the candidate is the ticket's own fault."""
    hands = Hands({"a": writes("bad.txt", "x")})
    result = built(repo, [ticket("a", command="true")], hands, policy=Policy(always=("! test -f bad.txt",), attempts=2))
    assert state(result, "a").code == "verification_failed"
    assert hands.attempts("a") == [1, 2]


def test_a_ticket_that_breaks_another_is_sent_back(repo, in_git):
    """A change that breaks what has landed is red, is told whose command it breaks, and lands once it is repaired."""

    def deed(order):
        write_own_file(order)
        (order.folder / "a.txt").write_text("broken" if order.attempt == 1 else "a")

    hands = Hands({"b": deed})
    result = built(repo, [ticket("a", command="test $(cat a.txt) = a"), ticket("b", "a")], hands)
    assert result.failed == {}
    assert hands.attempts("b") == [1, 2]
    assert "`test $(cat a.txt) = a` (landed.a-1)" in hands.orders[-1].feedback
    tickets = [ticket("a", command="test $(cat a.txt) = a"), ticket("b", "a")]
    loose = built(repo, tickets, Hands({"b": deed}), run_id="run-2", policy=Policy(regressions=False))
    assert in_git(repo, "show", f"{loose.branch}:a.txt") == "broken"


def test_infrastructure_is_repeated_and_costs_no_attempt(repo, tmp_path):
    """A command that was killed is run again; a machine that never recovers blocks the ticket as infrastructure."""
    once = f"test -f a.txt || exit 1; if mkdir {tmp_path}/once; then kill -9 $$; fi"
    hands = Hands()
    result = built(repo, [ticket("a", command=once), ticket("b", command="test ! -f b.txt || kill -9 $$")], hands)
    assert list(result.landed) == ["a"]
    assert state(result, "b").code == "verification_infrastructure"
    assert [hands.attempts(name) for name in "ab"] == [[1], [1]]


def test_what_the_verification_leaves_behind_never_helps(repo):
    """Ignored files in a worker's worktree are not there when its commit is verified."""

    def deed(order):
        (order.folder / "__pycache__").mkdir()
        (order.folder / "__pycache__" / "needed").write_text("x")
        (order.folder / "real.txt").write_text("x")

    result = built(repo, [ticket("a", command="test -f __pycache__/needed")], Hands({"a": deed}), policy=Policy(attempts=1))
    assert result.landed == {}


def commit_secret(order):
    (order.folder / "key.py").write_text(f"KEY = '{TOKEN}'\n")


def crash(_):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("deed", "said", "code"),
    [
        (lambda order: (order.folder / ".git").unlink(), "not on the branch", "left_worktree"),
        (lambda order: (order.folder / "link").symlink_to("/etc/passwd"), "link to a place outside", "shipped_without_commit"),
        (commit_secret, "looks like a secret was committed in key.py", "shipped_without_commit"),
        (lambda order: (order.folder / TOKEN).touch(), "looks like a secret was committed in", "shipped_without_commit"),
        (lambda _: 7, "answered with int", "agent_crashed"),
        (crash, "the worker failed: ZeroDivisionError", "agent_crashed"),
    ],
)
def test_an_overstepping_worker_lands_nothing(repo, deed, said, code):
    """Cutting the worktree off, links out, secrets and crashes end in a clear reason."""
    result = built(repo, [ticket("a", command="true"), ticket("b")], Hands({"a": deed}), policy=Policy(attempts=1))
    assert said in result.failed["a"]
    assert state(result, "a").code == code
    assert TOKEN not in result.failed["a"]
    text = "".join(path.read_text() for path in evidence(repo, ".").rglob("*") if path.is_file())
    assert TOKEN not in text


def test_a_worker_that_replaces_history_stops_nobody_else(repo, in_git):
    """A branch without a commit in common is refused, kept under a reference and begun anew; a removed integration branch comes back."""

    def replace(order):
        write_own_file(order)
        if order.attempt == 1:
            in_git(order.folder, "add", "--all")
            in_git(order.folder, "commit", "--quiet", "--amend", "--message", "History")

    def remove(order):
        write_own_file(order)
        in_git(order.folder, "update-ref", "-d", "refs/heads/smithering/run-1/integration")
        shutil.rmtree(order.folder.parent / "a", ignore_errors=True)

    result = built(repo, [ticket("a"), ticket("b", "a"), ticket("c", "b")], Hands({"a": replace, "b": remove}))
    assert result.failed == {}
    assert (state(result, "a").attempt, kinds(repo, "a")[0]) == (2, "refused")
    kept = in_git(repo, "for-each-ref", "--format=%(subject)", "refs/smithering/run-1/left/a")
    assert kept == "History"
    assert list(result.landed) == ["a", "b", "c"]
    assert is_tidy(repo, in_git)


def test_submodules_and_hooks_of_a_worker_do_nothing(repo, tmp_path, in_git):
    """A committed submodule is refused, and a hook that is left in the repository meanwhile is told and does not run."""
    from tests.workflows.smithering.conftest import made_repo

    other = made_repo(tmp_path / "other")

    def submodule(order):
        in_git(order.folder, "submodule", "--quiet", "add", str(other), "vendor")
        in_git(order.folder, "commit", "--quiet", "--message", "vendor")

    def hook(order):
        write_own_file(order)
        path = repo / ".git/hooks/post-checkout"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        path.chmod(0o755)

    result = built(repo, [ticket("a", command="true")], Hands({"a": submodule}), policy=Policy(attempts=1))
    assert re.search("submodule|settings", result.failed["a"])
    result = built(repo, [ticket("b")], Hands({"b": hook}), policy=Policy(attempts=1), run_id="run-2")
    assert result.failed == {}
    assert "hooks/post-checkout" in row(repo, "b", "work.json", "run-2")["meanwhile"]
    assert not (tmp_path / "ran").exists()


def test_only_what_an_agents_process_did_is_blamed(repo, tmp_path, in_git):
    """An agent that sets something in the repository has failed; beside another one a person commits and sets something, and both stay."""
    person = "env -u GIT_TRACE2_EVENT git -C ../../../.. -c user.name=Ada -c user.email=ada@example.org"
    does = {
        "a": "git config core.pager evil",
        "b": f"{person} commit --quiet --allow-empty --message Mine; {person} config alias.st status",
    }
    cases = "".join(f"*implement:{name}*) touch {name}.txt; {command};; " for name, command in does.items())
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\ncase $(cat) in {cases} esac\necho \'{{"summary": "done"}}\'\n')
    agent.chmod(0o755)
    workers = AgentCli.from_environment(
        {"CODING_AGENT_CMD": str(agent), "PATH": "/usr/bin:/bin"}, timeout_s=60, budget=Budget(50, tmp_path / "spent")
    )
    result = built(repo, [ticket("a"), ticket("b")], workers, policy=Policy(attempts=1), parallel=1)
    assert result.failed == {"a": "the worker left its worktree: settings of the repository changed: core.pager (put back)"}
    assert state(result, "b").attempt == 1
    assert "the base branch main was moved" in row(repo, "b", "work.json")["meanwhile"]
    assert (in_git(repo, "config", "alias.st"), in_git(repo, "log", "-1", "--format=%s", "main")) == ("status", "Mine")
    assert "core.pager" not in in_git(repo, "config", "--local", "--list")


def test_a_safety_ticket_needs_a_challenge(repo):
    """A ticket that safety depends on lands only after an approved challenge of this very change."""
    tickets = [ticket("a", safety=True), ticket("b", safety=True), ticket("c", safety=True)]
    answers = {"challenge:a": {"approved": True}, "challenge:b": {"approved": False, "reasons": "got in"}}
    result = built(repo, tickets, Hands(answers=answers), policy=Policy(attempts=1))
    assert list(result.landed) == ["a"]
    assert "got in" in result.failed["b"]
    assert "nobody answered" in result.failed["c"]
    assert row(repo, "a", "challenge.json")["patchId"] == row(repo, "a", "verify.json")["patchId"]


def test_a_review_is_advice_unless_the_policy_asks_for_it(repo):
    """A review that does not approve lands by default and keeps from landing where the policy says so."""
    answers = {"review:a": {"approved": False, "reasons": "ugly"}}
    assert built(repo, [ticket("a")], Hands(answers=answers)).failed == {}
    strict = built(repo, [ticket("a")], Hands(answers=answers), run_id="run-2", policy=Policy(attempts=1, require_review=True))
    assert "ugly" in strict.failed["a"]


def test_a_ticket_without_a_command_never_lands(repo):
    """Nothing lands on a reviewer's word alone."""
    result = built(repo, [ticket("a").__class__(id="a", title="A")], policy=Policy(attempts=1))
    assert "no command decides" in result.failed["a"]


def test_a_second_build_of_the_same_run_does_nothing(repo):
    """What has landed is read from the integration branch and skipped."""
    first = built(repo, [ticket("a"), ticket("b", "a")])
    hands = Hands()
    again = built(repo, [ticket("a"), ticket("b", "a"), ticket("c", "b")], hands)
    assert [order.ticket.id for order in hands.orders] == ["c"]
    assert again.landed.items() > first.landed.items()


def test_a_stale_verdict_satisfies_no_fresh_run(repo):
    """Evidence that lies there from elsewhere lands nothing: a red command is red."""
    folder = evidence(repo, "a")
    folder.mkdir(parents=True)
    (folder / "verify.json").write_text('{"pass": true}')
    (folder / "challenge.json").write_text('{"approved": true}')
    result = built(repo, [ticket("a", command="false", safety=True)], policy=Policy(attempts=1))
    assert result.landed == {}
    assert "approved" not in row(repo, "a", "challenge.json") or row(repo, "a", "challenge.json")["approved"] is False


def test_somebody_else_on_the_integration_branch_stops_the_build(repo, in_git):
    """A commit that nobody verified is not built upon unseen; the build stops and says how to go on."""

    def deed(order):
        write_own_file(order)
        head = in_git(repo, "commit-tree", "main^{tree}", "-p", "smithering/run-1/integration", "-m", "smuggled")
        in_git(repo, "update-ref", "refs/heads/smithering/run-1/integration", head)

    with pytest.raises(SmitheringError, match="somebody else moved"):
        built(repo, [ticket("a")], Hands({"a": deed}))


def test_an_equal_change_keeps_its_verdict_only_by_consent(repo):
    """With the policy's consent a verdict of an equal change is kept on a new tip, and verify.json says whose it was."""
    policy = Policy(keep_verdict=True)
    result = built(repo, [ticket(f"t-{number}") for number in range(6)], policy=policy, parallel=3)
    assert result.failed == {}
    rows = [row(repo, name, "verify.json") for name in result.landed]
    assert all(one["head"] == result.landed[name] for name, one in zip(result.landed, rows, strict=True))
    strict = built(repo, [ticket(f"t-{number}") for number in range(3)], run_id="run-2")
    assert all(row(repo, name, "verify.json")["pass"] for name in strict.landed)


def test_a_batch_is_bisected_to_the_red_one(repo):
    """Verified together, a red one among green ones is found, and only it does not land."""
    hands = Hands({"t-3": writes("bad.txt", "x")})
    tickets = [ticket(f"t-{number}", command="sleep 0.05; test ! -f bad.txt") for number in range(8)]
    result = built(repo, tickets, hands, policy=Policy(batch=4, attempts=1), parallel=4)
    assert list(result.failed) == ["t-3"]
    assert len(result.landed) == 7


def test_every_end_has_a_reason_in_the_ledger(repo, tmp_path):
    """Tickets are beads with their dependencies; landed ones are closed, the others have failed with code, message and source."""
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'journal.db'}")) as journal:
        ledger = Ledger(journal)
        tickets = [ticket("a", command="grep right a.txt"), ticket("b", "a"), ticket("c"), ticket("d", command="true")]
        hands = Hands({"a": writes("a.txt", "x"), "d": lambda _: WorkDone(summary="nothing")})
        for _ in range(2):  # a resumed run finds its beads again
            built(repo, tickets, hands, ledger=ledger, policy=Policy(attempts=2))
        with ledger.reading() as connection:
            beads = {bead.bead_id: bead.status for bead in queries.bead_rows(connection)}
            whys = {name: queries.failure_of(connection, f"run-1:{name}") for name in "abd"}
    assert beads == {"run-1:a": "failed", "run-1:b": "failed", "run-1:c": "closed", "run-1:d": "failed"}
    assert {name: why.code for name, why in whys.items()} == {
        "a": "verification_failed",
        "b": "dependency_failed",
        "d": "shipped_without_commit",
    }
    assert whys["a"].details["attempts"] == 2


def test_a_worker_that_cannot_go_on_says_what_it_lacks(repo, tmp_path):
    """A missing credential and a needed person end a ticket as such, with a reason in the ledger; no attempt is lost, and it can go on."""
    lacks = {"missing_credentials": ("MAP_KEY",)}, {"needs_person": "choose a colour"}
    deeds = [lambda _, said=said: WorkDone(summary="stopped", **said) for said in lacks]
    tickets = [ticket("a"), ticket("b"), ticket("c", "a")]
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'journal.db'}")) as journal:
        ledger = Ledger(journal)
        result = built(repo, tickets, Hands(dict(zip("ab", deeds, strict=True))), ledger=ledger)
        assert [each.state for each in result.tickets] == ["needs-credential", "waiting-human", "blocked-by-dep"]
        with ledger.reading() as connection:
            whys = [queries.failure_of(connection, f"run-1:{name}") for name in "ab"]
        hands = Hands()
        assert built(repo, tickets, hands, ledger=ledger).failed == {}
    assert [why.code for why in whys] == ["credential_missing", "person_needed"]
    assert ("MAP_KEY" in whys[0].message, "choose a colour" in whys[1].message) == (True, True)
    assert hands.attempts("a") == [1]


def test_a_spent_budget_costs_no_attempt(repo, tmp_path):
    """Tickets that no agent may be called for wait for a person, with the file that allows more; with that the same run goes on."""
    agent = tmp_path / "agent"
    does = "".join(f'*implement:{name}*) touch {name}.txt; echo \'{{"summary": "done"}}\';; ' for name in "abc")
    agent.write_text(f"#!/bin/sh\ncase $(cat) in {does} *) echo '{{\"approved\": true}}';; esac\n")
    agent.chmod(0o755)
    budget = Budget(1, tmp_path / "spent")
    workers = AgentCli.from_environment({"CODING_AGENT_CMD": str(agent), "PATH": "/usr/bin:/bin"}, timeout_s=60, budget=budget)
    tickets = [ticket("a"), ticket("b", safety=True), ticket("c", "b")]
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'journal.db'}")) as journal:
        ledger = Ledger(journal)
        result = built(repo, tickets, workers, policy=Policy(attempts=1), ledger=ledger, parallel=1)
        assert [each.state for each in result.tickets] == ["landed", "waiting-human", "blocked-by-dep"]
        assert state(result, "b").code == "budget_spent"
        assert str(budget.raised) in result.failed["b"]
        assert "agent_crashed" not in kinds(repo, "b")
        assert "| attempt |" not in (evidence(repo, "b") / "autopsy.md").read_text()  # it has had none
        budget.raised.write_text("20\n")
        assert built(repo, tickets, workers, policy=Policy(attempts=1), ledger=ledger, parallel=1).failed == {}


def test_a_ticket_that_lands_after_all_is_no_failure_any_more(repo, tmp_path):
    """A bead that failed for the machine's sake is reopened with a reason when the run is resumed, and closed when it lands."""
    with Journal.open(Location.of(f"sqlite:///{tmp_path / 'journal.db'}")) as journal:
        ledger = Ledger(journal)
        tickets = [ticket("a", command=f"test ! -f a.txt || test -f {tmp_path}/mended || kill -9 $$"), ticket("b", "a")]
        assert set(built(repo, tickets, ledger=ledger).failed) == {"a", "b"}
        (tmp_path / "mended").touch()
        assert built(repo, tickets, ledger=ledger).failed == {}
        with ledger.reading() as connection:
            assert {bead.status for bead in queries.bead_rows(connection)} == {"closed"}
            moves = {row.reason for row in queries.event_rows(connection, bead_id="run-1:a")}
    assert "the run was resumed" in moves


def test_a_lock_that_a_worker_left_is_no_obstacle(repo, in_git):
    """A worker's git that was ended may leave its lock in the worktree; what it made lands nevertheless."""
    from pathlib import Path

    def deed(order):
        write_own_file(order)
        (Path(in_git(order.folder, "rev-parse", "--path-format=absolute", "--git-dir")) / "index.lock").touch()

    assert built(repo, [ticket("a")], Hands({"a": deed})).failed == {}


def test_a_project_may_have_artifacts_of_its_own(tmp_path, in_git):
    """New files land in a folder that has the name of ours, when the project keeps files there."""
    from tests.workflows.smithering.conftest import made_repo

    own = made_repo(tmp_path / "own", {"artifacts/kept.txt": "x\n"})
    result = built(own, [ticket("a", command="test -f artifacts/a.txt")], Hands({"a": writes("artifacts/a.txt", "x")}))
    assert result.failed == {}
    assert in_git(own, "show", f"{result.branch}:artifacts/a.txt") == "x"


def test_a_last_minute_commit_on_the_integration_branch_is_told(repo, in_git):
    """What a worker puts on the integration branch while nothing lands any more is not handed over as verified."""

    def deed(order):
        if order.attempt == 2:
            head = in_git(repo, "commit-tree", "main^{tree}", "-p", "smithering/run-1/integration", "-m", "smuggled")
            in_git(repo, "update-ref", "refs/heads/smithering/run-1/integration", head)
            raise SmitheringError("gone")

    with pytest.raises(SmitheringError, match="somebody else moved"):
        built(repo, [ticket("a", command="false")], Hands({"a": deed}), policy=Policy(attempts=2))


def test_the_index_says_how_every_ticket_stands(repo):
    """The index is read back as it was written, and a damaged one says so."""
    result = built(repo, [ticket("a"), ticket("b", "a")])
    artifacts = repo.parent / "artifacts"
    assert tuple(read_index(artifacts, "run-1")) == result.tickets
    assert read_index(artifacts, "another") == []
    evidence(repo, "index.json").write_text("{")
    with pytest.raises(SmitheringError, match="not an index"):
        read_index(artifacts, "run-1")


def test_two_runs_in_one_repository_do_not_touch_each_other(repo, in_git):
    """Runs at the same time have branches, worktrees and evidence of their own."""
    from concurrent.futures import ThreadPoolExecutor

    tickets = [ticket(f"t-{number}") for number in range(4)]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda run: built(repo, tickets, run_id=run), ("one", "two"))
    assert one.failed == two.failed == {}
    assert not set(one.landed.values()) & set(two.landed.values())
    assert is_tidy(repo, in_git)
