"""What lies behind a failure: the value, where it came from, and what changed since the workflow last worked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.history.lineage import find_origin
from smithers_nb.diagnosis.history.origins import in_hindsight, is_unexplained
from smithers_nb.model.rows import AttemptRow, NodeRow, OutputRow, QuestionRow, RunRow, TaskRow
from smithers_nb.model.verdict import Classification, Link
from smithers_nb.sources.snapshot import Snapshot
from tests.diagnosis.conftest import NOW, LiteralSource, make


def output(node, row, run="r"):
    """Make what a node produced, or with the node `input` the input of a run."""
    return make(OutputRow, run_id=run, node_id=node, row=json.dumps(row))


def failed(message, name="TypeError", node="sum", run="r", stack=""):
    """Make a failed attempt with its error."""
    error = json.dumps({"name": name, "message": message, "stack": stack})
    return make(
        AttemptRow,
        run_id=run,
        node_id=node,
        attempt=1,
        state="failed",
        kind="compute",
        finished_at=NOW,
        error=error,
        error_message=message,
        error_name=name,
    )


def a_run(run="r", status="failed", at=NOW, **values):
    """Make a run of the workflow `orders`."""
    return make(
        RunRow,
        **{"run_id": run, "status": status, "state": status, "workflow": "orders", "started_at": at, "workflow_hash": "h1", **values},
    )


def origin(*rows, run="r", line="", source=""):
    """Find the origin of the failure of a run made of rows."""
    snapshot = Snapshot(LiteralSource([*rows]), run)
    failure = find_failure(snapshot)
    return find_origin(snapshot, failure, classify(failure), line=line, source=source)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("null is not an object (evaluating 'd[\"fetch-orders\"].lines.filter')", "TypeError"),
        ("undefined is not an object (evaluating 'deps.fetchOrders.lines.map')", "TypeError"),
        ("deps.fetchOrders.lines.map is not a function", "TypeError"),
        ('deps["fetch-orders"].lines is not iterable', "TypeError"),
        ("Cannot destructure property 'first' of 'deps.fetchOrders.lines' as it is undefined.", "TypeError"),
    ],
)
def test_a_field_that_an_upstream_output_lacks(message, name):
    """Whatever engine says it, the upstream node and its field are named, with what the field was before and what input changed."""
    rows = [
        a_run("good", "finished", NOW - 1000),
        output("fetch-orders", {"lines": [1], "n": 1}, "good"),
        output("input", {"source": "api", "day": "2026-11-10"}, "good"),
        a_run(),
        output("fetch-orders", {"lines": None, "n": 0}),
        output("input", {"source": "legacy", "day": "2026-11-19"}),
        failed(message, name),
    ]
    found = origin(*rows)
    assert found.kind == "upstream"
    assert found.producer == "fetch-orders"
    assert found.text == (
        "`sum` reads `lines` of `fetch-orders`, which is null in this run; in the last good run (good) it was a list; "
        "the input changed from `source=api` to `source=legacy`"
    )
    assert found.good_input == {"source": "api"}


@pytest.mark.parametrize(
    ("line", "message", "name"),
    [
        ("  const n = deps.load.rows.map((r) => r.id)", "Cannot read properties of undefined (reading 'map')", "TypeError"),
        ("    total = load['rows'].items()", "'NoneType' object has no attribute 'items'", "AttributeError"),
    ],
)
def test_the_line_that_threw_tells_the_path(line, message, name):
    """Where the message names only what was read, the line of source says of what."""
    found = origin(a_run(), output("load", {"rows": None}), failed(message, name), line=line)
    assert found.text == "`sum` reads `rows` of `load`, which is null in this run"


def test_an_input_that_was_not_given_has_no_value():
    """A field of the input that only one of the runs has is told as one that was not given."""
    good = [a_run("good", "finished", NOW - 1000), output("load", {"rows": [1]}, "good"), output("input", {"day": "1"}, "good")]
    found = origin(
        *good,
        a_run(),
        output("load", {"rows": None}),
        output("input", {"source": "legacy", "day": "1"}),
        failed("null is not an object (evaluating 'deps.load.rows.filter')", "TypeError"),
    )
    assert found.text.endswith("; the input changed from no `source` to `source=legacy`")


def test_a_near_miss_of_a_name():
    """A field that was renamed upstream is told with the name that is there now."""
    rows = [a_run(), output("load", {"rows": [1]}), failed("undefined is not an object (evaluating 'd.load.row.length')")]
    assert "it has `rows` instead" in origin(*rows).text
    rows = [a_run(), output("load", {"n": 1}), failed("undefined is not an object (evaluating 'd.load.lines.length')")]
    assert "instead" not in origin(*rows).text


def test_a_tolerated_failure_whose_output_is_read():
    """A task that may fail leaves no output, so who reads it fails for its reason."""
    rows = [
        a_run(),
        make(TaskRow, run_id="r", node_id="feed", props=json.dumps({"continueOnFail": "true"}), depends_on="[]"),
        make(TaskRow, run_id="r", node_id="sum", props="{}", depends_on='["feed"]'),
        failed("connect ECONNREFUSED 10.0.0.7:80", node="feed"),
        failed("undefined is not an object (evaluating 'a.rows')"),
        make(NodeRow, run_id="r", node_id="feed", state="failed"),
        make(NodeRow, run_id="r", node_id="sum", state="failed"),
    ]
    found = origin(*rows)
    assert (found.kind, found.producer) == ("tolerated", "feed")
    assert "ECONNREFUSED 10.0.0.7:80" in found.text


def test_a_value_is_followed_to_the_answer_it_came_from():
    """What a person answered is the origin, although an output repeats it."""
    rows = [
        a_run(),
        make(
            QuestionRow,
            run_id="r",
            request_id="q",
            node_id="pick",
            status="answered",
            answer='{"path": "/mnt/in/orders-11.csv"}',
            answered_by="Ana",
        ),
        output("pick", {"path": "/mnt/in/orders-11.csv"}),
        failed("ENOENT: no such file or directory, open '/mnt/in/orders-11.csv'", "Error"),
    ]
    found = origin(*rows)
    assert (found.kind, found.producer) == ("answer", "pick")
    assert "the answer of Ana to `pick`" in found.text


def test_a_value_that_is_everywhere_is_no_origin():
    """Short and ordinary words of an error are found in any input, which says nothing."""
    rows = [a_run(), output("input", {"mode": "open", "n": 2, "name": "file"}), failed("cannot open file 2 of list", "Error")]
    assert origin(*rows) is None


def test_only_the_input_changed():
    """With the same code, what changed in the input is the origin, and the good values are known."""
    rows = [
        a_run("good", "finished", NOW - 1000),
        output("input", {"rows": 12}, "good"),
        a_run(),
        output("input", {"rows": -3}),
        failed("Invalid array length", "RangeError"),
    ]
    found = origin(*rows)
    assert (found.kind, found.good_input) == ("input", {"rows": 12})
    assert "input.rows from 12 to -3" in found.text


def test_nothing_changed():
    """With the same code and the same input, what changed lies outside."""
    rows = [
        a_run("good", "finished", NOW - 1000),
        output("input", {"rows": 12}, "good"),
        a_run(),
        output("input", {"rows": 12}),
        failed("the sum does not add up", "Error", stack="Error: x\n    at children (/srv/ws/a/flows/a.tsx:8:100)"),
    ]
    assert origin(*rows).kind == "outside"


def test_a_server_that_is_down_is_not_blamed_on_the_input():
    """What changed says nothing about a failure of the machine or the network."""
    rows = [
        a_run("good", "finished", NOW - 1000),
        output("input", {"rows": 12}, "good"),
        a_run(),
        output("input", {"rows": 13}),
        failed("connect ECONNREFUSED 10.0.0.7:80", "Error"),
    ]
    assert origin(*rows) is None


def test_a_child_beside_its_sibling():
    """A child run that fails where its sibling worked is told by its input, and where that came from."""
    child, sibling = "r:child:invite-1:0", "r:child:invite-0:0"
    wrapper = json.dumps({"code": "WORKFLOW_EXECUTION_FAILED", "message": "Subflow invite-1 failed", "details": {"childRunId": child}})
    rows = [
        a_run(),
        output("read", {"emails": ["ana@x.io", "bo.x.io"]}),
        make(AttemptRow, run_id="r", node_id="invite-1", attempt=1, state="failed", finished_at=NOW, error=wrapper),
        a_run(child, parent_run_id="r", workflow="invite"),
        a_run(sibling, "finished", NOW - 5, parent_run_id="r", workflow="invite"),
        output("input", {"email": "bo.x.io"}, child),
        output("input", {"email": "ana@x.io"}, sibling),
        failed("undefined is not an object (evaluating 'host.toUpperCase')", node="send", run=child),
    ]
    found = origin(*rows)
    assert "email=bo.x.io, which is from `emails` of `read`" in found.text
    assert "had email=ana@x.io" in found.text


@pytest.mark.parametrize(
    ("line", "message", "name", "text"),
    [
        (
            "return new Array(d.guess.count).fill(0)",
            "Array length must be a positive integer of safe magnitude",
            "RangeError",
            "`count` of `guess`, which is `-4`",
        ),
        (
            "return JSON.parse(d['guess'].body).n",
            "JSON Parse error: Unrecognized token '<'",
            "SyntaxError",
            "`body` of `guess`, which is `<h1>502</h1>`",
        ),
        ("", 'd["guess"].tags.join is not a function', "TypeError", "`tags` of `guess`, which is `a, b`"),
    ],
)
def test_the_value_that_the_line_which_threw_reads(line, message, name, text):
    """Where an error names no value, the one upstream value that the line reads is told."""
    rows = [a_run(), output("guess", {"count": -4, "body": "<h1>502</h1>", "tags": "a, b"}), failed(message, name)]
    assert origin(*rows, line=line).text == f"`sum` reads {text} in this run"


@pytest.mark.parametrize(
    ("line", "message", "name"),
    [
        ("return f(d.guess.count, d.guess.body)", "bad value", "RangeError"),
        ("return f(d.guess.count)", "no such customer", "Error"),
        ("return f(d.guess.count, x.y.z)", "undefined is not an object (evaluating 'x.y.z')", "TypeError"),
    ],
)
def test_a_value_that_need_not_be_the_cause_is_not_told(line, message, name):
    """Two values on one line, an error in the author's words, and one that names another value leave it open."""
    assert origin(a_run(), output("guess", {"count": -4, "body": "b"}), failed(message, name), line=line) is None


def test_an_imported_module_was_edited():
    """The hash of the whole differs and that of the workflow's own file does not: it was an import."""
    own = json.dumps({"__smithersDurability": {"entryWorkflowHash": "e1"}})
    rows = [a_run("good", "finished", NOW - 1000, config=own), a_run(workflow_hash="h2", config=own), failed("vat('uk').rate is odd")]
    assert origin(*rows).text == "since the last good run (good), a module that the workflow imports was edited (its own file is the same)"


@pytest.mark.parametrize(
    ("message", "name", "verdict"),
    [
        ("vat('uk').rate is not a function", "TypeError", ("workflow-bug", "medium")),
        ("the ledger does not add up", "Error", ("environment", "low")),
    ],
)
def test_nothing_changed_makes_less_sure(message, name, verdict):
    """Code that finished with the same input before is not surely at fault, and words that tell nothing are sooner the environment's."""
    stack = f"{name}: {message}\n    at children (/srv/ws/orders/orders.tsx:8:3)"
    snapshot = Snapshot(LiteralSource([a_run("good", "finished", NOW - 1000), a_run(), failed(message, name, stack=stack)]), "r")
    failure = find_failure(snapshot)
    first = classify(failure)
    found = in_hindsight(first, find_origin(snapshot, failure, first))
    assert (found.failure_class, found.confidence) == verdict
    assert in_hindsight(first, None) == first


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        ('const a = ctx.outputMaybe(outputs.feed, { nodeId: "load" }) as any;', "a.lines.length"),
        ('const { lines } = d["load"];', "lines.length"),
        ('const { lines: all } = d["load"];', "all.length"),
        ('const d = ctx.latest("feed", "load"); const l = d!.lines;', "l.length"),
        ('const x = (d["load"] as any).lines ?? undefined;', "x.length"),
    ],
)
def test_a_name_is_what_it_was_declared_as(declared, path):
    """A constant of the workflow is followed to the output that it stands for."""
    line = f"return {path}"
    rows = [a_run(), output("load", {"lines": None}), failed(f"undefined is not an object (evaluating '{path}')")]
    assert origin(*rows, line=line, source=f"{declared}\n{line}").text == "`sum` reads `lines` of `load`, which is null in this run"


def test_a_name_that_is_worked_out_stands_for_nothing():
    """What a function returns is no path, and a later declaration says nothing about an earlier line."""
    line = "return a.lines.length"
    rows = [a_run(), output("load", {"lines": None}), failed("undefined is not an object (evaluating 'a.lines.length')")]
    for source in (f"const a = parse(d.load);\n{line}", f'{line}\nconst a = d["load"];'):
        found = origin(*rows, line=line, source=source)
        assert found is None or "`a`" not in found.text


def test_a_value_is_followed_to_the_first_output_that_has_it():
    """An output that only hands a value on is on the way, not the origin."""
    rows = [
        a_run(),
        make(TaskRow, run_id="r", node_id="plan", props="{}", depends_on='["zero"]'),
        make(TaskRow, run_id="r", node_id="sum", props="{}", depends_on='["plan"]'),
        output("plan", {"depot": "WX-19"}),
        output("zero", {"site": "WX-19"}),
        failed("no route for depot WX-19", "RangeError"),
    ]
    found = origin(*rows)
    assert found.producer == "zero"
    assert "`site` of `zero`, by way of `depot` of `plan`" in found.text


def test_an_error_that_names_a_field_without_a_value():
    """The one field of that name which holds null is told; of two, none."""
    rows = [a_run(), output("load", {"rows": [{"sku": "B2", "qty": None}]}), failed("row B2: qty is not an integer")]
    assert origin(*rows).text == "the error of `sum` names `qty`, and `rows.qty` of `load` holds null"
    assert origin(*rows, output("more", {"qty": None})) is None


def test_a_missing_file_after_nothing_changed():
    """The environment's failures too are told apart from what the run is made of."""
    rows = [
        a_run("good", "finished", NOW - 1000),
        a_run(),
        failed("ENOENT: no such file or directory, open '/mnt/cards.json'", "Error"),
    ]
    assert origin(*rows).kind == "outside"


ONE_LINE = (
    '<Task id="load" output={o.a}>{load}</Task><Task id="sum" output={o.b} deps={{ up: o.a }} needs={{ up: "load" }}>'
    "{async (d: any) => (%s)}</Task>"
)


@pytest.mark.parametrize(
    ("code", "message", "name", "row", "told"),
    [
        ("WEIGHT[d.up.status].points", "undefined is not an object (evaluating 'WEIGHT[d.up.status].points')", "TypeError",
         {"status": "OPEN"}, "reads `status` of `load`, which is `OPEN`"),
        ("d.up.rows[d.up.n].sku", "undefined is not an object (evaluating 'd.up.rows[d.up.n].sku')", "TypeError",
         {"n": 1, "rows": [{"sku": "a"}]}, "reads `rows` of `load`, which has 1 entry"),
        ("d.up.rows[0].sku", "undefined is not an object (evaluating 'd.up.rows[0].sku')", "TypeError",
         {"rows": []}, "reads `rows` of `load`, which is an empty list"),
        ("new Array(d.up.pages)", "Array length must be a positive integer of safe magnitude.", "RangeError",
         {"pages": -2}, "reads `pages` of `load`, which is `-2`"),
        ("money(d.up.amount, d.up.currency)", "currency is not a well-formed currency code", "RangeError",
         {"amount": 7, "currency": "EURO"}, "reads `currency` of `load`, which is `EURO`"),
    ],
)  # fmt: skip
def test_a_dependency_by_another_name(code, message, name, row, told):
    """`needs` says which task a dependency is of, also where the whole workflow stands in one line."""
    line = ONE_LINE % code
    found = origin(a_run(), output("load", row), failed(message, name), line=line, source=line)
    assert found is not None
    assert told in found.text


def test_a_dependency_without_the_source():
    """The only task that the failing one waits for is meant, where the names lead to one of its fields and the text is not there."""
    waits = make(TaskRow, run_id="r", node_id="sum", depends_on='["load"]')
    found = origin(a_run(), waits, output("load", {"rows": []}), failed("undefined is not an object (evaluating 'd.up.rows[0].sku')"))
    assert found is not None
    assert "`rows` of `load`, which is an empty list" in found.text


def test_a_constant_of_the_workflow_is_no_output():
    """A name that the workflow declares itself is not taken for a field of an output."""
    waits = make(TaskRow, run_id="r", node_id="sum", depends_on='["load"]')
    source = "const own = { rows: [] };\n" + ONE_LINE % "own.rows[0].sku"
    error = failed("undefined is not an object (evaluating 'own.rows[0].sku')")
    assert origin(a_run(), waits, output("load", {"rows": []}), error, line=source.splitlines()[1], source=source) is None


def test_a_value_that_is_passed_on_into_a_stricter_schema():
    """Where a task's own output is refused, the one upstream value that it reads is told, and of many the one that is no number."""
    source = ONE_LINE % "{ level: d.up.severity }"
    refused = 'Task output failed validation for b: level: Invalid option: expected one of "low"|"high"'
    error = failed(refused, "SmithersError")._replace(error=json.dumps({"code": "INVALID_OUTPUT", "message": refused}))
    found = origin(a_run(), output("load", {"severity": "critical"}), error, source=source)
    assert found is not None
    assert "`severity` of `load`, which is `critical`" in found.text
    waits = make(TaskRow, run_id="r", node_id="sum", depends_on='["load"]')
    source = ONE_LINE % "d.up.items.reduce((a, i) => a + Number(i.price), 0)"
    nan = failed("total: expected number, received NaN")._replace(
        error=json.dumps({"code": "INVALID_OUTPUT", "message": "total: expected number, received NaN"})
    )
    found = origin(a_run(), waits, output("load", {"items": [{"price": "12.5"}, {"price": "n/a"}]}), nan, source=source)
    assert found is not None
    assert "`items.price` of `load`, which is `n/a`" in found.text


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"score": 0.62}, "in its last round `score` of `grade` was `0.62`, as in each of its 2 rounds"),
        ({"points": 3}, "reads `score` of `grade`, which it does not have in this run"),
    ],
)
def test_a_loop_that_uses_up_its_rounds(row, told):
    """What the condition of a loop reads is told with its last value, or that its task does not give it."""
    source = (
        'const last = ctx.latest("r", "grade");\n'
        '<Loop id="polish" until={(last?.score ?? 0) >= 0.8} maxIterations={2}><Task id="grade">{f}</Task></Loop>'
    )
    error = json.dumps({"code": "RALPH_MAX_REACHED", "message": "Ralph polish reached maxIterations 2"})
    rounds = [output("grade", row)._replace(iteration=at) for at in range(2)]
    found = origin(a_run(error=error, error_message="Ralph polish reached maxIterations 2"), *rounds, source=source)
    assert found is not None
    assert "the loop goes on until `(last?.score ?? 0) >= 0.8`" in found.text
    assert told in found.text


def test_a_value_that_an_upstream_list_has_twice():
    """Where a database refuses a row, the upstream value that stands in the list twice is told."""
    waits = make(TaskRow, run_id="r", node_id="sum", depends_on='["load"]')
    rows = {"rows": [{"email": "a@x.io"}, {"email": "b@x.io"}, {"email": "a@x.io"}]}
    found = origin(a_run(), waits, output("load", rows), failed("UNIQUE constraint failed: users.email", "SQLiteError"))
    assert found is not None
    assert "`rows.email` of `load` has `a@x.io` 2 times" in found.text


def test_code_that_fails_over_a_value_of_which_nothing_is_known():
    """A verdict is not sure where code fails over a value that it got and no row shows which; without upstream it may be."""
    waits = make(TaskRow, run_id="r", node_id="sum", depends_on='["load"]')
    error = failed("undefined is not an object (evaluating 'cart.total.net')")
    for rows, is_open in (((waits, output("load", {"n": 1})), True), ((), False)):
        snapshot = Snapshot(LiteralSource([a_run(), *rows, error]), "r")
        failure = find_failure(snapshot)
        assert is_unexplained(snapshot, failure, None) is is_open
        returned = replace(failure, chain=(Link(code="DB_WRITE_FAILED", message="upsert output sum"), *failure.chain))
        assert not is_unexplained(snapshot, returned, None), "a value that the task returned is its own"
    sure = Classification(failure_class="workflow-bug", confidence="high", rule="r", reason="", suggestion="edit-workflow-and-reset")
    assert in_hindsight(sure, None, is_unexplained=True).confidence == "medium"
