"""Secrets drawn at random, named, quoted and wrapped at random: they go; and hostile text of any shape is looked through once."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import string
import time
import urllib.parse
from collections.abc import Callable

import pytest

from smithers_nb.redact import redact

MIXED, HEX = string.ascii_letters + string.digits, "0123456789abcdef"
TOKENS = [
    *(
        ("sk-ant-api03-", MIXED, 80),
        ("sk-proj-", MIXED, 60),
        ("ghp_", MIXED, 36),
        ("glpat-", MIXED, 20),
        ("AKIA", string.ascii_uppercase, 16),
    ),
    *(("xoxb-1234567890-", MIXED, 24), ("AIza", MIXED, 35), ("hf_", MIXED, 34), ("npm_", MIXED, 36), ("dop_v1_", HEX, 64)),
    *(("sk_live_", MIXED, 24), ("lin_api_", MIXED, 40), ("gsk_", MIXED, 52), ("dapi", HEX, 32), ("hvs.", MIXED, 90)),
]
NAMES = [
    *("password", "DB_PASSWORD", "apiKey", "client_secret", "x-api-key", "accessToken", "AWS_SECRET_ACCESS_KEY", "passwd", "authToken"),
    *("signing_secret", "encryption-key", "MYSQL_PWD", "smtp.password", "privateKey", "REFRESH_TOKEN", "secretAccessKey"),
]
FRAMES = [
    *('{name}="{secret}"', "{name}='{secret}'", "{name}={secret}", "{name}: {secret}", '"{name}": "{secret}"', "'{name}': '{secret}',"),
    *(
        "--{name} {secret}",
        "--{name}={secret}",
        "export {name}={secret}",
        "<{name}>{secret}</{name}>",
        '<add key="{name}" value="{secret}"/>',
    ),
    *("https://bob:{secret}@x.example/a", "?{name}={secret}&a=b", "Authorization: Bearer {secret}", "- name: {name}\n  value: {secret}"),
]
CONTAINERS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: f"2026-11-28T10:00:00Z ERROR step 3 failed\n{text}\n  at next line",
    lambda text: json.dumps({"message": f"failed:\n{text}", "n": 1}),
    lambda text: json.dumps([json.dumps({"stderr": text})]),
    lambda text: "https://x.example/?q=" + urllib.parse.quote(text, safe=""),
    lambda text: f"<pre>{html.escape(text)}</pre>",
    lambda text: f"\x1b[31m{text}\x1b[0m",
    lambda text: repr({"out": text}),
]
REPEATED = [
    *("a", "0", " ", "\n", "\\", '"', "'", "=", ":", "-", "_", ".", "@", "/", "%", "&", "\x1b", "é", "a=", "a:", '="', '\\"', "\\\\\\n"),
    *(
        "key=",
        ":token",
        "://key",
        "password=",
        "password: ",
        'password="',
        "token = ",
        "secret_",
        "authorization: x ",
        "cookie: a",
        "--password ",
    ),
    *(
        "npm_",
        "ghp_-",
        "xai-_",
        "eyJ",
        "sk-",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN ",
        "%25",
        "&amp;",
        "\\u0041",
        "\x1b[31m",
        "a@b.",
    ),
    *("://a:b@", "?key=", '<a name="password" ', '"name": "TOKEN", ', "curl -u a:", "mysql -p", "[REDACTED", "a1-", "a1-----"),
]


@pytest.mark.slow
def test_secrets(amount, tally):
    """A secret, named or known by how it begins, is gone from wherever two layers of quoting put it."""
    counts, draw = tally("secrets"), random.Random(81)
    left = []
    for _ in range(amount(400, 6_000)):
        known = draw.random() < 0.5
        prefix, letters, length = draw.choice(TOKENS) if known else ("", MIXED, draw.randrange(12, 40))
        body = (
            "".join(draw.choice(letters) for _ in range(length - 2))
            + draw.choice(string.digits if "1" in letters else letters)
            + letters[-1]
        )
        frame = draw.choice(["{secret}", "error near {secret}"]) if known else draw.choice(FRAMES)
        inner, outer = draw.choice(CONTAINERS), draw.choice(CONTAINERS)
        given = outer(inner(frame.format(name=draw.choice(NAMES), secret=prefix + body)))
        runs = [run for run in re.findall(r"[A-Za-z0-9]{10,}", body) if run in redact(given)]
        counts.tried += 1
        counts.leaked += bool(runs)
        left += [given] if runs else []
    assert counts.leaked <= 0.02 * counts.tried, left[:10]


def shapes(size: int) -> dict[str, str]:
    """Make hostile texts of a size."""
    draw = random.Random(3)
    packed = base64.b64encode(draw.randbytes(size)).decode()
    nested = 'password="abc12345678"'
    while len(nested) < size:
        nested = json.dumps({"a": nested, "b": nested})
    pem = "-----BEGIN RSA PRIVATE KEY-----\n"
    made = {
        "base64": packed,
        "base64 as a value": f"password={packed}",
        "half a key": pem + packed,
        "half keys": "".join(f"{pem}{packed[at : at + 200]}\n" for at in range(0, size, 230)),
        "half a key in JSON": json.dumps(pem + packed),
        "nested quotes": nested,
        "rows of backslashes": "".join("\\" * length + '"' for length in range(1, 3_000)),
        "any of it": "".join(draw.choice(REPEATED) for _ in range(size // 2)),
    }
    repeated = {f"many {part!r}": part * (size // len(part) + 1) for part in REPEATED}
    return {name: text[:size] for name, text in (made | repeated).items()}


@pytest.mark.slow
def test_hostile_text(amount, tally):
    """Four times the text takes about four times as long (16 would be quadratic), and no shape more than 4 µs per character."""
    counts = tally("hostile text")
    size = amount(50_000, 4_000_000)
    small, large = shapes(size // 4), shapes(size)
    for text in small.values():
        redact(text[:2_000])  # what is compiled once is not measured
    took = {name: (_seconds(small[name]), _seconds(large[name])) for name in large}
    slow = {name: times for name, times in took.items() if times[1] > 7 * times[0] + 0.1 or times[1] > 4e-6 * size + 0.1}
    counts.tried, counts.lost = len(took), len(slow)
    print("\n".join(f"{seconds:7.3f} s {name}" for name, (_, seconds) in sorted(took.items(), key=lambda item: -item[1][1])))  # noqa: T201
    assert not slow


def _seconds(text: str) -> float:
    """Measure processor time, the best of two."""
    times = []
    for _ in range(2):
        begun = time.process_time()
        redact(text)
        times.append(time.process_time() - begun)
    return min(times)
