"""Texts of other people, such as file names and errors, made safe to show: on one line, without secrets or markup."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final

LABEL_LENGTH: Final = 80  # letters of the name of a model, a data set or a run in a sentence
KEY_LENGTH: Final = 200  # letters of the last part of a metric's or tag's name: MLflow takes 250 for the whole


def clean(text: str, longest: int | None = None) -> str:
    """Return a text on one line without secrets, with a space for each control character.

    A text longer than `longest` is cut in its middle, as names often differ at their ends. A URI is kept whole or left
    out, unless the text begins with it.
    """
    line = "".join(c if c.isprintable() else " " for c in hidden(text))  # hidden first: half a secret looks like none
    if longest is None or len(line) <= longest:
        return line
    tail = longest // 3
    start, end = longest - tail - 1, len(line) - tail
    for word in re.finditer(r"\S+", line):
        if word.start() and "://" in word[0]:
            start = word.start() if word.start() < start < word.end() else start
            end = word.end() if word.start() < end < word.end() else end
    return f"{line[:start]}…{line[end:]}"


def hidden(text: str) -> str:
    """Return a text without the passwords, tokens and keys of URIs, connection strings, headers and the environment."""
    text = _BARE.sub(r"\1***", _LOGIN.sub(_without_login, _WEB_USER.sub(r"\1***", text)))
    text = _HEADER.sub(r"\1***", _NAMED.sub(r"\1\2\4***\3\5", text))
    for secret in (os.environ.get(name, "") for name in _SECRETS):
        if len(secret) >= _SHORT_SECRET:
            text = text.replace(secret, "***")
    return text


def dominance(column: str, share: float) -> str:
    """Return the sentence on a column that has nearly all the variance of a data set, and what to do about it."""
    much = "over 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"
    return (
        f"column {quoted(column, 40)} has {much} of the variance, so errors and shares tell little of the others; "
        "--scale columns gives each column the same weight"
    )


def drawn_plainly(text: str) -> str:
    """Return a label for matplotlib: no formula, not empty, and not hidden for a leading `_`."""
    plain = text.replace("$", r"\$") or " "
    return f" {plain}" if plain.startswith("_") else plain


def markdown(text: str) -> str:
    """Return Markdown that shows a text literally, on one line: it makes no link, picture or element."""
    words = " ".join(clean(text).split()).replace("&", "&amp;").replace("<", "&lt;")  # `\\<` is not known everywhere
    return re.sub(r"([\\`*_{}\[\]>#|~!])", r"\\\1", words)


def quoted(name: str, longest: int | None = LABEL_LENGTH) -> str:
    """Return a name for a sentence that is Markdown and also printed: as it is, or in backticks where it has markup."""
    plain = clean(name, longest)
    return plain if re.fullmatch(r"[\w .:-]*", plain) and "_" not in plain else f"`{plain.replace('`', chr(39))}`"


def key(word: str) -> str:
    """Return a word as the last part of a metric's or tag's name that every store accepts."""
    made = re.sub(r"[^\w .:-]", "_", clean(word, KEY_LENGTH)).strip()
    return made if made.strip(".") else "_"


def _without_login(found: re.Match[str]) -> str:
    """A URI without its password, which ends at the last @, as it may contain @ and /."""
    login, at, host = found[0].rpartition("@")
    if not at:
        return found[0]
    return f"{found[1]}***" + ("" if _NAMED.search(login) else f"@{host}")  # then the @ may be part of the other secret


_SECRETS: Final = (
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
"""Environment variables whose values are hidden."""

_SHORT_SECRET: Final = 8
"""Shorter secrets are hidden in URIs only: elsewhere they may be words of the text."""

# Each pattern takes linear time: the text that a failed match has read has no start of another match.
_WEB_USER = re.compile(r"(https?://)[^:/?#@\s]+(?=(?::(?:x-oauth-basic)?)?@)", re.IGNORECASE)
"""A user without a password is a token on the web; in URIs of databases and ssh it is a name."""

_LOGIN = re.compile(r"(://[^:/@\s]*:)\S*")
"""A URI with a user or a port, to its end; `_without_login` finds the @."""

_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|token|signature|credential"
    r"|(?:access|account|api|private|secret)[_-]?key"
    r"|[?&;](?:pass|sig|sas|key|subscription-key|auth|code))"
)

_IS = r"""(?:=| = |%3D|\\?["'] ?: ?)(?!=)"""

_VALUE = r"""(?:(\\?")[^"\n]*?(\\?")|(\\?')[^'\n]*?(\\?')|[^&\s]*[^&\s'"),\]])"""

_NAMED = re.compile(f"({_NAME}{_IS}){_VALUE}", re.IGNORECASE)
"""In a query, a connection string, JSON or a call. A `;` does not end a value: passwords may contain it."""

_HEADER = re.compile(
    r"(authorization\W{1,4}(?:basic |bearer |token |(?=\S*\d))|\bbearer (?=\S*\d)|(?:api-key|-token|cookie): )"
    r"[^\s'\",]+",
    re.IGNORECASE,
)

_BARE = re.compile(r"(?<![^\s'\"/])(?!mailto:)([\w.+-]+:)[^\s/@'\"]+(?=@)")
"""user:password@host without a scheme: mistyped, or in the errors of libraries."""


def fingerprint(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ranges(values: list[int]) -> str:
    """Return ascending whole numbers as text, consecutive ones as a range: `2 to 10, 15`."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
