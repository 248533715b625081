"""What a cell failed with, in one form, however its kernel wrote it.

An error is a record as stores keep them: `name`, `message`, `stack`, the errors that led to it as nested `cause`, and what else is known
(`exitCode`, `command`). Only what was thrown is taken, never a line of source that a traceback quotes.
"""

from __future__ import annotations

import html
import re
from typing import Any, Final

from smithers_nb.sources.notebooks.document import Cell, Json, plain, text_of
from smithers_nb.sources.notebooks.streams import complaint, exception_group, is_one_command, python_error, said_before_exit, shell_command

INTERRUPT: Final = "KeyboardInterrupt"
_CRASH: Final = {"name": "KernelCrashed", "code": "KERNEL_DIED", "message": "the kernel crashed while it ran this cell or one before it"}
_MAX_TEXT: Final = 20_000
_QUOTES: Final = "\"'\u201c\u201d\u2018\u2019"
_MAX_STACK: Final = 12_000
_SAYS_NOTHING: Final = frozenset({"", "ignored"})
_GENERIC: Final = frozenset({"Error", "ERROR", "error"})
_VSCODE_CRASH: Final = ("vscodeJupyterKernelCrash", "command:jupyter.viewOutput")
_NEEDS_MORE: Final = ("non-zero exit status", "\tat ", "Caused by: ")
"""What the message of an error holds whose cause stands elsewhere."""

_CLASS: Final = re.compile(r"^<class '(?:\w+\.)*(\w+)'>$")
_CHAINED: Final = re.compile(
    r"\n+(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):?\n+"
)
_HEADER: Final = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)\s+Traceback \(most recent call last\)", re.MULTILINE)
_THROWN: Final = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*)|:?[ \t]*)$", re.MULTILINE)
_JAVA_CAUSE: Final = re.compile(r"^\s*Caused by: (?P<name>[\w.$]+)(?:: (?P<message>.*))?$", re.MULTILINE)
_JAVA_STACK: Final = re.compile(r"^(?:\s+at [\w.$<>/]+\(.*\)|\s*\.\.\. \d+ more|\s*Driver stacktrace:)\s*$", re.MULTILINE)
_JAVA_CALL: Final = re.compile(r"^An error occurred while calling [\w.]+?\.(?P<method>\w+)\.?\s*:\s*", re.MULTILINE)
_EXIT: Final = re.compile(r"non-zero exit status (\d+)")
_RICH: Final = re.compile(r"^╰[─╌-]+╯\s*$", re.MULTILINE)
_TAGS: Final = re.compile(r"<[^>]{0,500}>")
_SKIPPED: Final = "Command skipped"
_CANCELLED: Final = "Cancelled"
_R_CONNECTION: Final = "cannot open the connection"
"""What R throws when a file or URL cannot be opened; which one it was stands in the warning before."""

_PLOOMBER: Final = re.compile(r"Cell In\[1\](?=, line)")
_ARROW: Final = re.compile(r"^-+> ?\d+ (.*)$", re.MULTILINE)
_MACHINE_LINE: Final = re.compile(r"^\s*(?:at |\d+ +\S|#\d+ |frame #)|\berror:", re.MULTILINE)


def is_interrupt(cell: Cell) -> bool:
    """Return whether a person, or a time limit, stopped the cell."""
    if cell.databricks_errors:
        return all(_summary(one) == _CANCELLED for one in cell.databricks_errors)
    return bool(cell.errors) and all(error.get("ename") == INTERRUPT for error in cell.errors)


def is_crash(cell: Cell) -> bool:
    """Return whether VS Code noted that the kernel crashed; it says so in the language of its user, with the same links."""
    return any(_is_crash(error) for error in cell.errors)


def was_skipped(cell: Cell) -> bool:
    """Return whether Databricks left the cell out because an earlier one had an error."""
    return bool(cell.databricks_errors) and all(_SKIPPED in str(one.get("errorSummary")) for one in cell.databricks_errors)


def has_error(cell: Cell) -> bool:
    """Return whether an output of the cell is an error; compiler warnings that gophernotes sends as errors are none."""
    if not cell.errors and not cell.databricks_errors:
        return False
    return any(not _is_warning(error) for error in cell.errors) or (bool(cell.databricks_errors) and not was_skipped(cell))


def error_of(cell: Cell) -> dict[str, Any]:
    """Return the error of a cell that has one, of several the last."""
    for error in reversed(cell.errors):
        if not _is_warning(error):
            return dict(_CRASH) if _is_crash(error) else _of_output(cell, error)
    for noted in cell.databricks_errors:
        return _of_traceback(*_name_and_message(_summary(noted)), plain(str(noted.get("data") or "")))
    return error_beside_outputs(cell)


def thrown(cell: Cell) -> dict[str, Any]:
    """Return name and message of the error of a cell that has one, without its traceback, which takes time to read."""
    last = cell.errors[-1] if cell.errors else {}
    name, message = str(last.get("ename") or ""), str(last.get("evalue") or "")
    if not name or message in _SAYS_NOTHING or _is_warning(last) or name in _GENERIC or any(sign in message for sign in _NEEDS_MORE):
        return error_of(cell)
    return {"name": _plain_name(name), "message": _cut(plain(message))}


def error_beside_outputs(cell: Cell) -> dict[str, Any]:
    """Return the error of a cell that failed without an error output: rich's traceback, a magic's complaint, a shell's."""
    for text in cell.displayed():
        box = list(_RICH.finditer(text))
        if box and "Traceback" in text and (thrown := _THROWN.search(text, box[-1].end())):
            return {"name": thrown["name"], "message": _cut(text[thrown.start("message") if thrown["message"] else thrown.end() :])}
    stderr = cell.streams("stderr")
    if (group := exception_group(stderr)) and not shell_command(cell):  # IPython prints a group instead of sending it
        return {"name": group.name, "message": _cut(group.message), "stack": _stack(stderr)}
    found = python_error(stderr) or python_error(cell.streams())
    if found:
        return {"name": found.name, "message": _cut(found.message)}
    told = complaint(stderr)
    return {"message": _cut(told)} if told else {}


def _of_output(cell: Cell, error: Json) -> dict[str, Any]:
    name = _plain_name(str(error.get("ename") or ""))
    message = plain(str(error.get("evalue") or "")).strip()
    lines = error.get("traceback")
    trace = plain("\n".join(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else text_of(lines))
    trace = _with_its_number(cell, trace) if "ploomber" in cell.metadata else trace
    record = _of_traceback(name, "" if message in _SAYS_NOTHING else message, trace)
    if not name and not message:
        return _without_words(cell, record, trace)
    if record["message"].endswith(_R_CONNECTION) and (why := complaint(cell.streams("stderr"))):
        return {**record, "message": f"{record['message']}: {_cut(why).strip(_QUOTES)}"}
    if record["name"] == "SystemExit" and record["message"].isdecimal() and (why := complaint(said_before_exit(cell.streams("stderr")))):
        return {**record, "message": f"{_cut(why)} (exit status {record['message']})"}  # as argparse ends: the words are on stderr
    command = shell_command(cell)
    status = _EXIT.search(record["message"])
    if command and status:
        return _of_shell(cell, record, int(status[1]))
    if status and (printed := plain(cell.streams("stderr")).strip()):  # a program that the code ran printed into its cell
        return {**record, "stderr": printed[-_MAX_TEXT:]}
    return record


def _of_traceback(name: str, message: str, trace: str) -> dict[str, Any]:
    """Put an error and the blocks of its traceback together: the last block is the error, those before it are what led to it."""
    blocks = _CHAINED.split(trace)
    told_name, told_message = _thrown(blocks[-1], name)
    record: dict[str, Any] = {"name": name or told_name, "message": _cut(message or told_message), "stack": _stack(blocks[-1])}
    if record["name"] in _GENERIC:
        record["name"] = "Error"
    inner = record
    for block in reversed(blocks[:-1]):
        cause_name, cause_message = _thrown(block, "")
        if cause_name and (cause_name, cause_message) != (inner["name"], inner["message"]):
            inner["cause"] = {"name": cause_name, "message": _cut(cause_message), "stack": _stack(block)}
            inner = inner["cause"]
    return _of_java(record) if "\tat " in record["message"] or "Caused by: " in record["message"] else record


def _of_java(record: dict[str, Any]) -> dict[str, Any]:
    """Shorten an error of the Java machine to what was thrown, and the last thing that caused it."""
    text = record["message"]
    causes = list(_JAVA_CAUSE.finditer(text))
    head = text[: causes[0].start()] if causes else text
    lines = [line for line in _JAVA_CALL.sub("", _JAVA_STACK.sub("", head)).splitlines() if line.strip()]
    told = {**record, "message": "\n".join(lines[:4]).lstrip(": ")}
    if causes:
        last = causes[-1]
        told["cause"] = {"name": last["name"].rpartition(".")[2], "message": (last["message"] or "").strip()}
    return told


def _of_shell(cell: Cell, record: dict[str, Any], status: int) -> dict[str, Any]:
    """Describe what a shell's command printed, of which the error itself knows the exit status only."""
    told = python_error(cell.streams("stderr"))
    words = f"{told.name}: {told.message}" if told else complaint(cell.streams("stderr")) or complaint(cell.streams("stdout"))
    if not words and (last := cell.streams().rstrip().rpartition("\n")[2].strip()):
        record = {**record, "message": f"{record['message'].rstrip('.')}; it printed last: {_cut(last)}"}
    command = shell_command(cell, words)
    ended = {"exitCode": status, **({"command": command} if is_one_command(cell, words) else {})}
    return {**record, **ended} if not words else {"name": record["name"], "message": f"{_cut(words)} (exit status {status})", **ended}


def _with_its_number(cell: Cell, trace: str) -> str:
    """Put a cell's own number in the traceback of ploomber-engine, which calls each cell the first; none where the code is another's."""
    quoted = _ARROW.findall(trace)
    number = cell.count if quoted and quoted[-1].strip() in cell.source else "?"
    return _PLOOMBER.sub(f"Cell In[{number}]", trace)


def _summary(noted: Json) -> str:
    """Return what Databricks says of an error in short."""
    return html.unescape(_TAGS.sub("", str(noted.get("errorSummary") or ""))).strip()


def _without_words(cell: Cell, record: dict[str, Any], trace: str) -> dict[str, Any]:
    """Find the words of an error that has neither a name nor a message (Scala, Swift): on a stream of its cell, else in its traceback."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    printed = complaint(cell.streams("stderr")) or complaint(cell.streams("stdout"))
    if not printed and lines and not _MACHINE_LINE.search(trace):  # sentences, as VS Code writes them: what is wrong, then what to do
        return {**record, "name": "Error", "message": _cut(lines[0])}
    return {**record, "name": "Error", "message": _cut(printed or complaint(trace) or (lines[-1] if lines else ""))}


def _thrown(block: str, name: str) -> tuple[str, str]:
    """Find the line of a traceback that names the exception and what follows it, which may have several lines."""
    header = _HEADER.search(block)
    wanted = name or (header["name"] if header else "")
    found = [match for match in _THROWN.finditer(block) if not wanted or match["name"].rpartition(".")[2] == wanted.rpartition(".")[2]]
    if not found or (not wanted and "Traceback" not in block and "File " not in block):
        return wanted, ""
    last = found[-1]
    return last["name"].rpartition(".")[2], block[last.start("message") :].strip() if last["message"] else ""


def _is_crash(error: Json) -> bool:
    if error.get("ename") or error.get("evalue"):
        return False
    text = text_of(error.get("traceback"))
    return any(sign in text for sign in _VSCODE_CRASH)


def _is_warning(error: Json) -> bool:
    """Return whether an error holds nothing but warnings of a compiler, as gophernotes of 2017 sent them."""
    lines = [line for line in str(error.get("evalue") or "").splitlines() if line.strip()]
    return bool(lines) and all(line.startswith("// warning:") for line in lines)


def _name_and_message(summary: str) -> tuple[str, str]:
    name, _, message = summary.partition(": ")
    return (name, message) if re.fullmatch(r"[\w.]+", name) else ("", summary)


def _plain_name(name: str) -> str:
    found = _CLASS.match(name)
    return found[1] if found else name


def _stack(block: str) -> str:
    return block if len(block) <= _MAX_STACK else f"{block[: _MAX_STACK // 3]}\n…\n{block[-2 * _MAX_STACK // 3 :]}"


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT // 2]}\n…\n{text[-_MAX_TEXT // 2 :]}"
