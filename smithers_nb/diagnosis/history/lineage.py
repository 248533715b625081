"""Where the bad value came from: what lies behind the place that found it wrong.

Gets the failure, the run it happened in with its parents, and the last good run of the workflow; looks for the origin in the order in
which it explains most: an upstream output that lacks what is read, a tolerated failure whose output is read, a value of the error that
stands in an answer, an input or an output, and at last what changed since the workflow last worked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.excerpt import abridged, telling
from smithers_nb.diagnosis.failure.expression import Access, failing_access, paths_in
from smithers_nb.diagnosis.failure.lacking import Lack, is_same, lacking, letters
from smithers_nb.diagnosis.failure.root_failure import upstream_of
from smithers_nb.diagnosis.failure.task_source import loop_condition, needs_of, task_text
from smithers_nb.diagnosis.history.good_frame import good_frame
from smithers_nb.diagnosis.history.known_values import known_values, runs_of
from smithers_nb.diagnosis.history.last_good import readable
from smithers_nb.diagnosis.history.origins import (
    FEW,
    HASH,
    Origin,
    Scene,
    also_changed,
    article,
    edited,
    good_input,
    listed,
    of_run,
)
from smithers_nb.diagnosis.history.since_good import compare_with_last_good
from smithers_nb.diagnosis.history.value_origins import (
    above,
    value_of_the_error,
    value_that_is_passed_on,
    value_that_is_read,
    value_that_repeats,
)
from smithers_nb.diagnosis.state.stagnation import stagnant_nodes
from smithers_nb.model.verdict import Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import redact_value, short_line
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Classification, Failure
    from smithers_nb.sources.snapshot import Snapshot

_JUDGED_BY_CHANGES: Final = frozenset({"workflow-bug", "unknown"})
_MAX_SAID: Final = 300
_MAX_VALUE: Final = 60
_LOOP: Final = re.compile(r"\bRalph (\S+) reached")
_NAME: Final = re.compile(r"(?<![\w./-])[A-Za-z_]\w{2,59}(?![\w./-])")
_MISSED: Final = re.compile(
    r"(?:no such file or directory|not found|cannot find|could not find)[^\n]{0,40}?[\"'`]([^\"'`\n]{3,300})[\"'`]", re.IGNORECASE
)


def find_origin(snapshot: Snapshot, failure: Failure, classification: Classification, *, line: str = "", source: str = "") -> Origin | None:
    """Find what lies behind a failure.

    Args:
        snapshot: The run that was asked about.
        failure: The failure that mattered, possibly in a child run.
        classification: Its class; what changed since the last good run says nothing about a server that is down.
        line: The line of source that threw, where it is known and the file is the one that ran.
        source: The text of that file, which tells what its names stand for.

    Raises:
        SourceVanished: The store is gone.
    """
    if failure.kind in {"denied", "none"} or not failure.chain:
        return None
    runs = runs_of(snapshot, failure)
    past = compare_with_last_good(runs[-1].source, runs[-1].run)
    own = task_text(source, failure.node_id)
    line = own.strip() if own and own.strip() in line else line  # a whole workflow may stand in one line
    before = source[: source.index(line) + len(line)] if line and line in source else source
    scene = Scene(failure, runs, None, past, known_values(runs, failure.node_id), line, before, source, needs_of(own))
    access = failing_access(failure.chain, line)
    scene = scene._replace(access=access.as_meant(scene.meant)) if access else scene
    finders = _OF_DATA if classification.failure_class in _JUDGED_BY_CHANGES else _OF_VALUES
    origin = next((origin for find in finders if (origin := find(scene))), None)
    return origin._replace(good_run=past.before.run.run_id) if origin and origin.good_input and past else origin


def _missing_field(scene: Scene) -> Origin | None:
    """An upstream output that lacks the field which the failing expression reads."""
    names = scene.access.all_names if scene.access else ()
    for at, name in enumerate(names):
        for output in scene.own.outputs:
            if output.node_id in {"input", scene.failure.node_id} or not is_same(name, logical_id(output.node_id)):
                continue
            found = lacking(as_object(output.row), names[at + 1 :])
            if found:
                ref = f"node:{output.node_id}/{output.iteration}"
                return _upstream(scene, output.node_id, found, Evidence(ref=ref, quote=found.field, note=found.words))
    return _missing_input(scene, names) or _missing_by_name(scene)


def _upstream(scene: Scene, node: str, lack: Lack, evidence: Evidence) -> Origin:
    text = f"{scene.reader} reads `{lack.field}` of `{node}`, {lack.words}"
    if lack.near:
        text += f"; it has `{lack.near}` instead"
    past = scene.past
    if past:
        was = past.before.shapes.get(logical_id(node), {}).get(lack.field)
        if was and was != "null":
            text += f"; in the last good run ({past.good}) it was {article(was)}"
        elif lack.near and past.before.shapes.get(logical_id(node), {}).get(lack.near) in {None, "null"}:
            text += f"; the last good run ({past.good}) had no `{lack.near}`"
    frame = good_frame(scene.own, evidence, scene.failure.node_id) if len(scene.runs) == 1 else None
    if frame is not None:
        text += "; every earlier answer of the agent in this run had it"
        return Origin(text, "upstream", (evidence, frame.evidence), node, good_frame=frame)
    return Origin(text + also_changed(scene), "upstream", (evidence,), node, good_input(scene))


def _missing_input(scene: Scene, names: tuple[str, ...]) -> Origin | None:
    """An input field that the failing expression reads and that was not given."""
    if "input" not in names:
        return None
    given = next((as_object(output.row) for output in scene.own.outputs if output.node_id == "input"), {})
    lack = lacking({key: value for key, value in given.items() if key != "payload"}, names[names.index("input") + 1 :])
    if lack is None:
        return None
    is_null = lack.words.startswith("which is null")
    text = f"{scene.reader} reads `{lack.field}` of the input, {lack.words if is_null else 'which was not given'}"
    text += f"; `{lack.near}` was" if lack.near else ""
    return Origin(text + also_changed(scene), "input", (of_run(scene, lack.field),), good_input=good_input(scene))


def _missing_by_name(scene: Scene) -> Origin | None:
    """A field that is null in just one upstream output or in the input, and by whose name the failing code calls the value."""
    if scene.access is None:
        return None
    wanted = {letters(name) for name in (*scene.access.names[-1:], *([] if scene.access.names else [scene.access.wanted]))} - {""}
    nulls = [known for known in scene.known if known.value is None and letters(known.field.rpartition(".")[2]) in wanted]
    nulls = [known for known in nulls if known.kind != "input" or known.ref == f"run:{scene.own.run.run_id}"]
    if len({(known.node, known.field) for known in nulls}) != 1:
        return None
    lack = nulls[0]
    if lack.kind == "upstream":
        evidence = Evidence(ref=lack.ref, quote=lack.field, note="null in this run")
        return _upstream(scene, lack.node, Lack(lack.field, "which is null in this run", ""), evidence)
    text = f"{scene.reader} reads {lack.place}, which is null in this run"
    return Origin(text + also_changed(scene), "input", (of_run(scene, lack.field),), good_input=good_input(scene))


def _tolerated(scene: Scene) -> Origin | None:
    """A failure that the workflow tolerates, whose output the failing code reads."""
    if scene.access is None or scene.failure.node_id is None:
        return None
    above = upstream_of(scene.own)(scene.failure.node_id)
    failed = _let_go(scene)
    named = [a for a in failed if any(is_same(name, logical_id(a.node_id)) for name in scene.access.all_names)]
    cause = next(iter(named or [a for a in failed if a.node_id in above] or failed), None)
    if cause is None:
        return None
    return _by_tolerated(cause, f"{scene.reader} reads the output of `{cause.node_id}`, which has none")


def _tolerated_file(scene: Scene) -> Origin | None:
    """A failure that the workflow tolerates, which names the very file that the failing task then misses."""
    paths = {str(scene.failure.details.get("path") or ""), *(m[1] for link in scene.failure.chain for m in _MISSED.finditer(link.message))}
    cause = next((a for a in _let_go(scene) for path in paths if "/" in path and path in (a.error_message or a.error or "")), None)
    if cause is None:
        return None
    path = max((path for path in paths if path in (cause.error_message or cause.error or "")), key=len)
    return _by_tolerated(cause, f"{scene.reader} misses `{path}`, which the error of `{cause.node_id}` names too")


def _let_go(scene: Scene) -> list[AttemptRow]:
    """List the failures of other tasks that the workflow tolerates."""
    return [
        a
        for a in scene.own.attempts
        if a.state == "failed" and scene.own.may_fail(a.node_id, a.iteration) and a.node_id != scene.failure.node_id
    ]


def _by_tolerated(cause: AttemptRow, what: str) -> Origin:
    error = telling(cause.error_message or "", 160) or "no message was recorded"
    text = f"{what}: `{cause.node_id}` failed ({error.rstrip('.')}), and `continueOnFail` let the run go on"
    ref = f"attempt:{cause.node_id}/{cause.iteration}/{cause.attempt}"
    return Origin(text, "tolerated", (Evidence(ref=ref, quote=error, note="tolerated"),), cause.node_id)


def _same_words(scene: Scene) -> Origin | None:
    """What a task of a loop said in each of its rounds, where the loop used them up."""
    if scene.failure.code != "RALPH_MAX_REACHED":
        return None
    said = next((node for node in stagnant_nodes(scene.own.outputs) if node.rejection), None)
    if said is None:
        return None
    words = short_line(said.rejection)
    text = f"`{said.node_id}` rejected the work of the loop {said.iterations} times in a row in the same words: {words}"
    evidence = Evidence(ref=f"output:{said.node_id}/{said.last_iteration}", quote=words, note="the same in every round")
    return Origin(text, "upstream", (evidence,), said.node_id)


def _until(scene: Scene) -> Origin | None:
    """What the condition of a loop reads, where the loop used up its rounds: a field that its task does not give, or its last value."""
    loop = _LOOP.search(scene.failure.message) if scene.failure.code == "RALPH_MAX_REACHED" else None
    condition = loop_condition(scene.whole, loop[1]) if loop else ""
    for names in map(scene.meant, paths_in(condition)):
        rows = [o for o in scene.own.outputs if names and o.node_id != "input" and is_same(names[0], logical_id(o.node_id))]
        if not rows or len(names) < len(("task", "field")):
            continue
        last = max(rows, key=lambda output: output.iteration)
        begun = f"the loop goes on until `{condition}`"
        ref = f"node:{last.node_id}/{last.iteration}"
        if lack := lacking(as_object(last.row), names[1:]):
            near = f"; it has `{lack.near}` instead" if lack.near else ""
            text = f"{begun}, and reads `{lack.field}` of `{last.node_id}`, {lack.words}{near}"
            return Origin(text, "upstream", (Evidence(ref=ref, quote=lack.field, note=lack.words),), last.node_id)
        values = [k.value for k in scene.known if k.node == last.node_id and k.field == ".".join(names[1:])]
        if values:
            shown = abridged(readable(redact_value({names[-1]: values[-1]})[names[-1]]) or "", _MAX_VALUE)
            same = f", as in each of its {len(values)} rounds" if len(values) > 1 and len(set(map(str, values))) == 1 else ""
            text = f"{begun}; in its last round `{names[-1]}` of `{last.node_id}` was `{shown}`{same}"
            return Origin(text, "upstream", (Evidence(ref=ref, quote=names[-1], note=f"is {shown}"),), last.node_id)
    return None


def _null_by_name(scene: Scene) -> Origin | None:
    """The one upstream field without a value whose name the error says."""
    if scene.access is not None:
        return None
    said = {word for link in scene.failure.chain for word in _NAME.findall(link.message[:_MAX_SAID])}
    nulls = {
        (known.node, known.field): known
        for known in scene.known
        if known.kind == "upstream" and known.value is None and known.field.rpartition(".")[2] in said
    }
    if len(nulls) != 1:
        return None
    (known,) = nulls.values()
    name = known.field.rpartition(".")[2]
    text = f"the error of {scene.reader} names `{name}`, and {known.place} holds null"
    evidence = Evidence(ref=known.ref, quote=name, note="null in this run")
    return Origin(text + also_changed(scene), "upstream", (evidence,), known.node)


def _refused_by_schema(scene: Scene) -> Origin | None:
    """A field that no upstream output has, read by a task whose own output its schema refuses."""
    if scene.failure.code != "INVALID_OUTPUT" or not scene.failure.node_id:
        return None
    task = task_text(scene.whole, scene.failure.node_id)
    for names in paths_in(task, len(task)):
        origin = _missing_field(scene._replace(access=Access(scene.meant(names), "")))
        if origin and "instead" in origin.text:
            return origin
    return None


def _child_input(scene: Scene) -> Origin | None:
    """The input of a child run whose sibling worked with the same code."""
    if len(scene.runs) == 1:
        return None
    own = [k for k in scene.known if k.ref == f"run:{scene.own.run.run_id}" and k.value not in {None, ""}][:FEW]
    if not own:
        return None
    given = ", ".join(f"{k.field}={readable(redact_value({k.field: k.value})[k.field])}" for k in own)
    text = f"child run {scene.own.run.run_id} was started with the input {given}{above(scene, str(own[0].value))}"
    changed = {change.what.removeprefix("input."): change for change in scene.past.input_changes} if scene.past else {}
    before = [f"{k.field}={changed[k.field].before}" for k in own if k.field in changed and changed[k.field].before]
    if scene.past and before:
        text += f"; {scene.past.good}, which finished, had {', '.join(before)}"
    return Origin(text, "input", (of_run(scene, str(own[0].value)),))


def _changed(scene: Scene) -> Origin | None:
    """What differs from the last good run, where nothing in the error points anywhere."""
    past = scene.past
    if past is None:
        return None
    where = f"since the last good run ({past.good})"
    if outside := _nothing_changed(scene):
        return outside
    inputs = past.input_changes
    others = [change for change in past.changes if not change.what.startswith(("input.", "duration of ", "configuration."))]
    if inputs and past.is_same_code:
        only = "only the input" if not others else "the input"
        evidence = (of_run(scene, inputs[0].after or inputs[0].what),)
        return Origin(f"{only} has changed {where}: {listed(inputs)}", "input", evidence, good_input=good_input(scene))
    told = [change for change in (*others, *inputs) if change.after is not None or change.before is not None]
    text_edited = [edited(past)] if any(change.what == HASH for change in told) else []
    rest = [change for change in told if change.what != HASH]
    text = ", and ".join([*text_edited, *([f"this changed: {listed(rest)}"] if rest else [])])
    return Origin(f"{where}, {text}", "changed", (of_run(scene, scene.own.run.status),)) if told else None


def _nothing_changed(scene: Scene) -> Origin | None:
    """That nothing of what a run is made of differs from the last good run."""
    if scene.past is None or not scene.past.is_unchanged:
        return None
    text = f"nothing of the workflow, its input or the revision has changed since the last good run ({scene.past.good})"
    return Origin(f"{text}, so what changed lies outside: a service, a file, the machine", "outside")


_Finders = tuple[Callable[[Scene], Origin | None], ...]
_OF_DATA: Final[_Finders] = (
    _same_words,
    _until,
    _missing_field,
    _refused_by_schema,
    _tolerated,
    _tolerated_file,
    value_of_the_error,
    value_that_is_read,
    value_that_is_passed_on,
    value_that_repeats,
    _null_by_name,
    _child_input,
    _changed,
)
_OF_VALUES: Final[_Finders] = (_tolerated_file, value_of_the_error, value_that_is_read, _nothing_changed)
