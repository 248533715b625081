"""Our workflow in a Smithers project: where it goes, what it calls, and whose files it leaves alone."""

from __future__ import annotations

import json
import re
import sys

import pytest

from smithers_nb.errors import ParameterError
from smithers_nb.workflows.pack.install_smithers import install, is_installed, rendered, smithers_root

THEIRS = "// smithers-source: seeded\n/** @jsxImportSource smithers-orchestrator */\nexport default 1; // “theirs”\n"


@pytest.fixture
def project(tmp_path):
    """A Smithers project with the library."""
    (tmp_path / ".smithers").mkdir()
    (tmp_path / "node_modules" / "smithers-orchestrator").mkdir(parents=True)
    return tmp_path


def workflow_of(project):
    """Name the file that Smithers looks for."""
    return project / ".smithers" / "workflows" / "post-failure.tsx"


def test_it_goes_where_smithers_looks_first(project):
    """It is written to the project's own workflows, found from any folder below; doing it again changes nothing."""
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    done = install(below)
    assert (done.path, done.done, done.backup, done.note) == (workflow_of(project), "written", None, "")
    before = done.path.stat()
    assert install(project).done == "unchanged"
    assert done.path.stat() == before
    assert is_installed(below)


def test_it_calls_this_installation():
    """The workflow names the interpreter that it was installed with, quoted for JavaScript, and nothing is left to fill in."""
    text = rendered()
    assert json.loads(re.search(r"const INSTALLED: string\[\] = (\[.*\]);", text)[1]) == [sys.executable, "-P", "-m", "smithers_nb"]
    assert "@@" not in text
    odd = ['/o"d\\ \u2028path/${x}/python']
    assert json.loads(re.search(r"const INSTALLED: string\[\] = (\[.*\]);", rendered(odd))[1]) == odd


def test_it_is_a_workflow_of_the_right_nodes():
    """It has the name that the trigger asks for, is hidden, has Smithers' node ids, and asks before it reports."""
    text = rendered()
    assert '<Workflow name="post-failure">' in text
    assert re.search(r"^system: true$", text, re.MULTILINE)
    nodes = re.findall(r'\bid="([a-z-]+)"', text)
    assert nodes == ["gather", "investigate", "propose-bug-report", "approve-bug-report", "report-bug", "output"]
    assert text.index('"--propose"') < text.index("<Approval") < text.index("approval?.approved ?") < text.index('"--send"')
    assert "agent=" not in text


def test_an_edited_file_is_kept(project):
    """An edited file of ours stays as it is without force; with force it is replaced and the edited one kept beside it."""
    path = install(project).path
    edited = path.read_text().replace("5 * 60_000", "9 * 60_000")
    path.write_text(edited)
    kept = install(project)
    assert (kept.done, path.read_text()) == ("kept", edited)
    assert "edited" in kept.note
    forced = install(project, force=True)
    assert (forced.done, path.read_text(), forced.backup.read_text()) == ("replaced", rendered(), edited)
    assert forced.backup.suffix == ".bak"


def test_an_older_one_of_ours_is_renewed(project):
    """One that an older version wrote and nobody edited is brought up to date, without a copy."""
    path = install(project).path
    path.write_text(rendered(["/an/older/python"]))
    done = install(project)
    assert (done.done, done.backup, path.read_text()) == ("renewed", None, rendered())


def test_smithers_own_is_replaced_only_unedited(project):
    """Smithers' own workflow as its `init` wrote it gives way, with a copy; one that somebody changed does not."""
    seeds = project / "node_modules" / "@smithers-orchestrator" / "cli" / "src" / "seeded-workflow-pack.generated.js"
    seeds.parent.mkdir(parents=True)
    seeds.write_text(f'export const FILES = [{{"path": "x", "contents": {json.dumps(THEIRS, ensure_ascii=False)}}}];')
    path = workflow_of(project)
    path.parent.mkdir()
    path.write_text(f"{THEIRS}// mine now\n")
    assert install(project).done == "kept"
    assert not is_installed(project)
    path.write_text(THEIRS)
    done = install(project)
    assert (done.done, done.backup.read_text(), path.read_text()) == ("renewed", THEIRS, rendered())


def test_where_there_is_no_project(tmp_path):
    """Without a Smithers project nothing is written and the error says what is missing; a store alone makes one."""
    with pytest.raises(ParameterError, match=r"not in a Smithers project"):
        install(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not is_installed(tmp_path)
    (tmp_path / "smithers.db").write_bytes(b"x")
    assert smithers_root(tmp_path) == tmp_path
    done = install(tmp_path)
    assert done.done == "written"
    assert "not installed there yet" in done.note


def test_a_folder_of_smithers_itself_is_no_project(project):
    """From inside `.smithers` the project above is meant."""
    inner = project / ".smithers" / "workflows"
    inner.mkdir()
    assert smithers_root(inner) == project
