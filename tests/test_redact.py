"""Secrets never leave, and what is no secret stays readable."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smithers_nb.redact import assignments, is_secret_name, redact, redact_value, short_line, surely_clean
from smithers_nb.redact.tokens import table

_HEX = "4f2a9d0e8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e"
# Pieces are joined here, so that no scanner takes this file for a leak.
SECRETS = [
    ("postgres://app:{}@db.example/prod", "hunter2!"),
    ("Authorization: Bearer {}", "abcd1234"),
    ("bearer {} was refused", "Zm9vYmFyYmF6"),
    ("Authorization: Basic {}", "YWRtaW46aHVudGVyMg=="),
    ("key {} rejected", "sk-" + "ant-api03-abcDEF123456"),
    ("key {} rejected", "sk-" + "abcdefgh12345678"),
    ("key {} rejected", "sk-" + "proj-" + "aBcDeFgHiJ" * 4 + "1234"),  # the first digit comes late
    ("key {} rejected", "pa-" + "aBcDeFgHiJ" * 4 + "1234"),
    ("{}", "ghp_" + "a1B2" * 9),
    ("{}", "github_pat_" + "11AAAA" * 6),
    ("id={}", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("{}", "xoxb-" + "123456789012-abcdefghijkl"),
    ("?key={}&x=1", "AIza" + "SyA-1234567890abcdefghijklmnopqrstu"),
    ("{}", "ya29." + "a0AfH6SMBxyz-123_456"),
    ("{}", "hf_" + "abcdefghijKLMNOPqrstuv12"),
    ("{}", "glpat-" + "abcDEF123456ghiJKL78"),
    ("//registry/:_authToken={}", "npm_" + "abcdefghij1234567890ABCDEFGHIJ123456"),
    ("{}", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N"),
    ("before {} after", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"),
    ("cut off: {}", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk"),
    ("AccountName=x;AccountKey={};EndpointSuffix=core", "abcd" * 21 + "ab=="),
    ("storage {}", "Ab1+" * 21 + "Zz=="),
    ("secret {} expired", "abc8Q~" + "d" * 34),
    ("key {} of a service", "Ab1c" * 13 + "JQQJ99" + "Ab1c" * 6),
    ("id={}", "ASIA" + "IOSFODNN7EXAMPLE"),
    ("stripe {} refused", "sk_" + "live_" + "abcDEF123456"),
    ("stripe {} refused", "rk_" + "test_" + "abcDEF123456"),
    ("{}", "whsec_" + "abcDEF123456ghiJKL"),
    ("{}", "gho_" + "a1B2" * 9),
    ("{}", "gldt-" + "abcDEF123456ghiJKL78"),
    ("{}", "xapp-" + "1-A0123-456789"),
    ("{}", "GOCSPX-" + "abcDEF123456ghiJKL7890"),
    ("{}", "pypi-" + "AgEIcHlwaS5vcmc" * 3),
    ("{}", "gsk_" + "abcDEF123456ghiJKL78"),
    ("{}", "xai-" + "abcDEF123456ghiJKL78"),
    ("{}", "nvapi-" + "abcDEF123456ghiJKL78"),
    ("{}", "pplx-" + "abcDEF123456ghiJKL78"),
    ("{}", "r8_" + "abcDEF123456ghiJKL78"),
    ("{}", "lin_api_" + "abcDEF123456ghiJKL"),
    ("{}", "dckr_pat_" + "abcDEF123456ghiJKL"),
    ("{}", "shpat_" + "abcDEF123456ghiJKL"),
    ("{}", "SG." + "abcDEF123456ghiJKL.abcDEF123456ghiJKL"),
    ("https://x.blob/y?sv=1&sig={}&se=2", "abcDEF%2Bghi123456789012345"),
    ("OPENAI_API_KEY={}", "plainvalue"),
    ("export DB_PASSWORD='{}'", "two words"),
    ("GITHUB_TOKEN={}", "v1.abc"),
    ("password={}", "correcthorse"),
    ("passwd: {}", "tr0ub4dor"),
    ("client_secret={}&grant=x", "abcdef"),
    ("tool --password {} --verbose", "correcthorse"),
    ("curl --api-key '{}' x", "two words"),
    ("x-api-key: {}", "abc123def"),
    ('{{"myApiKey": "{}"}}', "abc"),
    ('{{"refresh_token":"{}"}}', 'with \\" a quote'),
    ('"{{\\"db_password\\":\\"{}\\"}}"', "inner"),
    ("{{'secret': '{}'}}", "python"),
    ("postgres://app:{}@db.example/prod", "p@ss@word"),
    ("é{}", "abc8Q~" + "d" * 34),
    ("x={}", "Ab1+" * 21 + "Zz=="),
    ("https://host/{}", "Ab1+" * 21 + "Zz=="),
    ("SECRETKEY={}", "plainvalue"),
    ('{{"password": "{}', "cut off here"),
    ('{{"password": "{}\\', "cut off here"),
    ("{{'api_key': '{}", "cut off here"),
    ('"{{\\"db_password\\":\\"{}', "cut off here"),
    ("DB_PASSWORD={}", '"cut off here'),
    ("AWS_ACCESSKEY={}", "plainvalue"),
    ('{{"accesskey": "{}"}}', "abc"),
    ("\x1b[31m{}\x1b[0m", "ghp_" + "a1B2" * 9),
    ("\x1b[1;32m{}\x1b[0m", "hf_" + "abcdefghijKLMNOPqrstuv12"),
    (r'"first line\n{}"', "sk-" + "abcdefgh12345678"),
    (r'"colour \u001b[33m\u0020{}"', "glpat-" + "abcDEF123456ghiJKL78"),
    ("/callback?state=a%20{}", "ghp_" + "a1B2" * 9),
    (r'"header\nBearer {}"', "abcd1234"),
    ("https://hooks.slack.com/services/{}", "T00000000/B00000000/" + "XXXXabcd1234XXXX"),
    ("https://discord.com/api/webhooks/{}", "1234567890/" + "abcDEF123456_ghiJKL-78"),
]
HARMLESS = [
    "Bearer token is missing",
    "Unexpected token ',' at position 3",
    "SyntaxError: Unexpected token: foo",
    "Invalid password: too short",
    f"commit {_HEX} by a",
    "run 123e4567-e89b-12d3-a456-426614174000 of task-runner-something",
    "sk-learn-pipeline, disk-usage-report-weekly, risk-assessment-2024",
    "max_tokens=4096 total_token=12",
    "MONKEY=banana keyboard=qwerty turkey: yes",
    '"keyboard": "qwerty", "primaryKey": "id", "cache_key": "boom"',
    "set ANTHROPIC_API_KEY=<your key> or OPENAI_API_KEY=$KEY, TOKEN=${TOKEN}",
    "const token = getToken()",
    "the --token option and --max-tokens 4096, pre-token exchange",
    "login --password '--user=bob' and ['--token', '--region=eu-central-1']",
    "http://localhost:8080/a@b and mailto:someone",
    "key 'api_key' is missing",
    "password is required, secret not found, basic auth failed",
    "-----BEGIN CERTIFICATE-----",
    r"C:\new\risk-assessment-2024\task-runner-something",
]


@pytest.mark.parametrize(("frame", "secret"), SECRETS, ids=range(len(SECRETS)))
def test_known_secrets_are_replaced(frame: str, secret: str) -> None:
    """Every known kind of secret is gone, and the words around it stay."""
    cleaned = redact(frame.format(secret))
    assert secret not in cleaned
    assert "[REDACTED" in cleaned
    before, _, after = frame.replace("{{", "{").replace("}}", "}").partition("{}")
    assert cleaned.startswith(before)
    assert cleaned.endswith(after)


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_text_stays(text: str) -> None:
    """Words, hashes, run ids, placeholders and numbers of tokens are not secrets."""
    assert redact(text) == text


def test_equal_secrets_stay_comparable() -> None:
    """Equal long secrets get equal tags, different ones different tags, short ones none."""
    one, two = "ghp_" + "a1" * 18, "ghp_" + "b2" * 18
    first, again, other = redact(f"{one} {one} {two}").split()
    assert first == again != other
    assert redact("password=hunter2") == "password=[REDACTED]"


FRAGMENTS = st.sampled_from(
    [
        frame.replace("{{", "{").replace("}}", "}").format(secret) if "{}" in frame else frame
        for frame, secret in SECRETS
        for frame in [frame.replace("{{", "(").replace("}}", ")")]
    ]
    + [
        "[REDACTED]",
        "[REDACTED:3f2a]",
        '"token": "',
        "password=",
        "Bearer ",
        "://",
        "@",
        '"',
        "'",
        "\\",
        "eyJ",
        "sk-",
        "KEY=",
        "İ",
        " ",
        "==",
        "\n",
    ]
)


@given(st.lists(FRAGMENTS | st.text(max_size=8), max_size=8).map("".join))
def test_twice_changes_nothing(text: str) -> None:
    """Redacting a redacted text gives the same text."""
    once = redact(text, personal=True)
    assert redact(once, personal=True) == once


def test_secret_keys_hide_what_lies_under_them() -> None:
    """A value under a secret's name is replaced wholesale, whatever its shape."""
    value = {
        "apiKey": "x1",
        "db": {"password": 1234, "credentials": {"user": "a", "pass": "b"}},
        "x-key": "v",
        "hasToken": True,
    }
    cleaned = redact_value(value)
    assert cleaned["apiKey"] == "[REDACTED]"
    assert cleaned["db"] == {"password": "[REDACTED]", "credentials": "[REDACTED]"}
    assert cleaned["x-key"] == "[REDACTED]"
    assert cleaned["hasToken"] is True


def test_token_counts_survive() -> None:
    """How many tokens were used is no secret, as a number, as text and nested."""
    value = {
        "inputTokens": 120,
        "max_tokens": "4096",
        "tokenUsage": {"input": 3, "cacheReadTokens": 9},
        "token": 7,
        "tokens": [1, 2],
        "tokenizer": "bpe",
    }
    assert redact_value(value) == value


def test_keys_are_redacted_as_well() -> None:
    """A secret used as a key of an object is replaced too."""
    assert next(iter(redact_value({"ghp_" + "a1" * 18: 1}))).startswith("[REDACTED:")


def test_a_connection_is_searched_and_not_hidden() -> None:
    """What lies under `connection` is no secret as a whole; the password in it still is."""
    cleaned = redact_value({"connection": ["keep-alive", {"password": "hunter22"}], "connectionString": "Server=a; Password=hunter22"})
    assert cleaned == {"connection": ["keep-alive", {"password": "[REDACTED]"}], "connectionString": "Server=a; Password=[REDACTED]"}


def test_a_pair_of_name_and_value_is_a_secret_too() -> None:
    """Tools write their environment as a list of names and values."""
    assert redact_value([{"name": "DB_PASSWORD", "value": "hunter22"}, {"name": "PORT", "value": "80"}]) == [
        {"name": "DB_PASSWORD", "value": "[REDACTED]"},
        {"name": "PORT", "value": "80"},
    ]


@pytest.mark.parametrize("vendor", table()["tokens"])
def test_every_vendor_has_an_example_that_is_found(vendor: str) -> None:
    """The example of each line of the table is replaced, with each of its prefixes, in a sentence and in JSON."""
    prefixes, _, example, *extra = table()["tokens"][vendor]
    for prefix in prefixes.split():
        token = example.replace("*", prefix) if extra and isinstance(extra[0], str) else prefix + example
        for text in (f"failed with {token} today", json.dumps({"message": f"first\n{token}"})):
            assert example[-16:] not in redact(text), prefix


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | FRAGMENTS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["token", "key", "a", "tokens", "password"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_values_twice_change_nothing(value: object) -> None:
    """Redacting a redacted value gives the same value, and it stays JSON."""
    once = redact_value(value)
    assert redact_value(once) == once
    json.dumps(once)


def test_personal_data_only_when_asked() -> None:
    """Home folders and e-mail addresses go only when that is asked for."""
    text = r"/home/alice/app by bob@example.org in /Users/carol/x, C:\Users\dave\y, C:\\Users\\erin and .claude/projects/-home-frank-app"
    assert redact(text) == text
    cleaned = redact(text, personal=True)
    assert not [name for name in ("alice", "bob", "carol", "dave", "erin", "frank") if name in cleaned]
    assert cleaned.startswith("/home/[REDACTED]/app by [REDACTED] in /Users/[REDACTED]/x")


@pytest.mark.parametrize("text", ["react@18.2.0", "@scope/pkg@1.2.3-rc.1", "git@github.com:org/repo", "git@host", "/home/", "a @ b.c"])
def test_packages_and_repositories_are_nobody(text: str) -> None:
    """A version of a package and the address of a repository are no personal data."""
    assert redact(text, personal=True) == text


def test_names_of_secrets() -> None:
    """Names of secrets are told from names of keys in tables."""
    assert all(map(is_secret_name, ("OPENAI_KEY", "apikey", "clientSecret", "DSN", "auth_token", "key", "privateKey")))
    assert not any(map(is_secret_name, ("keyboard", "primary_key", "cacheKey", "monkey", "tokenizer", "title")))


@pytest.mark.parametrize(
    "piece",
    [
        "an ordinary line of a log with key=val and words 12\n",
        "0123456789abcdef",
        "://a",
        "token",
        '"token": "',
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        'password="',
        "A",
        "@a.b",
    ],
)
def test_megabytes_are_cheap(piece: str) -> None:
    """A megabyte takes a second at most on an idle machine, also when it is made to be slow."""
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    redact(text, personal=True)
    assert time.process_time() - start < 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FRAGMENTS | st.text(max_size=8), min_size=1, max_size=5).map("".join))
def test_what_repeats_itself_is_judged_alike(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A text that repeats itself gives the same whether or not what was judged before is remembered."""
    repeated = text * (2_000 // len(text) + 3) if text else ""
    remembered = redact(repeated)
    with monkeypatch.context() as patch:
        patch.setattr(assignments, "_REMEMBERED", 0)
        assert redact(repeated) == remembered


@pytest.mark.parametrize(("frame", "secret"), SECRETS)
@pytest.mark.parametrize(
    "wrap", [lambda text: text, lambda text: {"a": [{"b": text}]}, lambda text: f"line\n{text}", lambda text: {text: 1}]
)
def test_no_value_with_a_secret_is_called_clean(frame: str, secret: str, wrap) -> None:
    """The quick look never calls JSON clean that a thorough one would change."""
    value = wrap(frame.format(secret))
    written = json.dumps(value, ensure_ascii=False)
    assert redact_value(value) == value or not surely_clean(written)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from([frame.format(secret) for frame, secret in SECRETS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "apiKey", "token", "Pwd", "dsn", "inputTokens", "é"]) | st.text(max_size=4), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(_JSON)
def test_what_is_called_clean_stays_as_it_is(value: object) -> None:
    """A value that the quick look calls clean is changed by no redaction."""
    if surely_clean(json.dumps(value, ensure_ascii=False)):
        assert redact_value(value) == value


@pytest.mark.parametrize("name", ["PASSWORD", "ApiKey", "DSN", "Client-Secret"])
def test_a_name_in_capitals_is_never_called_clean(name: str) -> None:
    """What lies under a secret's name goes in any spelling of it, so the quick look passes none over."""
    value = {name: {"user": "a"}}
    assert redact_value(value) != value
    assert not surely_clean(json.dumps(value))


def test_node_key_is_no_secret() -> None:
    """Smithers names nodes in a field called `key`; a secret in such a field still goes."""
    assert redact_value({"key": "normalize::0"}) == {"key": "normalize::0"}
    assert "hunter" not in str(redact_value({"key": "hunter2hunter2hunter2"}))
    assert "a1a1" not in str(redact_value({"key": "ghp_" + "a1" * 18 + "::0"}))


@given(st.text())
def test_a_short_line_is_one_short_line(text: str) -> None:
    """Megabytes and line breaks do not reach a line of a table."""
    line = short_line(text, 20)
    assert len(line) <= 20
    assert len(line.splitlines()) <= 1


def test_a_short_line_has_no_ruler() -> None:
    """What a program draws around its error is not what it says, whereas a short dash or an underlined heading in a line stays."""
    assert (
        short_line("-" * 75 + '\nException encountered at "In [3]":\n' + "=" * 40 + "\nboom -- a")
        == 'Exception encountered at "In [3]": boom -- a'
    )


def test_a_short_line_has_no_half_secret() -> None:
    """A secret goes before the text is cut, because half of it is not recognised."""
    assert "hunter" not in short_line("x" * 10 + " password=hunter2hunter2", 28)
