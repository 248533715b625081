"""A Smithers workflow handed to the Smithers CLI: found where a project has it, called with its own flags, its exit code passed on."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smithers_nb.cli.app import FAILED
from smithers_nb.cli.run_options import given_parameters
from smithers_nb.errors import ParameterError
from smithers_nb.workflows.monitor.smithers_program import smithers_cli

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

_SWITCHES = {
    "detach": "--detach",
    "hot": "--hot",
    "force": "--force",
    "accept_workflow_change": "--accept-workflow-change",
    "no_post_failure": "--no-post-failure",
    "serve": "--serve",
}
"""Our options to the flags of Smithers 0.32."""

_OURS_ONLY = ("timeout", "cell_timeout", "kernel", "artifacts", "database")
_SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a program."""


def hand_over(file: Path, *, pairs: tuple[tuple[str, str], ...], parameters_file: Path | None, document: str | None, **options: Any) -> int:
    """Run `smithers up FILE` and give its exit code.

    Raises:
        ParameterError: The file is not there, or no Smithers CLI is.
    """
    if not file.is_file():
        raise ParameterError(f"{file} does not exist", hint="give a workflow's file")
    for name in _OURS_ONLY:
        if options.get(name) is not None:
            raise ParameterError(f"--{name.replace('_', '-')} is for notebooks; the Smithers CLI has no such option", hint="leave it out")
    cli = smithers_cli(file)
    if cli is None:
        raise ParameterError(
            f"{file.name} is a Smithers workflow, and there is no Smithers CLI here",
            hint="install it in the project: npm install smithers-orchestrator (it needs bun)",
        )
    ours = _our_trigger(options)
    if ours is not None:
        options = options | {"run_id": options.get("run_id") or str(uuid.uuid4()), "no_post_failure": True}
    words = arguments(file, given_parameters(pairs, parameters_file, document), options)
    code = subprocess.run([*cli, *words], check=False).returncode  # noqa: S603  # an argument list
    if ours is not None and code == FAILED:
        from smithers_nb.workflows.triggers.on_run_end import after_run

        after_run(ours, options["run_id"], smithers=Path.cwd())
    return _SIGNALLED - code if code < 0 else code


def _our_trigger(options: dict[str, Any]) -> Location | None:
    """Return the project whose autopsy looks into a failure: where our pack is installed and Smithers' own trigger does not launch ours."""
    from smithers_nb.engine.location import Location
    from smithers_nb.workflows.pack.install_smithers import is_installed
    from smithers_nb.workflows.triggers.launch import installed_at

    location = Location.of()
    leave = options.get("no_post_failure") or options.get("detach") or is_installed(Path.cwd())
    return None if leave or not installed_at(location).is_file() else location


def arguments(file: Path, parameters: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """Translate our options into those of `smithers up`."""
    import orjson

    from smithers_nb.engine.control.parameters import Words, plain_value

    plain = {name: plain_value(value) if isinstance(value, Words) else value for name, value in parameters.items()}
    words = ["up", str(file)]
    words += ["--input", orjson.dumps(plain).decode()] if plain else []
    words += ["--run-id", options["run_id"]] if options.get("run_id") else []
    words += ["--resume", "true"] if options.get("resume") else []
    return words + [flag for name, flag in _SWITCHES.items() if options.get(name)]
