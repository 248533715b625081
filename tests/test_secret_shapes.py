"""Secrets of many vendors and formats, in the places where runs keep text, are found by kind; what only looks alike stays."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import urllib.parse
from collections.abc import Callable
from typing import Final

import pytest

from smithers_nb.redact import redact

_DRAW: Final = random.Random(8)
_HEX: Final = "0123456789abcdef"
_UPPER: Final = string.ascii_uppercase + string.digits
_MIXED: Final = string.ascii_letters + string.digits


def _any(length: int, letters: str = _MIXED) -> str:
    return "".join(_DRAW.choice(letters) for _ in range(length))


def _base64(length: int) -> str:
    return base64.b64encode(_DRAW.randbytes(length)).decode()


# {} is the secret; what is drawn is no secret of anybody.
SHAPES: Final[dict[str, tuple[str, str]]] = {
    "databricks": ("{}", "dapi" + _any(32, _HEX)),
    "linear": ("{}", "lin_api_" + _any(40)),
    "figma": ("{}", "figd_" + _any(40)),
    "postman": ("{}", f"PMAK-{_any(24, _HEX)}-{_any(34, _HEX)}"),
    "new relic": ("{}", "NRAK-" + _any(27, _UPPER)),
    "pulumi": ("{}", "pul-" + _any(40, _HEX)),
    "hashicorp vault": ("{}", "hvs." + _any(90)),
    "terraform cloud": ("{}", f"{_any(14)}.atlasv1.{_any(60)}"),
    "planetscale": ("{}", "pscale_tkn_" + _any(43)),
    "netlify": ("{}", "nfp_" + _any(36)),
    "rubygems": ("{}", "rubygems_" + _any(48, _HEX)),
    "tailscale": ("{}", f"tskey-auth-{_any(12)}-{_any(32)}"),
    "mailgun": ("{}", "key-" + _any(32, _HEX)),
    "mailchimp": ("{}", _any(32, _HEX) + "-us12"),
    "square": ("{}", "EAAA" + _any(60)),
    "langsmith": ("{}", f"lsv2_pt_{_any(32, _HEX)}_{_any(10, _HEX)}"),
    "pinecone": ("{}", f"pcsk_{_any(6)}_{_any(63)}"),
    "sentry user": ("{}", "sntryu_" + _any(64, _HEX)),
    "atlassian": ("{}", "ATATT3xFfGF0" + _any(60) + "=" + _any(8, "0123456789ABCDEF")),
    "discord bot": ("{}", f"MT{_any(24)}.G{_any(5)}.{_any(38)}"),
    "tavily": ("{}", "tvly-" + _any(32)),
    "password hash": ("deploy:{}", "$2y$10$" + _any(53)),
    "apr1": ("deploy:{}", f"$apr1${_any(8)}${_any(22)}"),
    "wireguard": ("PrivateKey = {}", _base64(32)),
    "netrc": ("machine api.example.com login me password {}", _any(16)),
    "pgpass": ("db.internal:5432:app:svc:{}", _any(16)),
    "docker config": ('{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}}}}}}', _base64(27)),
    "kubeconfig": ("    token: {}", _any(40)),
    "kubeconfig key": ("    client-key-data: {}", base64.b64encode(f"-----BEGIN PRIVATE KEY-----\n{_any(64)}".encode()).decode()),
    "npmrc": ("//npm.example/:_password={}", _base64(15)),
    "pip": ("index-url = https://bob:{}@pypi.example/simple", _any(16)),
    "maven": ("<server><id>r</id><password>{}</password></server>", _any(16)),
    "gradle": ("signing.password={}", _any(16)),
    "my.cnf": ("[client]\nuser = a\npassword = {}", _any(16)),
    "aws credentials": ("aws_secret_access_key = {}", _any(40)),
    "rails": ("  secret_key_base: {}", _any(64, _HEX)),
    "spring": ("spring.datasource.password={}", _any(16)),
    "web.config": ('<add key="ApiKey" value="{}" />', _any(24)),
    "html form": ('<input type="hidden" name="csrf_token" value="{}">', _any(32)),
    "wp-config": ("define( 'AUTH_KEY', '{}' );", _any(64)),
    "php array": ("'password' => '{}',", _any(16)),
    "ruby": (":password => '{}'", _any(16)),
    "go": ('cfg.Password = "{}"', _any(16)),
    "python environ": ('os.environ["STRIPE_API_KEY"] = "{}"', _any(24)),
    "kubernetes env": ("- name: DB_PASSWORD\n  value: {}", _any(16)),
    "task definition": ('{{"name":"API_TOKEN","value":"{}"}}', _any(24)),
    "sql": ("CREATE USER a IDENTIFIED BY '{}'", _any(16)),
    "curl user": ("curl -s -u admin:{} https://x.example/", _any(16)),
    "sshpass": ("sshpass -p {} ssh a@b", _any(16)),
    "docker login": ("docker login -u bob -p {} ghcr.io", _any(16)),
    "redis": ("redis-cli -h cache -a {} ping", _any(16)),
    "mysqldump": ("mysqldump -uroot -p{} app", _any(16)),
    "helm": ("helm upgrade x --set db.password={}", _any(16)),
    "keystore": ("java -Djavax.net.ssl.keyStorePassword={} -jar a.jar", _any(16)),
    "redis address": ("redis://:{}@cache:6379/0", _any(16)),
    "token as user": ("https://{}@dev.azure.com/o/p", _any(52, string.ascii_lowercase + string.digits)),
    "digest": ('Authorization: Digest username="a", response="{}"', _any(32, _HEX)),
    "github scheme": ("Authorization: token {}", _any(40, _HEX)),
    "aws4": ("Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/aws4_request, Signature={}", _any(64, _HEX)),
    "gitlab header": ("PRIVATE-TOKEN: {}", _any(20)),
    "set-cookie": ("Set-Cookie: sid={}; Path=/; HttpOnly", _any(32)),
    "google signed": ("https://storage.googleapis.com/b/o?X-Goog-Signature={}", _any(128, _HEX)),
    "otp": ("otpauth://totp/x:a?secret={}&issuer=x", _any(32, string.ascii_uppercase + "234567")),
    "app insights": ("InstrumentationKey=1;SharedAccessKey={};EntityPath=a", _base64(32)),
    "separators": ("DB_PASSWORD={}", f"a;{_any(12)}&{_any(12)},{_any(12)}"),
    "quotes": ("{}", json.dumps({"password": f'a"{_any(12)}\\{_any(12)}'})),
    "pem in json": ("{}", json.dumps({"private_key": f"-----BEGIN PRIVATE KEY-----\n{_any(64)}\n{_any(40)}\n-----END PRIVATE KEY-----\n"})),
    "pgp": ("{}", f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{_any(64)}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"),
    "cut by a line end": ("{}", f"ghp_{_any(20)}\n{_any(16)}"),
    "yaml block": ("api_token: |\n  {}\nother: x", _any(32)),
    "yaml folded": ("password: >-\n    {}\nother: x", _any(32)),
    "table in html": ("<tr><th>api_key</th><td>{}</td></tr>", _any(20)),
    "highlighted code": ('<span>password</span><span class="o">:</span> <span class="s">"{}"</span>', _any(20)),
    "table in markdown": ("| api_key | {} |", _any(20)),
    "setter": ('source.setPassword("{}");', _any(16)),
    "csh": ("setenv API_TOKEN {}", _any(20)),
    "windows": ('setx API_TOKEN "{}"', _any(20)),
    "msmtp": ("user a\npassword {}\nport 587", _any(16)),
    "keytool": ("keytool -genkey -storepass {}", _any(16)),
    "told": ("the password is {}", _any(16)),
    "arrow": ("password -> {}", _any(16)),
    "terraform variable": ('variable "api_token" {{\n  default = "{}"\n}}', _any(20)),
    "terraform output": ('"db_password": {{"value": "{}", "type": "string"}}', _any(16)),
    "oracle": ("jdbc:oracle:thin:scott/{}@//db:1521/x", _any(16)),
    "lftp": ("lftp -u bob,{} ftp.example", _any(16)),
    "powershell": ('$env:CLIENT_SECRET = "{}"', _any(32)),
}
ORDINARY: Final = [
    "dapibus eleifend, figd_ and pul- are prefixes",
    "key-value store, key-frame 12345678",
    "hvs.example.com and s.replace(a, b)",
    "sk-toggleable__content sk-estimator-doc-link",
    "pat.match.something and path.to.module_name12",
    "uses: actions/checkout@8f4b7f84864484a7bf31766abe9204da3cbe65b3",
    "integrity sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==",
    "etag: 33a64df551425fcc55e4d42a148795d9f25f89d4",
    "exit code=137, code=ECONNREFUSED, status code: 404",
    "GET /search?q=token&page=2&key=name",
    "password_reset_url=https://x.example/reset",
    "token_endpoint: https://login.example/oauth2/v2.0/token12",
    "tokenCount: 4096, promptTokens: 1200, token_limit=8000",
    "api_key_id: 7 rotates with keyVersion: 3",
    "The cookie banner: shown; cookies: 12",
    "Set-Cookie is missing; cookie policy 2026",
    "author: bob12345, authority=x1234567, authentication=basic",
    "passed: 12345678, passenger=ab123456, bypass=cache12",
    "PASSWORD_HASHERS=bcrypt",
    "session key exchange with x25519",
    "curl -s -o out.json https://x.example/a",
    "docker run -p 8080:80 nginx",
    "mysql -P 3306 -h db app",
    "mkdir -p build/output2026",
    "KeyError: 'password'",
    "raise ValueError('token must be 16 characters')",
    "token = tokens[0] or next(tokens2)",
    "password = getpass.getpass()",
    "const apiKey = process.env.API_KEY",
    "secretsmanager:GetSecretValue arn:aws:secretsmanager:eu:1:secret:db-x1Y2z3",
    "secretName: my-secret-123, secretKey: ${{ secrets.KEY }}",
    "credentials: include, credential_source: env",
    "https://user@host.example/repo.git and git@github.com:a/b.git",
    "ssh://git@host.example:7999/a/b.git",
    "http://127.0.0.1:8080/a/b@2x.png",
    "postgresql://localhost:5432/app?sslmode=require",
    "src/main.c:1234:12: error: expected token",
    "<td>token</td><td>count</td> <b>password</b> is required here2",
    "| token | 12 | key | item-42 | password | required2 |",
    "token -> int64, (token: str) -> dict[str, int]",
    "the token is invalid, the password is too short2, the key is missing from results[0]",
    'parser.setToken("EOF") and verify_password("x", y)',
    "key: |\n  some text here\nauthor: |\n  Jane",
    "sort_key=created_at, partition-key: user#42, rowKey=0001",
    "X-Request-Id: 7f3c1c0e5b7a4d0b9a66c0ffee123456",
    "run 123e4567-e89b-12d3-a456-426614174000 took 3 s",
    "Bearer authentication failed, basic auth required",
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
]
CONTAINERS: Final[dict[str, Callable[[str], str]]] = {
    "alone": lambda text: text,
    "log": lambda text: f"2026-11-28T10:00:00Z ERROR step 3 failed\n{text}\n  at next line",
    "json": lambda text: json.dumps({"message": f"failed:\n{text}", "n": 1}),
    "json thrice": lambda text: json.dumps({"a": json.dumps({"b": json.dumps({"c": f"failed:\n{text}"})})}),
    "url": lambda text: "https://x.example/?q=" + urllib.parse.quote(text, safe=""),
    "url twice": lambda text: "https://x.example/?q=" + urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "form": lambda text: "a=1&q=" + urllib.parse.quote_plus(text),
    "html": lambda text: text.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#39;").replace("<", "&lt;"),
    "colour": lambda text: f"\x1b[31m{text}\x1b[0m",
}


def _left(frame: str, secret: str, wrap: Callable[[str], str]) -> list[str]:
    """Return the secret's own runs of ten or more characters that are still there."""
    cleaned = redact(wrap(frame.format(secret)))
    return [run for run in re.findall(r"[A-Za-z0-9]{10,}", secret) if re.search(r"\d", run) and run in cleaned]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_leaks(shape: str, container: str) -> None:
    """A secret of any shape goes from plain text and from every place where it is quoted."""
    assert not _left(*SHAPES[shape], CONTAINERS[container])


@pytest.mark.parametrize("text", ORDINARY)
def test_what_looks_alike_stays(text: str) -> None:
    """Ordinary texts with telling words, and random ones without, are unchanged."""
    assert redact(text) == text
