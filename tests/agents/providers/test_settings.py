"""Which provider investigates is settled, with words that help, before anything is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smithers_nb.agents.providers.settings import PROVIDERS, chosen, command_settings, provider_named, remote_settings
from smithers_nb.errors import ParameterError

REMOTE = {"AGENT_PROVIDER": "remote_llm", "OPENAI_API_KEY": "k-0815"}
PATH = "/usr/bin:/bin"


def test_the_rules_are_the_default():
    """Without anything set nobody is asked."""
    assert chosen(None, {}) == "internal"
    assert provider_named("internal", {}) is None
    assert list(PROVIDERS) == ["internal", "remote_llm", "codex_exec"]


def test_a_parameter_wins_over_the_environment():
    """A provider that is named counts, whatever the environment says and lacks."""
    assert chosen("internal", {"AGENT_PROVIDER": "remote_llm"}) == "internal"
    assert chosen(None, REMOTE) == "remote_llm"


@pytest.mark.parametrize(
    ("env", "words", "hint"),
    [
        (
            {"AGENT_PROVIDER": "gpt"},
            "AGENT_PROVIDER: 'gpt' is not a provider; choose one of internal, remote_llm, codex_exec",
            "internal needs",
        ),
        ({"AGENT_PROVIDER": "remote_llm"}, "OPENAI_API_KEY is required", "set OPENAI_API_KEY, or switch"),
        ({"AGENT_PROVIDER": "remote_llm", "OPENAI_API_KEY": "  "}, "OPENAI_API_KEY is required", "set OPENAI_API_KEY"),
        ({**REMOTE, "AGENT_TIMEOUT_SECONDS": "soon"}, "AGENT_TIMEOUT_SECONDS: 'soon'", "120"),
        ({**REMOTE, "AGENT_TIMEOUT_SECONDS": "-1"}, "AGENT_TIMEOUT_SECONDS", "120"),
        ({**REMOTE, "AGENT_TIMEOUT_SECONDS": "nan"}, "AGENT_TIMEOUT_SECONDS", "120"),
        ({**REMOTE, "AGENT_TIMEOUT_SECONDS": "inf"}, "AGENT_TIMEOUT_SECONDS", "120"),
        (
            {"AGENT_PROVIDER": "codex_exec", "CODING_AGENT_CMD": "no-such-agent run", "PATH": PATH},
            "there is no program 'no-such-agent'",
            "install",
        ),
        ({"AGENT_PROVIDER": "codex_exec", "CODING_AGENT_CMD": "sh 'x", "PATH": PATH}, "CODING_AGENT_CMD is malformed", "quote"),
        ({"AGENT_PROVIDER": "codex_exec", "CODING_AGENT_CMD": "''", "PATH": PATH}, "there is no program", "install"),
    ],
)
def test_what_is_missing_is_named(env, words, hint):
    """The message says which variable is wrong, the hint what to do, and the exit code is that of a user's error."""
    with pytest.raises(ParameterError, match=words) as caught:
        chosen(None, env)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "htp://x", "http://", "https:///v1", "http://[::1", "http://a b/v1", "http://x:99999/", "/v1"]
)
def test_a_malformed_url_is_refused(url):
    """A URL without scheme or host, or that is none, is refused by name."""
    with pytest.raises(ParameterError, match="invalid OPENAI_BASE_URL") as caught:
        remote_settings({**REMOTE, "OPENAI_BASE_URL": url})
    assert "http(s)://" in caught.value.hint


def test_a_password_in_a_url_is_not_repeated():
    """What is refused is shown without its password."""
    with pytest.raises(ParameterError) as caught:
        remote_settings({**REMOTE, "OPENAI_BASE_URL": "http://me:hunter2hunter@:x/v1"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/v1", "https://llm.example/v1", "http://[::1]:9/v1"])
def test_any_server_will_do(url):
    """Any http(s) address is taken, and the key is not part of what is printed."""
    settings = remote_settings({**REMOTE, "OPENAI_BASE_URL": url, "AGENT_MODEL": "m", "AGENT_TIMEOUT_SECONDS": "7.5"})
    assert (settings.url, settings.model, settings.timeout_s) == (url, "m", 7.5)
    assert "k-0815" not in repr(settings)


def test_without_the_extra_there_is_a_hint():
    """When the packages of the extra are missing, the message says how to install them."""
    code = (
        "import sys; sys.modules['pydantic_ai'] = None\n"
        "from smithers_nb.agents.providers.settings import chosen\n"
        "try: chosen('remote_llm', {'OPENAI_API_KEY': 'k'})\n"
        "except Exception as error: print(type(error).__name__, error, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ParameterError the provider remote_llm needs packages that are not installed pip install 'smithers-nb[agents]'" in done.stdout


def test_the_command_is_a_list_of_arguments():
    """The command line is taken apart as a shell would, and its program is found before anything is started."""
    settings = command_settings({"CODING_AGENT_CMD": "sh -c 'echo a b' $HOME", "PATH": PATH})
    assert settings.words[0].endswith("/sh")
    assert settings.words[1:] == ("-c", "echo a b", "$HOME")
