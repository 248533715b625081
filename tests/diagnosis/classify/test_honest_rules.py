"""Numbers before words, words only where they are the error's own, and no blame for words of a trade."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.classify.classify import classify_message

OWN = "Error: x\n    at children (/srv/ws/a/flows/a.tsx:8:100)"


@pytest.mark.parametrize(
    "message",
    [
        "plan.sh: estado 127: terraform: orden no encontrada",
        "bash: jq: Kommando nicht gefunden.",
        "zsh: commande introuvable: kubectl",
        "/bin/sh: 1: go: comando não encontrado",
        "deploy.sh exited with code 126",
        "make: *** [build] Erreur, statut 127",
        "El proceso terminó con código 137",
        "[Errno 13] Keine Berechtigung: '/etc/app.conf'",
        "cp: No queda espacio en el dispositivo",
        "tar: Auf dem Gerät ist kein Speicherplatz mehr verfügbar",
        "connect: Connexion refusée",
        "La contraseña del usuario app ha caducado",
        "Le mot de passe a expiré",
        "Anmeldung fehlgeschlagen (Fehler 0x80070532)",
    ],
)
def test_other_languages(message):
    """A shell or a log-in that speaks another language is read like an English one, thrown by the author's own line."""
    assert classify_message(message, "Error", stack=OWN, task_kind="compute").failure_class == "environment"


@pytest.mark.parametrize(
    "message",
    ["axe-core: 14 violations", "Bestellung 12 hat keinen Kunden", "la facture 4711 est déjà payée", "12 of 40 invoices do not add up"],
)
def test_words_of_a_trade(message):
    """What an author throws in words of a trade says nothing about whose fault it is."""
    found = classify_message(message, "Error", stack=OWN, task_kind="compute")
    assert found.confidence == "low"


@pytest.mark.parametrize(
    ("message", "not_rule"),
    [
        ("locator.click: Timeout 3000ms exceeded: 'rate limit' button", "provider-rate-limit"),
        ("ENOENT: no such file or directory, open '/srv/app/forbidden.js'", "forbidden"),
        ("EISDIR: illegal operation, read '/srv/worktree/docker.md'", "git-state"),
        ("invoice 401 not found", "status-401-403"),
        ("expected 3 rows, got 401 rows", "status-401-403"),
        ("/usr/bin/ld: cannot find -lssl: No such file or directory", "certificate"),
        ("failed to open data/prices.parquet: No such file or directory (os error 2)", "command-missing"),
    ],
)
def test_names_are_no_words_of_the_error(message, not_rule):
    """The name of a file, a quoted label and a number that counts something decide nothing."""
    assert classify_message(message).rule != not_rule


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("API Error: 500 your current token plan not support model, M2 (2061)", "environment"),
        ("npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.", "environment"),
        ("error: the lock file /w/Cargo.lock needs to be updated but --locked was passed to prevent this", "environment"),
        ('Invalid character in header content ["Authorization"]', "environment"),
        ("MCP startup incomplete (failed: files)", "environment"),
        ("TypeError: terminated", "agent-flake"),
        ("Error: database is locked", "environment"),
        ("GET https://x.example/y 404 Not Found", "environment"),
        ("Error: 403 Forbidden", "environment"),
        ('{"error":"rate_limit","code":429}', "agent-flake"),
    ],
)
def test_kinds(message, expected):
    """A plan, a lock file, a header and a tool server are told from what their words resemble."""
    assert classify_message(message).failure_class == expected


@pytest.mark.parametrize(
    "message",
    [
        "the nightly report lists each git pull of the last week",
        "orders with a duplicate are shown in the second table",
        "the page shows the response body below the form",
        "rows of the free tier come before those of the paid one",
        "prompts are shortened to the context window of the model",
    ],
)
def test_naming_a_thing_is_not_telling_what_went_wrong(message):
    """A sentence that only names what can fail makes no verdict sure."""
    assert classify_message(message).confidence != "high"


@pytest.mark.parametrize("message", ["Rate limit reached", "Merge conflict", "Container was OOMKilled", "Heap limit"])
def test_a_short_message_is_what_went_wrong(message):
    """A message of few words needs no other sign that it tells of an error."""
    assert classify_message(message).confidence == "high"
