"""Stages run once and keep what they made; gates and questions let nobody pass who was not let pass."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import types
from contextlib import suppress

import nbformat
import pytest
import sqlalchemy as sa
from pydantic import BaseModel, Field, field_validator

from smithers_nb.engine import control
from smithers_nb.engine.journal import Journal, leases, records
from smithers_nb.engine.journal.schema import attempts, events, nodes, outputs, questions, runs
from smithers_nb.engine.location import Location
from smithers_nb.engine.stages import Parked, ask, context, gate, stage
from smithers_nb.errors import ControlRefused, JournalUnusable, LeaseLost, ParameterError, StageError
from tests.support.durable import Project, effect

RUN = "run-1"


class Counted(BaseModel):
    """What a stage of these tests gives."""

    n: int
    name: str = Field(default="none", alias="theName")


class Run:
    """A run whose notebook is this test: `again` begins its next execution."""

    def __init__(self, location, monkeypatch, **config):
        self.location = location
        self.journal = Journal.open(location)
        self.monkeypatch = monkeypatch
        with self.journal.writing() as connection:
            records.create_run(connection, records.NewRun(RUN, "job", None, None, {}, {"rootDir": str(location.root), **config}))
        self.again()

    def again(self):
        """Begin the next execution, as another kernel with another owner."""
        owner = leases.new_owner()
        leases.register(self.journal, owner)
        with self.journal.writing(RUN) as connection:
            connection.execute(runs.update().values(runtime_owner_id=owner))
        for name, value in ((context.RUN, RUN), (context.JOURNAL, self.location.url), (context.OWNER, owner)):
            self.monkeypatch.setenv(name, value)

    def rows(self, table):
        with self.journal.reading() as connection:
            return connection.execute(sa.select(table).where(table.c.run_id == RUN)).all()

    def state(self, node_id):
        return {row.node_id: row.state for row in self.rows(nodes)}[node_id]

    def events(self):
        return [row.type for row in sorted(self.rows(events), key=lambda row: row.seq)]

    def error(self, attempt=-1):
        return json.loads(self.rows(attempts)[attempt].error_json)

    def decide(self, node_id, *, approved=True, note=None):
        control.decide(self.location, RUN, node_id, approved=approved, by="ann@here", note=note)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in its first execution."""
    begun = Run(Location.of(tmp_path), monkeypatch)
    yield begun
    begun.journal.close()


def test_a_model_is_found_whatever_the_parameters_are(run, tmp_path, monkeypatch):
    """Types of parameters that are imported for a type checker only do not hide what a function returns."""
    (tmp_path / "steps.py").write_text(
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nfrom tests.engine.stages.test_stages import Counted\n"
        "if TYPE_CHECKING:\n    from nowhere import Given\ndef count(given: Given) -> Counted:\n    return Counted(n=given)\n"
        "def other(given: Given) -> Given:\n    return given\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import steps  # type: ignore[import-not-found]  # made above

    assert stage("count", steps.count, 2).n == 2
    assert stage("bound", functools.partial(steps.other, 3)) == 3
    assert stage("other", steps.other, 4) == 4
    run.again()
    assert stage("count", steps.count, 5).n == 2
    assert {row.schema_name for row in run.rows(outputs) if row.node_id in ("count", "other")} == {"Counted", "json"}


def test_a_first_stage_does_not_mind_pydantic_on_its_way(run, monkeypatch):
    """A kernel imports pydantic in a thread while its first cell runs; a stage without a model needs nothing of it."""
    monkeypatch.setitem(sys.modules, "pydantic", types.ModuleType("pydantic"))

    def step() -> None:
        """Return nothing."""

    assert stage("first", step) is None
    assert run.state("first") == "finished"


class Calls(list):
    """Counts how often something was called."""

    def __call__(self, value):
        self.append(value)
        return value


def test_a_stage_runs_once_per_run(run):
    """A later execution gets what the first one made, whatever the function would give now."""
    calls = Calls()
    assert stage("count", calls, {"n": 1}) == {"n": 1}
    run.again()
    assert stage("count", calls, {"n": 2}) == {"n": 1}
    assert calls == [{"n": 1}]
    assert [(row.node_id, row.attempt, row.state) for row in run.rows(attempts)] == [("count", 1, "finished")]
    assert run.events() == ["RunCreated", "NodeStarted", "NodeFinished"]


def test_first_and_later_executions_get_the_same_value(run):
    """What comes back is what was kept, an equal value of the same type from the beginning."""

    def made() -> Counted:
        return Counted(n=1, theName="x")

    first = stage("plain", lambda: (1, None, {2: "two"})), stage("model", made), stage("typed", lambda: [3], schema=list[int])
    run.again()
    later = stage("plain", lambda: 0), stage("model", made), stage("typed", made, schema=list[int])
    assert first == later == ((1, None, {2: "two"}), Counted(n=1, theName="x"), [3])
    kept = {row.node_id: (row.schema_name, json.loads(row.row_json)) for row in run.rows(outputs)}
    assert kept["model"] == ("Counted", {"n": 1, "theName": "x"})
    assert kept["plain"][0] == "json"


def test_rounds_of_a_loop_are_kept_apart(run):
    """The same stage in several iterations keeps one output each."""
    assert [stage("round", lambda number=number: number * 10, iteration=number) for number in range(3)] == [0, 10, 20]
    run.again()
    assert stage("round", lambda: -1, iteration=2) == 20


@pytest.mark.parametrize(
    ("given", "said"),
    [(lambda: {"n": "many"}, "n: Input should be a valid integer"), (lambda: None, "it: Input should be"), (dict, "n: Field required")],
)
def test_an_output_that_does_not_fit_fails_the_stage(run, given, said):
    """Nothing is kept, and attempt and error say `INVALID_OUTPUT` with the field."""
    with pytest.raises(StageError) as caught:
        stage("count", given, schema=Counted)
    assert caught.value.code == "INVALID_OUTPUT"
    assert said in str(caught.value)
    assert (run.error()["code"], run.state("count"), len(run.rows(outputs))) == ("INVALID_OUTPUT", "failed", 1)  # the run's input


def test_what_cannot_be_kept_is_refused_with_the_way_out(run):
    """A stage that returns what no row can hold is told what to return instead."""
    with pytest.raises(StageError, match=r"what stage 'count' returned cannot be stored: it: a object cannot be stored; return"):
        stage("count", object)
    assert run.state("count") == "failed"


def test_an_output_that_cannot_be_read_back_is_refused(run):
    """A number that JSON has no word for is refused when it is made, not when it is needed again."""

    class Measured(BaseModel):
        value: float

    with pytest.raises(StageError, match="could not be read back"):
        stage("measure", lambda: Measured(value=float("nan")), schema=Measured)
    assert run.error()["code"] == "INVALID_OUTPUT"


def test_a_failed_stage_says_why_and_is_tried_again_later(run):
    """The reason has code, message, source and stack; the next execution runs the stage again."""

    class Busy(Exception):
        code = "SERVER_BUSY"

    def fails():
        raise Busy("come back later")

    with pytest.raises(Busy):
        stage("call", fails)
    error = run.error()
    assert (error["code"], error["message"], error["source"], error["name"]) == ("SERVER_BUSY", "come back later", "node:call", "Busy")
    assert "come back later" in error["stack"]
    run.again()
    assert stage("call", lambda: "fine") == "fine"
    assert [(row.attempt, row.state) for row in run.rows(attempts)] == [(1, "failed"), (2, "finished")]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError])
def test_a_stage_that_is_stopped_is_not_one_that_failed(run, stop):
    """An interrupt cancels the attempt and is raised on."""

    def stopped():
        raise stop

    with pytest.raises(stop):
        stage("long", stopped)
    assert (run.rows(attempts)[0].state, run.state("long")) == ("cancelled", "cancelled")


@pytest.mark.parametrize("code", [None, 0, 3, "no such file"])
def test_a_program_that_ends_itself_in_a_stage_has_failed(run, code):
    """What every click command does, whatever its exit code, is an error of the stage, and is tried again like any other."""
    tries = []

    def main():
        tries.append(1)
        sys.exit(code)

    with pytest.raises(StageError, match=r"stage 'main' called sys.exit\(.*\) instead of returning a value"):
        stage("main", main, retries=1, wait_s=0)
    assert (run.error()["code"], run.state("main"), len(tries)) == ("STAGE_EXITED", "failed", 2)


def test_an_error_nobody_can_print_has_a_reason_all_the_same(run):
    """An exception whose text fails is told by its class, and a text of megabytes is cut."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    class Long(Exception):
        def __str__(self):
            return "x" * 3_000_000

    for number, error in enumerate((Mute, Long)):
        with pytest.raises(error):
            stage(f"odd-{number}", lambda error=error: (_ for _ in ()).throw(error()))
    assert run.error(0)["message"] == "Mute without a message"
    assert len(run.rows(attempts)[1].error_json) < 60_000


def test_retries(run):
    """A stage is tried as often as asked for, each try an attempt, and the last failure counts."""
    calls = Calls()

    def flaky():
        calls(1)
        if len(calls) < 3:
            raise OSError("not yet")
        return "done"

    assert stage("flaky", flaky, retries=2, wait_s=0.01) == "done"
    assert [row.state for row in run.rows(attempts)] == ["failed", "failed", "finished"]
    with pytest.raises(OSError, match="never"):
        stage("hopeless", lambda: (_ for _ in ()).throw(OSError("never")), retries=1, wait_s=0.01)
    assert run.state("hopeless") == "failed"


@pytest.mark.parametrize("name", ["", "a/b", "../x", "input", "-x", "x" * 129, "a b", None, "a\n"])
def test_names_that_cannot_be_typed_are_refused(run, name):
    """Ids are checked before anything is written."""
    with pytest.raises(ParameterError):
        stage(name, lambda: 1)
    assert run.rows(nodes) == []


@pytest.mark.usefixtures("run")
def test_a_name_is_used_once_in_an_execution():
    """Two stages of one name would share one output, so the second is refused, also as a gate."""
    stage("twice", lambda: 1)
    with pytest.raises(ParameterError, match="used twice"):
        stage("twice", lambda: 2)
    with pytest.raises(ParameterError, match="used twice"):
        gate("twice", "Sure?")


def test_a_stage_is_not_called_like_a_cell(run):
    """A cell is a node of the run as well; a stage of its name would overwrite its attempts."""
    with run.journal.writing(RUN) as connection:
        records.start_attempt(connection, records.Node(RUN, "step"), kind="cell")
    with pytest.raises(ParameterError, match="id of a cell"):
        stage("step", lambda: 1)


def test_an_asynchronous_function_is_refused(run):
    """A coroutine that nobody awaits is told at once."""

    async def later():
        return 1

    with pytest.raises(ParameterError, match="asynchronous"):
        stage("later", later)
    assert run.rows(nodes) == []


@pytest.mark.parametrize("wrong", [lambda: stage(lambda: 1), lambda: stage("load"), lambda: stage("load", 3)])
def test_a_stage_without_a_function_says_how_it_is_written(run, wrong):
    """Who writes `@stage`, as other libraries have it, is told what to write here."""
    with pytest.raises(ParameterError, match=r"takes a name and a function: write `result = stage\("):
        wrong()
    assert run.rows(nodes) == []


def test_who_has_lost_the_run_writes_nothing(run):
    """An execution that another one has replaced can neither begin nor keep a stage."""
    old = os.environ[context.OWNER]

    def meanwhile():
        run.again()
        return 1

    with pytest.raises(LeaseLost):
        stage("slow", meanwhile)
    run.monkeypatch.setenv(context.OWNER, old)
    for call in (lambda: stage("next", lambda: 1), lambda: gate("ok", "Sure?"), lambda: ask("why", "Why?")):
        with pytest.raises(LeaseLost):
            call()
    assert [(row.node_id, row.state) for row in run.rows(attempts)] == [("slow", "in-progress")]
    assert [row.node_id for row in run.rows(outputs)] == ["input"]


def test_a_kept_output_of_another_schema_is_refused(run):
    """After an edit was accepted, an output that no longer fits is named, kept, and not silently made again; undoing the edit heals."""

    class Before(BaseModel):
        n: int

    class After(BaseModel):
        n: int
        m: int

    stage("count", lambda: {"n": 1}, schema=Before)
    run.again()
    with pytest.raises(ControlRefused) as caught:
        stage("count", lambda: {"n": 1, "m": 2}, schema=After)
    assert caught.value.code == "INVALID_OUTPUT"
    assert caught.value.hint.endswith(f"smithers-nb retry-task {RUN} count")
    assert (run.error()["code"], run.state("count")) == ("INVALID_OUTPUT", "failed")
    run.again()
    assert stage("count", lambda: {"n": 9}, schema=Before).n == 1
    assert run.state("count") == "finished"


def test_a_changed_schema_is_refused_in_a_hot_run(tmp_path, monkeypatch):
    """In hot mode also a change that the kept output would fit is refused, and the log says so; wording is no change."""
    run = Run(Location.of(tmp_path), monkeypatch, hot=True)

    def made(model):
        return stage("count", lambda: {"n": 1}, schema=model)

    class Counted(BaseModel):
        n: int

    made(Counted)

    class Reworded(BaseModel):
        """Another description."""

        n: int = Field(description="how many")

    Reworded.__name__ = "Counted"
    run.again()
    assert made(Reworded).n == 1

    class Wider(BaseModel):
        n: int
        m: int = 0

    run.again()
    with pytest.raises(ControlRefused) as caught:
        made(Wider)
    assert caught.value.code == run.error()["code"] == "SCHEMA_CHANGE_HOT"
    assert "WorkflowReloadUnsafe" in run.events()
    run.journal.close()


def test_an_undecided_gate_parks(run):
    """Nobody passes: not the notebook's `except Exception`, not the next execution, not the one after."""
    for _ in range(3):
        with pytest.raises(Parked) as caught, suppress(Exception):  # what a notebook may do
            gate("deploy", "Deploy?", "All green.", {"version": 2})
        run.again()
    assert json.loads(str(caught.value)) == {"node_id": "deploy", "status": "waiting-approval"}
    assert caught.value._render_traceback_() == ["“deploy” waits for a person's decision."]
    assert run.events().count("ApprovalRequested") == 1
    assert run.state("deploy") == "waiting-approval"


@pytest.mark.parametrize("approved", [True, False])
def test_a_decided_gate_says_who_when_and_why(run, approved):
    """The next execution gets the decision; a denial is the caller's to act upon."""
    with pytest.raises(Parked):
        gate("deploy", "Deploy?")
    run.decide("deploy", approved=approved, note="because")
    run.again()
    decision = gate("deploy", "Deploy?")
    assert (decision.approved, decision.note, decision.decided_by) == (approved, "because", "ann@here")
    assert decision.decided_at > 0


def test_a_denial_that_ends_the_run(run):
    """With `on_deny="fail"` the node is failed and code, person and note are told."""
    with pytest.raises(Parked):
        gate("deploy", "Deploy?", on_deny="fail")
    run.decide("deploy", approved=False, note="too late today")
    run.again()
    with pytest.raises(StageError) as caught:
        gate("deploy", "Deploy?", on_deny="fail")
    assert caught.value.code == "APPROVAL_DENIED"
    assert str(caught.value) == "ann@here denied 'deploy': too late today"
    assert run.state("deploy") == "failed"
    told = [json.loads(row.payload_json) for row in run.rows(events) if row.type == "NodeFailed"]
    assert told[0]["error"]["code"] == "APPROVAL_DENIED"


def test_a_gate_within_a_stage_cancels_the_attempt(run):
    """A stage that waits for a person is begun again after the decision; it has not failed."""

    def step():
        return gate("inside", "Sure?").approved

    with pytest.raises(Parked):
        stage("outer", step)
    assert run.rows(attempts)[0].state == "cancelled"
    run.decide("inside")
    run.again()
    assert stage("outer", step) is True


@pytest.mark.parametrize(
    ("schema", "options", "kind", "answer", "value"),
    [
        (None, None, "ask", "text", "text"),
        (bool, None, "confirm", False, False),
        (int, None, "json", 3, 3),
        (list[str], None, "json", ["a"], ["a"]),
        (None, ["red", "green"], "select", "green", "green"),
        (Counted, None, "json", {"n": 1, "theName": "x"}, Counted(n=1, theName="x")),
    ],
)
def test_questions(run, schema, options, kind, answer, value):  # noqa: PLR0913, PLR0917  # one row per kind of question
    """A question waits, is listed with its kind, and gives the answer in the type that was asked for."""
    with pytest.raises(Parked) as caught:
        ask("q", "What?", schema, options)
    request_id = caught.value.request["request_id"]
    assert json.loads(str(caught.value))["status"] == "waiting-event"
    assert run.rows(questions)[0].kind == kind
    control.answer(run.location, request_id, answer, by="ann")
    run.again()
    assert ask("q", "What?", schema, options) == value


def test_an_answer_that_cannot_be_used_is_asked_for_again(run):
    """What only the notebook's own check refuses is not consumed: the question waits again and says why."""

    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n):
            if n % 2:
                raise ValueError("must be even")
            return n

    with pytest.raises(Parked) as caught:
        ask("q", "An even number?", Even)
    request_id = caught.value.request["request_id"]
    control.answer(run.location, request_id, {"n": 3}, by="ann")
    run.again()
    with pytest.raises(Parked) as caught:
        ask("q", "An even number?", Even)
    assert "The answer of ann could not be used: n: Value error, must be even" in caught.value.request["prompt"]
    assert (run.state("q"), run.rows(questions)[0].status) == ("waiting-event", "pending")
    control.answer(run.location, request_id, {"n": 4}, by="ben")
    run.again()
    assert ask("q", "An even number?", Even).n == 4


def test_an_answer_of_another_form_is_refused_field_by_field(run):
    """Whoever answers learns of every field that does not fit, and the question goes on waiting."""

    class Order(BaseModel):
        n: int
        name: str

    with pytest.raises(Parked) as caught:
        ask("q", "What?", Order)
    with pytest.raises(ParameterError) as refused:
        control.answer(run.location, caught.value.request["request_id"], {"n": "x", "name": 1}, by="ann")
    assert str(refused.value).splitlines() == ["n: 'x' is not of type 'integer'", "name: 1 is not of type 'string'"]
    assert run.rows(questions)[0].status == "pending"


@pytest.mark.usefixtures("run")
def test_a_question_is_free_or_a_choice():
    """Schema and options exclude each other, and there is something to choose from."""
    for arguments in ((int, ["a"]), (None, [])):
        with pytest.raises(ParameterError, match="give a schema, or options"):
            ask("q", "What?", *arguments)


def test_an_environment_that_is_half_set_is_told(run):
    """A run without a journal or an owner is a mistake of whoever set it, never a run by hand."""
    run.monkeypatch.delenv(context.OWNER)
    with pytest.raises(ParameterError, match="SMITHERS_NB_OWNER"):
        stage("x", lambda: 1)


def test_a_journal_that_cannot_be_written_stops_the_stage_before_it_acts(tmp_path, monkeypatch):
    """Without a journal nothing is done that could not be remembered."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".smithers_nb").write_text("in the way")
    calls = Calls()
    with pytest.raises(JournalUnusable):
        stage("x", calls, 1)
    assert calls == []


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """A kernel that nobody executes durably, in an empty project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".smithers_nb").mkdir()
    monkeypatch.setattr(context, "_by_hand", {})
    yield Location.of(tmp_path)
    for execution in context._by_hand.values():
        context._end(execution, os.getpid())
        execution.journal.close()


@pytest.mark.usefixtures("by_hand")
def test_outside_of_an_execution_a_run_is_begun_by_itself():
    """A person's kernel gets one run, in which a cell may be run as often as they like, and which ends with the kernel."""
    calls = Calls()
    assert stage("count", calls, 1) == 1
    assert stage("count", calls, 2) == 1
    assert calls == [1]
    execution = context.lab_run()
    with execution.journal.reading() as connection:
        row = connection.execute(sa.select(runs)).one()
    assert (row.run_id, row.status, json.loads(row.config_json)["lab"]) == (execution.run_id, "running", True)
    assert row.run_id.startswith("lab-")
    context._end(execution, os.getpid())
    with execution.journal.reading() as connection:
        assert connection.execute(sa.select(runs.c.status)).scalar() == "finished"


def test_outside_of_an_execution_a_gate_waits_for_a_person_as_well(by_hand):
    """Running the cell again does not pass it; a decision from elsewhere does, and starts no execution."""
    for _ in range(2):
        with pytest.raises(Parked):
            gate("deploy", "Deploy?")
    said = control.decide(by_hand, context.lab_run().run_id, approved=True, by="ann")
    assert not said.continues
    assert gate("deploy", "Deploy?").decided_by == "ann"


def test_what_was_run_by_hand_is_not_resumed(by_hand):
    """A kernel's own run ended with the kernel: no worker takes it over, and nobody is told that the notebook is gone."""
    with pytest.raises(Parked):
        gate("deploy", "Deploy?")
    execution = context.lab_run()
    context._end(execution, os.getpid())
    with pytest.raises(ControlRefused, match="cell by cell") as caught:
        control.resume(by_hand, execution.run_id)
    assert caught.value.code == "RUN_NOT_RESUMABLE"


_CRASHES = """
import os
from pathlib import Path
from smithers_nb import stage
from smithers_nb.engine.journal import records

def crash():
    if not Path("crashed").exists():
        Path("crashed").touch()
        os._exit(9)

def act():
    {before}
    with open("effects", "a") as file:
        file.write("done ")
    return 1

finish = records.finish_attempt
def finishing(*arguments, **options):
    {within}
    finish(*arguments, **options)
records.finish_attempt = finishing

stage("effect", act)
{after}
"""


@pytest.mark.parametrize(
    ("location", "times", "tries"),
    [("before", 1, ["failed", "finished"]), ("within", 2, ["failed", "finished"]), ("after", 1, ["finished"])],
)
@pytest.mark.slow
def test_a_kernel_that_dies_at_a_boundary(tmp_path, location, times, tries):
    """Its effect happens once, unless the kernel dies after it and before the commit: then it is done again (at least once)."""
    project = Project(Location.of(tmp_path))
    cell = _CRASHES.format(**{name: "crash()" if name == location else "pass" for name in ("before", "within", "after")})
    run_id = project.submit(cell)
    assert project.execute(run_id).status == "failed"
    assert project.error(run_id)["code"] == "KERNEL_DIED"
    assert project.execute(run_id).status == "finished"
    assert project.lines() == ["done"] * times
    assert [state for node_id, _, state in project.tries(run_id) if node_id == "effect"] == tries


@pytest.mark.slow
def test_a_notebook_waits_and_goes_on(tmp_path):
    """A real notebook parks at its gate with a card to read and no error in it; after the decision, what was done is not done again."""
    project = Project(Location.of(tmp_path))
    run_id = project.submit(
        f"from smithers_nb import stage, gate\ndef act():\n    {effect('once').replace(chr(10), chr(10) + '    ')}\nstage('act', act)",
        "gate('deploy', 'Deploy to production?', 'All checks are green.', {'version': '1.2'})",
        effect("after"),
    )
    waiting = project.execute(run_id)
    assert waiting.status == "waiting-approval"
    shown = [output for cell in nbformat.read(waiting.notebook, as_version=4).cells for output in cell.get("outputs", [])]
    assert not any(output.output_type == "error" for output in shown)
    card = shown[-1].data
    assert f"smithers-nb approve {run_id} --node deploy" in card["text/plain"]
    assert all(text in card["text/html"] for text in ("Deploy to production?", "All checks are green.", "1.2"))
    assert project.execute(run_id).status == "waiting-approval"
    control.decide(project.location, run_id, approved=True, by="ann", note="go")
    done = project.execute(run_id)
    assert done.status == "finished"
    assert project.lines() == ["once", "after"]
    assert "Approved by ann" in done.notebook.read_text()
    assert project.states(run_id)["deploy"] == "finished"


def test_the_run_fails_with_the_reason_of_its_stage(tmp_path):
    """Code and message of what failed in a stage are those of the run, and a stage that was retried with success is not blamed."""
    project = Project(Location.of(tmp_path))
    flaky = "tries = []\ndef flaky():\n    tries.append(1)\n    if len(tries) < 2: raise OSError('flaky')\n    return 1"
    run_id = project.submit(
        f"from smithers_nb import stage\n{flaky}\nstage('flaky', flaky, retries=1, wait_s=0.01)", "stage('bad', lambda: object())"
    )
    assert project.execute(run_id).status == "failed"
    error = project.error(run_id)
    assert (error["code"], error["source"]) == ("INVALID_OUTPUT", "node:bad")
