"""Which provider investigates, and whether it can run; checked before anything is started.

| variable | for | meaning |
| --- | --- | --- |
| `AGENT_PROVIDER` | all | `internal` (default), `remote_llm` or `codex_exec` |
| `AGENT_TIMEOUT_SECONDS` | both others | seconds that the whole answer may take, 120 by default |
| `AGENT_MODEL` | both others | model to ask; an agent CLI finds it in its environment |
| `OPENAI_API_KEY` | `remote_llm` | key of the server; any text for one that needs none |
| `OPENAI_BASE_URL` | `remote_llm` | any server that speaks OpenAI's chat completions |
| `CODING_AGENT_CMD` | `codex_exec` | command line of any agent CLI, split as a shell would, but run without one |
| `CODING_AGENT_ENV` | `codex_exec` | additional variables that it may see, separated by commas |

Nothing else is read, and a key is never written anywhere.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from smithers_nb.errors import ParameterError
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.agents.providers.base import Provider

INTERNAL: Final = "internal"
"""The rules alone: no model, no key, no network."""

_DEFAULT_URL: Final = "https://api.openai.com/v1"
_DEFAULT_MODEL: Final = "gpt-4.1-mini"
_DEFAULT_COMMAND: Final = "codex exec --skip-git-repo-check --sandbox read-only -"
_DEFAULT_TIMEOUT_S: Final = 120.0
_MAX_TIMEOUT_S: Final = 540.0
"""A notebook cell may run for ten minutes; a slower provider would fail the whole autopsy."""
_SWITCH_HINT: Final = "or switch the provider (AGENT_PROVIDER) to {} or internal"


@dataclass(frozen=True)
class RemoteSettings:
    """How to reach a model.

    Attributes:
        key: Key of the server; never shown.
        url: Its address.
        model: Model to ask.
        timeout_s: Time limit for the whole answer, in seconds.
    """

    key: str = field(repr=False)
    url: str = _DEFAULT_URL
    model: str = _DEFAULT_MODEL
    timeout_s: float = _DEFAULT_TIMEOUT_S


@dataclass(frozen=True)
class CommandSettings:
    """How to start an agent CLI.

    Attributes:
        words: Program and arguments.
        environment: The variables that it may see.
        timeout_s: Time limit in seconds.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    timeout_s: float = _DEFAULT_TIMEOUT_S


def chosen(provider: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return the name of the provider to use, after checking that it can run.

    Args:
        provider: The requested provider; defaults to `AGENT_PROVIDER`.
        env: Environment to read; defaults to that of this process.

    Raises:
        ParameterError: The provider does not exist, or a setting it needs is missing or malformed.
    """
    env = os.environ if env is None else env
    name = provider or env.get("AGENT_PROVIDER", "").strip() or INTERNAL
    if name not in PROVIDERS:
        where = "provider" if provider else "AGENT_PROVIDER"
        raise ParameterError(f"{where}: {name[:60]!r} is not a provider; choose one of {', '.join(PROVIDERS)}", hint=_HINT)
    PROVIDERS[name](env)
    return name


def provider_named(name: str, env: Mapping[str, str] | None = None) -> Provider | None:
    """Return a provider that is ready to be asked; None for `internal`, which has already answered.

    Raises:
        ParameterError: The provider does not exist, or a setting it needs is missing or malformed.
    """
    return PROVIDERS[chosen(name, env)](os.environ if env is None else env)


def remote_settings(env: Mapping[str, str]) -> RemoteSettings:
    """Read the settings of `remote_llm`.

    Raises:
        ParameterError: The key is missing, the URL malformed, or the extra is not installed.
    """
    key = env.get("OPENAI_API_KEY", "").strip()
    if not key:
        raise ParameterError(
            "OPENAI_API_KEY is required for the provider remote_llm", hint=f"set OPENAI_API_KEY, {_SWITCH_HINT.format('codex_exec')}"
        )
    url = _checked_url(env.get("OPENAI_BASE_URL", "").strip() or _DEFAULT_URL)
    timeout_s = _timeout(env)
    if find_spec("pydantic_ai") is None or find_spec("openai") is None:
        raise ParameterError(
            "the provider remote_llm needs packages that are not installed",
            hint=f"pip install 'smithers-nb[agents]', {_SWITCH_HINT.format('codex_exec')}",
        )
    return RemoteSettings(key, url, env.get("AGENT_MODEL", "").strip() or _DEFAULT_MODEL, timeout_s)


def command_settings(env: Mapping[str, str]) -> CommandSettings:
    """Read the settings of `codex_exec`.

    The CLI sees only the variables that programs need to run, to reach the network and to find their settings; its own (`CODEX_…`);
    `AGENT_MODEL`; and those listed in `CODING_AGENT_ENV`. API keys are passed on only when listed there.

    Raises:
        ParameterError: The command is malformed, or its program does not exist.
    """
    text = env.get("CODING_AGENT_CMD", "").strip() or _DEFAULT_COMMAND
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ParameterError(f"CODING_AGENT_CMD is malformed: {error}", hint="quote it as for a shell") from None
    program = shutil.which(words[0], path=env.get("PATH")) if words else None
    if program is None:
        raise ParameterError(
            f"CODING_AGENT_CMD: there is no program {redact(words[0] if words else '')[:80]!r}",
            hint=f"install it or name another CLI, {_SWITCH_HINT.format('remote_llm')}",
        )
    named = {name.strip() for name in env.get("CODING_AGENT_ENV", "").split(",")}
    seen = {name: value for name, value in env.items() if name in HANDED_ON | named or name.startswith(_OWN_PREFIX)}
    return CommandSettings((str(Path(program).absolute()), *words[1:]), seen, _timeout(env))


HANDED_ON: Final = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "TMPDIR", "TEMP", "TMP"),
        *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AGENT_MODEL"),
    )
)
"""The variables that programs need to run, to reach the network and to find their settings; no others are passed to a child."""

_OWN_PREFIX: Final = "CODEX_"
_HINT: Final = "internal needs no model; remote_llm asks a server at OPENAI_BASE_URL; codex_exec runs CODING_AGENT_CMD"


def _checked_url(url: str) -> str:
    hint = "set a valid http(s)://… base URL, such as https://api.openai.com/v1"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not any(c.isspace() for c in url)
    except ValueError:
        valid = False
    if not valid:
        raise ParameterError(f"invalid OPENAI_BASE_URL: {redact(url)[:120]!r} is malformed or has no scheme or host", hint=hint)
    return url


def _timeout(env: Mapping[str, str]) -> float:
    text = env.get("AGENT_TIMEOUT_SECONDS", "").strip() or str(_DEFAULT_TIMEOUT_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_TIMEOUT_S:
        raise ParameterError(
            f"AGENT_TIMEOUT_SECONDS: {text[:40]!r} is not a number of seconds up to {_MAX_TIMEOUT_S:g}", hint="120 is the default"
        )
    return seconds


def _internal(_: Mapping[str, str]) -> None:
    return None


def _remote(env: Mapping[str, str]) -> Provider:
    from smithers_nb.agents.providers.remote_llm import RemoteLlm

    return RemoteLlm(remote_settings(env))


def _command(env: Mapping[str, str]) -> Provider:
    from smithers_nb.agents.providers.codex_exec import CodexExec

    return CodexExec(command_settings(env))


PROVIDERS: Final[dict[str, Callable[[Mapping[str, str]], Provider | None]]] = {
    INTERNAL: _internal,
    "remote_llm": _remote,
    "codex_exec": _command,
}
"""Every provider by name, with the function that builds it from an environment."""
