"""Where the bad value came from: what lies behind the place that found it wrong.

Gets the failure, the run it happened in with its parents, and the last good run of the workflow; looks for the origin in the order in
which it explains most: an upstream output that lacks what is read, a tolerated failure whose output is read, a value of the error that
stands in an answer, an input or an output, and at last what changed since the workflow last worked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.diagnosis.engines.workflow_edits import recorded_hash
from smithers_nb.diagnosis.failure.excerpt import abridged, telling
from smithers_nb.diagnosis.failure.expression import Access, failing_access, paths_in
from smithers_nb.diagnosis.failure.root_failure import upstream_of
from smithers_nb.diagnosis.history.known_values import Known, known_values, runs_of
from smithers_nb.diagnosis.history.last_good import readable
from smithers_nb.diagnosis.history.since_good import Comparison, compare_with_last_good
from smithers_nb.model.verdict import Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import redact_value
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Change, Classification, Failure
    from smithers_nb.sources.snapshot import Snapshot

_JUDGED_BY_CHANGES: Final = frozenset({"workflow-bug", "unknown"})
_TOKEN: Final = re.compile(
    r"[\"'`\u201c\u2018«]([^\"'`\u201d\u2019»\n]{3,120})[\"'`\u201d\u2019»]|(?<![\w.])(-?\d+(?:\.\d+)?)(?![\w.])|([\w.@%+~/-]*[\w@%+~/-])"
)
_DISTINCT: Final = re.compile(r"[\d@/_.:-]")
_MAX_TOKENS: Final = 60
_SHORTEST: Final = 4
_FEW: Final = 3
_NEAR: Final = 3
_MAX_SHOWN: Final = 60
_HASH: Final = "workflow hash"
_OVER_A_VALUE: Final = frozenset({"TypeError", "RangeError", "SyntaxError", "URIError", "ValueError", "JSONDecodeError"})
"""Classes of errors that are thrown over a value."""


class Origin(NamedTuple):
    """What lies behind a failure.

    Attributes:
        text: In one sentence.
        kind: `upstream`, `tolerated`, `answer`, `input`, `changed` or `outside`.
        evidence: The rows that prove it.
        producer: Node whose output or answer is at fault; empty for none.
        good_input: Input fields that differ from the last good run, with the values they had there.
    """

    text: str
    kind: str
    evidence: tuple[Evidence, ...] = ()
    producer: str = ""
    good_input: dict[str, Any] | None = None


class _Scene(NamedTuple):
    """Everything that may be looked at."""

    failure: Failure
    runs: list[Snapshot]
    access: Access | None
    past: Comparison | None
    known: list[Known]
    line: str = ""

    @property
    def own(self) -> Snapshot:
        """The run that the failure happened in."""
        return self.runs[-1]

    @property
    def reader(self) -> str:
        """The failing task, as the subject of a sentence."""
        return f"`{self.failure.node_id}`" if self.failure.node_id else "the workflow"


def find_origin(snapshot: Snapshot, failure: Failure, classification: Classification, *, line: str = "") -> Origin | None:
    """Find what lies behind a failure.

    Args:
        snapshot: The run that was asked about.
        failure: The failure that mattered, possibly in a child run.
        classification: Its class; what changed since the last good run says nothing about a server that is down.
        line: The line of source that threw, where it is known and the file is the one that ran.

    Raises:
        SourceVanished: The store is gone.
    """
    if failure.kind in {"denied", "none"} or not failure.chain:
        return None
    runs = runs_of(snapshot, failure)
    past = compare_with_last_good(runs[-1].source, runs[-1].run)
    scene = _Scene(failure, runs, failing_access(failure.chain, line), past, known_values(runs, failure.node_id), line)
    finders = _OF_DATA if classification.failure_class in _JUDGED_BY_CHANGES else _OF_VALUES
    return next((origin for find in finders if (origin := find(scene))), None)


def _missing_field(scene: _Scene) -> Origin | None:
    """An upstream output that lacks the field which the failing expression reads."""
    names = scene.access.all_names if scene.access else ()
    for at, name in enumerate(names):
        for output in scene.own.outputs:
            if output.node_id in {"input", scene.failure.node_id} or not _is_same(name, logical_id(output.node_id)):
                continue
            found = _lacking(as_object(output.row), names[at + 1 :])
            if found:
                ref = f"node:{output.node_id}/{output.iteration}"
                return _upstream(scene, output.node_id, found, Evidence(ref=ref, quote=found.field, note=found.words))
    return _missing_input(scene, names) or _missing_by_name(scene)


class _Lack(NamedTuple):
    field: str
    words: str
    near: str


def _lacking(row: dict[str, Any], names: tuple[str, ...]) -> _Lack | None:
    """Follow names into an output down to the first that is not there."""
    value: Any = row
    path: list[str] = []
    for name in names:
        if not isinstance(value, dict):
            return None
        key = next((key for key in value if _is_same(key, name)), None)
        path.append(key or name)
        if key is None or value[key] is None:
            near = _near(name, {k: v for k, v in value.items() if v is not None})
            return _Lack(".".join(path), "which is null in this run" if key and not near else "which it does not have in this run", near)
        value = value[key]
    return None


def _near(name: str, given: dict[str, Any]) -> str:
    """Find the field that was probably meant: one whose name contains the other, or nearly the same letters."""
    plain = {_letters(key): key for key in given}
    wanted = _letters(name)
    within = [key for letters, key in plain.items() if min(len(letters), len(wanted)) >= _NEAR and (wanted in letters or letters in wanted)]
    close = get_close_matches(wanted, plain, n=1, cutoff=0.7)
    return within[0] if within else plain[close[0]] if close else ""


def _upstream(scene: _Scene, node: str, lack: _Lack, evidence: Evidence) -> Origin:
    text = f"{scene.reader} reads `{lack.field}` of `{node}`, {lack.words}"
    if lack.near:
        text += f"; it has `{lack.near}` instead"
    past = scene.past
    if past:
        was = past.before.shapes.get(logical_id(node), {}).get(lack.field)
        if was and was != "null":
            text += f"; in the last good run ({past.good}) it was {_article(was)}"
        elif lack.near and past.before.shapes.get(logical_id(node), {}).get(lack.near) in {None, "null"}:
            text += f"; the last good run ({past.good}) had no `{lack.near}`"
    return Origin(text + _also_changed(scene), "upstream", (evidence,), node, _good_input(scene))


def _missing_input(scene: _Scene, names: tuple[str, ...]) -> Origin | None:
    """An input field that the failing expression reads and that was not given."""
    if "input" not in names:
        return None
    given = next((as_object(output.row) for output in scene.own.outputs if output.node_id == "input"), {})
    lack = _lacking({key: value for key, value in given.items() if key != "payload"}, names[names.index("input") + 1 :])
    if lack is None:
        return None
    text = f"{scene.reader} reads `{lack.field}` of the input, which was not given"
    text += f"; `{lack.near}` was" if lack.near else ""
    return Origin(text + _also_changed(scene), "input", (_of_run(scene, lack.field),), good_input=_good_input(scene))


def _missing_by_name(scene: _Scene) -> Origin | None:
    """A field that is null in just one upstream output or in the input, and by whose name the failing code calls the value."""
    if scene.access is None:
        return None
    wanted = {_letters(name) for name in (*scene.access.names[-1:], *([] if scene.access.names else [scene.access.wanted]))} - {""}
    nulls = [known for known in scene.known if known.value is None and _letters(known.field.rpartition(".")[2]) in wanted]
    nulls = [known for known in nulls if known.kind != "input" or known.ref == f"run:{scene.own.run.run_id}"]
    if len({(known.node, known.field) for known in nulls}) != 1:
        return None
    lack = nulls[0]
    if lack.kind == "upstream":
        evidence = Evidence(ref=lack.ref, quote=lack.field, note="null in this run")
        return _upstream(scene, lack.node, _Lack(lack.field, "which is null in this run", ""), evidence)
    text = f"{scene.reader} reads {lack.place}, which is null in this run"
    return Origin(text + _also_changed(scene), "input", (_of_run(scene, lack.field),), good_input=_good_input(scene))


def _tolerated(scene: _Scene) -> Origin | None:
    """A failure that the workflow tolerates, whose output the failing code reads."""
    if scene.access is None or scene.failure.node_id is None:
        return None
    above = upstream_of(scene.own)(scene.failure.node_id)
    failed = [
        a
        for a in scene.own.attempts
        if a.state == "failed" and scene.own.may_fail(a.node_id, a.iteration) and a.node_id != scene.failure.node_id
    ]
    named = [a for a in failed if any(_is_same(name, logical_id(a.node_id)) for name in scene.access.all_names)]
    cause = next(iter(named or [a for a in failed if a.node_id in above] or failed), None)
    if cause is None:
        return None
    error = telling(cause.error_message or "", 160) or "no message was recorded"
    text = (
        f"{scene.reader} reads the output of `{cause.node_id}`, which has none: `{cause.node_id}` failed ({error.rstrip('.')}), "
        "and `continueOnFail` let the run go on"
    )
    ref = f"attempt:{cause.node_id}/{cause.iteration}/{cause.attempt}"
    return Origin(text, "tolerated", (Evidence(ref=ref, quote=error, note="tolerated"),), cause.node_id)


def _value(scene: _Scene) -> Origin | None:
    """A value of the error that came in through an answer, an input or an upstream output."""
    tokens = _tokens(scene.failure)
    for known in scene.known:
        value = known.value
        if isinstance(value, bool) or not isinstance(value, str | int | float) or known.field.startswith("__"):
            continue
        words = f"{value:g}" if isinstance(value, float) else str(value).strip()
        if words in tokens or (len(words) >= _SHORTEST and _DISTINCT.search(words) and any(words in token for token in tokens)):
            return _came_from(scene, known, words)
        if isinstance(value, str) and (token := next((t for t in tokens if len(t) > _SHORTEST and _is_word(t, value)), None)):
            return _came_from(scene, known, token)
    return None


def _read_there(scene: _Scene) -> Origin | None:
    """The one upstream value that the line which threw reads, where the error itself names no value."""
    if _OVER_A_VALUE.isdisjoint(link.name or "" for link in scene.failure.chain):
        return None
    named = scene.access.all_names if scene.access else ()
    paths = [named] if named else paths_in(scene.line)
    read = {
        (known.node, known.field): known
        for known in scene.known
        if known.kind == "upstream" and any(_reads(path, known) for path in paths) and not isinstance(known.value, bool | None)
    }
    if len(read) != 1:
        return None
    (known,) = read.values()
    value = abridged(readable(redact_value({known.field: known.value})[known.field]) or "", _MAX_SHOWN)
    agent = _agent_of(scene, known.node)
    text = f"{scene.reader} reads {known.place}, which is `{value}` in this run{f', as {agent} answered' if agent else ''}"
    return Origin(text + _also_changed(scene), "upstream", (Evidence(ref=known.ref, quote=known.field, note=f"is {value}"),), known.node)


def _reads(path: tuple[str, ...], known: Known) -> bool:
    """Return whether a path such as `d["fetch"].body.trim` leads to a field of an output, or past it."""
    names = (logical_id(known.node), *known.field.split("."))
    return any(all(map(_is_same, names, path[at:])) for at in range(len(path) - len(names) + 1))


def _came_from(scene: _Scene, known: Known, words: str) -> Origin:
    shown = readable(redact_value({known.field: words})[known.field]) or ""
    text = f"the value `{shown}` in the error of {scene.reader} comes from {known.place}"
    if known.kind == "upstream" and (agent := _agent_of(scene, known.node)):
        text += f", which {agent} answered"
    if known.kind == "input" and known.ref != f"run:{scene.runs[0].run.run_id}":
        text += _above(scene, words)
    evidence = Evidence(ref=known.ref, quote=shown, note="where the value came in")
    return Origin(text + _also_changed(scene, only=known.field), known.kind, (evidence,), known.node, _good_input(scene))


def _agent_of(scene: _Scene, node: str) -> str:
    found = next((a for run in scene.runs for a in run.attempts if a.node_id == node and (a.engine or a.agent)), None)
    return f"agent {found.engine or found.agent}" if found else ""


def _child_input(scene: _Scene) -> Origin | None:
    """The input of a child run whose sibling worked with the same code."""
    if len(scene.runs) == 1:
        return None
    own = [k for k in scene.known if k.ref == f"run:{scene.own.run.run_id}" and k.value not in {None, ""}][:_FEW]
    if not own:
        return None
    given = ", ".join(f"{k.field}={readable(redact_value({k.field: k.value})[k.field])}" for k in own)
    text = f"child run {scene.own.run.run_id} was started with the input {given}{_above(scene, str(own[0].value))}"
    changed = {change.what.removeprefix("input."): change for change in scene.past.input_changes} if scene.past else {}
    before = [f"{k.field}={changed[k.field].before}" for k in own if k.field in changed and changed[k.field].before]
    if scene.past and before:
        text += f"; {scene.past.good}, which finished, had {', '.join(before)}"
    return Origin(text, "input", (_of_run(scene, str(own[0].value)),))


def _above(scene: _Scene, words: str) -> str:
    """Name which output or input of a run further up a child's input was taken from."""
    copies = (k for k in scene.known if k.ref != f"run:{scene.own.run.run_id}" and str(k.value) == words)
    return next((f", which is from {known.place}" for known in copies), "")


def _changed(scene: _Scene) -> Origin | None:
    """What differs from the last good run, where nothing in the error points anywhere."""
    past = scene.past
    if past is None:
        return None
    where = f"since the last good run ({past.good})"
    if past.is_unchanged:
        text = f"nothing of the workflow, its input or the revision has changed {where}"
        return Origin(f"{text}, so what changed lies outside: a service, a file, the machine", "outside")
    inputs = past.input_changes
    others = [change for change in past.changes if not change.what.startswith(("input.", "duration of ", "configuration."))]
    if inputs and past.is_same_code:
        only = "only the input" if not others else "the input"
        evidence = (_of_run(scene, inputs[0].after or inputs[0].what),)
        return Origin(f"{only} has changed {where}: {_list(inputs)}", "input", evidence, good_input=_good_input(scene))
    told = [change for change in (*others, *inputs) if change.after is not None or change.before is not None]
    edited = [_edited(past)] if any(change.what == _HASH for change in told) else []
    rest = [change for change in told if change.what != _HASH]
    text = ", and ".join([*edited, *([f"this changed: {_list(rest)}"] if rest else [])])
    return Origin(f"{where}, {text}", "changed", (_of_run(scene, scene.own.run.status),)) if told else None


def _edited(past: Comparison) -> str:
    """Say which text of the workflow is another one; the hash of its own file may be the same where an imported one differs."""
    if (own := recorded_hash(past.after.run)) and own == recorded_hash(past.before.run):
        return "a module that the workflow imports was edited (its own file is the same)"
    return "the workflow was edited"


def _also_changed(scene: _Scene, only: str = "") -> str:
    """Add which input fields differ from the last good run; of a value that is named already, what it was there."""
    if scene.past is None:
        return ""
    inputs = [change for change in scene.past.input_changes if only in {"", change.what.removeprefix("input.")}]
    if inputs and len(inputs) <= _FEW:
        return f"; the input changed from {_pairs(inputs, 'before')} to {_pairs(inputs, 'after')}"
    if not inputs and not only and not scene.past.is_same_code:
        return f"; {_edited(scene.past)} since"
    return ""


def _good_input(scene: _Scene) -> dict[str, Any] | None:
    """Collect the input fields that changed, as the last good run had them, where the code is the same."""
    past = scene.past
    if past is None or not past.is_same_code or len(scene.runs) > 1:
        return None
    fields = [change.what.removeprefix("input.") for change in past.input_changes]
    return {field: past.before.input[field] for field in fields if field in past.before.input} or None


def _pairs(changes: list[Change], which: str) -> str:
    return ", ".join(f"`{change.what.removeprefix('input.')}={_or_none(getattr(change, which))}`" for change in changes)


def _list(changes: list[Change] | tuple[Change, ...]) -> str:
    shown = [f"{change.what} from {_or_none(change.before)} to {_or_none(change.after)}" for change in changes[:_FEW]]
    return ", ".join(shown) + (f" and {len(changes) - _FEW} more" if len(changes) > _FEW else "")


def _or_none(value: str | None) -> str:
    return "nothing" if value is None else value.removesuffix(".0")


def _of_run(scene: _Scene, quote: str) -> Evidence:
    return Evidence(ref=f"run:{scene.own.run.run_id}", quote=quote, note="its input")


def _tokens(failure: Failure) -> list[str]:
    """Take the words out of an error that can only be data: quoted, or with digits and marks in them."""
    found: dict[str, None] = {}
    text = "\n".join(
        [*(link.message[:2_000] for link in failure.chain), *(str(failure.details.get(key) or "") for key in ("path", "url", "hostname"))]
    )
    names = {failure.node_id, failure.run_id, *(link.name for link in failure.chain), *(link.code for link in failure.chain)}
    for quoted, number, word in _TOKEN.findall(text):
        if quoted:
            found[quoted.strip()] = None
        elif number and (number.startswith("-") or len(number) >= _SHORTEST):
            found[number] = None
        elif len(word) >= _SHORTEST and _DISTINCT.search(word.strip(".")):
            found[word.strip(".")] = None
    return [token for token in found if token not in names][:_MAX_TOKENS]


def _is_word(token: str, value: str) -> bool:
    """Return whether a token of an error stands in a value as a word of its own."""
    return bool(_DISTINCT.search(token)) and bool(re.search(rf"(?<![\w.-]){re.escape(token)}(?![\w-])", value))


def _is_same(one: str, other: str) -> bool:
    return one == other or _letters(one) == _letters(other)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" if kind in {"list", "object", "number", "flag", "empty list"} else kind


_OF_DATA: Final[tuple[Callable[[_Scene], Origin | None], ...]] = (_missing_field, _tolerated, _value, _read_there, _child_input, _changed)
_OF_VALUES: Final[tuple[Callable[[_Scene], Origin | None], ...]] = (_value, _read_there)
