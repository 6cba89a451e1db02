"""What a text may look like and what it hides: texts that strangers wrote, and passwords."""

from __future__ import annotations

import os
import re
from typing import Final

SECRETS: Final = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "DATABRICKS_TOKEN",
)
"""Environment variables whose values stand in no text of ours."""


SHORT: Final = 8
"""A secret with fewer characters is looked for in URIs alone: it may well be a word of the text."""


# Each pattern takes linear time: what a failed match has read holds no start of another one.
_WEB_USER = re.compile(r"(https?://)[^:/?#@\s]+(?=(?::(?:x-oauth-basic)?)?@)", re.IGNORECASE)
"""A user without a password is a token there; one of a database or of ssh is a name."""


_LOGIN = re.compile(r"(://[^:/@\s]*:)\S*")
"""A URI with a user or port, to its end: `_without_login` looks for the @."""


_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|token|signature|credential"
    r"|(?:access|account|api|private|secret)[_-]?key"
    r"|[?&;](?:pass|sig|sas|key|subscription-key|auth|code))"
)


_IS = r"""(?:=| = |%3D|\\?["'] ?: ?)(?!=)"""


_VALUE = r"""(?:(\\?")[^"\n]*?(\\?")|(\\?')[^'\n]*?(\\?')|[^&\s]*[^&\s'"),\]])"""


_NAMED = re.compile(f"({_NAME}{_IS}){_VALUE}", re.IGNORECASE)
"""In a query, a connection string, JSON or a call. A `;` ends no value: passwords have one."""


_HEADER = re.compile(
    r"(authorization\W{1,4}(?:basic |bearer |token |(?=\S*\d))|\bbearer (?=\S*\d)|(?:api-key|-token|cookie): )"
    r"[^\s'\",]+",
    re.IGNORECASE,
)


_BARE = re.compile(r"(?<![^\s'\"/])(?!mailto:)([\w.+-]+:)[^\s/@'\"]+(?=@)")
"""user:password@host without a scheme, as one mistypes it and as libraries repeat it."""


def hidden(text: str) -> str:
    """Text without passwords, tokens and keys: of URIs, connection strings, headers, and of the environment."""
    text = _BARE.sub(r"\1***", _LOGIN.sub(_without_login, _WEB_USER.sub(r"\1***", text)))
    text = _HEADER.sub(r"\1***", _NAMED.sub(r"\1\2\4***\3\5", text))
    for secret in (os.environ.get(name, "") for name in SECRETS):
        if len(secret) >= SHORT:
            text = text.replace(secret, "***")
    return text


def _without_login(found: re.Match[str]) -> str:
    """A URI without its password, which goes to the last @: it may have one, and a /."""
    login, at, host = found[0].rpartition("@")
    if not at:
        return found[0]
    return f"{found[1]}***" + ("" if _NAMED.search(login) else f"@{host}")  # whose @ it is can't be known


LABEL_LENGTH: Final = 80
"""Letters of what a model, a data set or a run is called in a sentence."""


KEY_LENGTH: Final = 200
"""Letters of a metric's or tag's name that hold somebody's word: MLflow takes 250."""


def clean(text: str, longest: int | None = None) -> str:
    """A text on one line without its secrets, a space for each control character; a longer one is cut in its middle.

    Names that differ often do so at their end. An address is kept whole or left out, unless the text begins with it.
    """
    line = "".join(c if c.isprintable() else " " for c in hidden(text))  # before the cut: of a half nothing is known
    if longest is None or len(line) <= longest:
        return line
    tail = longest // 3
    start, end = longest - tail - 1, len(line) - tail
    for word in re.finditer(r"\S+", line):
        if word.start() and "://" in word[0]:
            start = word.start() if word.start() < start < word.end() else start
            end = word.end() if word.start() < end < word.end() else end
    return f"{line[:start]}…{line[end:]}"


def deleted_experiment(name: str, experiment_id: str) -> str:
    """What is wrong with an experiment that its owner deleted, and what to do."""
    restore = f"mlflow experiments restore --experiment-id {experiment_id}"
    return f"experiment {name!r} is deleted; restore it ({restore}), or name another"


def drawn_plainly(text: str) -> str:
    """A clean text without formulas and not empty; matplotlib would hide a label that begins with `_`."""
    plain = text.replace("$", r"\$") or " "
    return f" {plain}" if plain.startswith("_") else plain


def markdown(text: str) -> str:
    """A text on one line as Markdown that shows it letter by letter: no link, picture or element comes of it."""
    words = " ".join(clean(text).split()).replace("&", "&amp;").replace("<", "&lt;")  # not all know a `\\<`
    return re.sub(r"([\\`*_{}\[\]>#|~!])", r"\\\1", words)


def quoted(name: str) -> str:
    """A name inside a sentence of Markdown that is also printed: as it is, or between backticks where it has marks."""
    plain = clean(name, LABEL_LENGTH)
    return plain if re.fullmatch(r"[\w .:-]*", plain) and "_" not in plain else f"`{plain.replace('`', chr(39))}`"


def key(word: str) -> str:
    """Somebody's word as the last part of a metric's or tag's name, as every store takes it."""
    made = re.sub(r"[^\w .:-]", "_", clean(word, KEY_LENGTH)).strip()
    return made if made.strip(".") else "_"
