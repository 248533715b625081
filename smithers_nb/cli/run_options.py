"""Shared options of commands that act on runs: the project, the person acting, the parameters."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from smithers_nb.cli.options import CommandContext, Utf8
from smithers_nb.errors import ParameterError, RunNotFound

if TYPE_CHECKING:
    from smithers_nb.engine.control import Settings
    from smithers_nb.engine.location import Location

database_option = click.option(
    "--database",
    type=Utf8(),
    metavar="URL",
    help="Shared Postgres database of the runs, postgresql://…  [default: SMITHERS_NB_DATABASE, else the project's own files]",
)
detach_option = click.option("--detach", "-d", is_flag=True, help="Leave it to a worker in the background, print the run's id and return.")
accept_option = click.option(
    "--accept-workflow-change", is_flag=True, help="Continue even if the notebook was edited; finished stages keep their outputs."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask before finished or decided work is lost.")
force_option = click.option("--force", is_flag=True, help="Take over from a process that claimed the run but never began.")
_POSITIVE = click.FloatRange(min=0, min_open=True)
settings_options = (
    click.option("--timeout", type=_POSITIVE, metavar="SECONDS", help="Limit of one execution.  [default: 1800, or as it was]"),
    click.option("--cell-timeout", type=_POSITIVE, metavar="SECONDS", help="Limit of one cell.  [default: 600, or as it was]"),
    click.option("--kernel", "-k", type=Utf8(), metavar="NAME", help="Kernel spec, instead of the one that the notebook names."),
    click.option("--hot", is_flag=True, help="Edits of cells that have not run yet apply to the live run."),
    click.option("--artifacts", type=Utf8(), metavar="URL", help="Folder, or URL such as s3://…, for what the run writes."),
)
quiet_option = click.option("--no-post-failure", is_flag=True, help="Launch no autopsy when the run fails.")
by_option = click.option("--by", type=Utf8(), metavar="NAME", help="Who decided.  [default: your login]")
behalf_option = click.option("--on-behalf-of", type=Utf8(), metavar="NAME", help="Person that an agent decides for; both are recorded.")
parameter_options = (
    click.option(
        "--parameter",
        "-p",
        "pairs",
        nargs=2,
        type=Utf8(),
        multiple=True,
        metavar="NAME VALUE",
        help="A parameter of the notebook; repeatable.",
    ),
    click.option(
        "--parameters-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Parameters as a YAML or JSON object; -p overrides it.",
    ),
    click.option("--input", "-i", "document", type=Utf8(), metavar="JSON", help="Parameters as one JSON object; -p overrides it."),
)


def settings_of(  # noqa: PLR0913  # the options of `settings_options`
    *, timeout: float | None, cell_timeout: float | None, kernel: str | None, hot: bool, artifacts: str | None, no_post_failure: bool
) -> Settings:
    """Make settings of the start options; an option that is not given leaves its setting unchanged."""
    from smithers_nb.engine.control import Settings

    return Settings(cell_timeout, timeout, kernel, hot or None, False if no_post_failure else None, artifacts)


def location_of(ask: CommandContext, database: str | None = None) -> Location:
    """Return the project that a command is about."""
    from smithers_nb.engine.location import Location

    return Location.of(ask.source, database=database)


def runs_of(ask: CommandContext, database: str | None = None) -> Location:
    """Return the project whose runs a command is about; unlike starting a run, this never makes a folder a project.

    Raises:
        RunNotFound: No notebook has been run there.
    """
    location = location_of(ask, database)
    if not has_runs(location):
        hint = "`smithers-nb up FILE.ipynb` runs one; `smithers-nb ps` lists runs of every kind"
        raise RunNotFound(f"no notebook has been run in {location.root}", hint=hint)
    return location


def has_runs(location: Location) -> bool:
    """Return whether the project has a journal."""
    return location.file is None or location.file.exists()


def where(ask: CommandContext, location: Location, *, flag: str = "--database") -> str:
    """Return the options with which a follow-up command finds the same runs, never with a password.

    Args:
        ask: Options of this command.
        location: Project of the runs.
        flag: Option that takes a database: `--source` for commands that only read.
    """
    source = f" --source {shlex.quote(ask.source)}" if ask.source else ""
    known = os.environ.get("SMITHERS_NB_DATABASE", "").replace("postgres://", "postgresql://", 1)
    if location.file is not None or location.url in (known, ask.source):
        return source
    parts = urlsplit(location.url)
    named = '"$SMITHERS_NB_DATABASE"' if parts.password or parts.query else shlex.quote(location.url)
    return f"{source} {flag} {named}"


def given_parameters(pairs: tuple[tuple[str, str], ...], parameters_file: Path | None, document: str | None) -> dict[str, Any]:
    """Merge the parameters of a command line: the file, then --input, then each -p.

    Raises:
        ParameterError: One of them is not an object, or has a placeholder that was not filled in.
    """
    from smithers_nb.engine.control.parameters import Words

    found: dict[str, Any] = {}
    typed: dict[str, Any] = {}
    if parameters_file is not None:
        found |= _object(_yaml(parameters_file), str(parameters_file))
    if document is not None:
        typed |= _object(_json(document), "--input")
    typed |= {name: Words(value) for name, value in pairs}
    for name, value in typed.items():
        refuse_unfilled(value, f"parameter {name[:60]!r}")
    return found | typed


def refuse_unfilled(value: Any, what: str) -> None:
    """Refuse a JSON value, or the text of one, that still has a placeholder of a printed command.

    Raises:
        ParameterError: It has a placeholder, or the mark that replaces a secret.
    """
    if _is_unfilled(value):
        raise ParameterError(f"{what} still has to be filled in", hint="replace … or [REDACTED] by the value")


def _is_unfilled(value: Any) -> bool:
    import orjson

    from smithers_nb.diagnosis.engines.base import FILL_IN
    from smithers_nb.redact import MARK

    if isinstance(value, dict | list):
        return any(map(_is_unfilled, value.values() if isinstance(value, dict) else value))
    if not isinstance(value, str):
        return False
    if value[:1] in {"{", "["} and FILL_IN in value:
        try:
            return _is_unfilled(orjson.loads(value))
        except orjson.JSONDecodeError:
            return True
    return value.strip() == FILL_IN or MARK in value


def _yaml(file: Path) -> Any:
    import yaml  # type: ignore[import-untyped]  # it ships no types

    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise ParameterError(f"{file} is neither YAML nor JSON: {error}", hint="write one NAME: VALUE per line") from None


def _json(text: str) -> Any:
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ParameterError(
            f"--input is not valid JSON: {error}", hint="""quote it for the shell: --input '{"name": "value"}'"""
        ) from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ParameterError(f"{what} is not an object of names and values", hint="give one name and value for each parameter")
    return value
