"""The note of a study in Optuna's dashboard: what the study is, its answers, and how to read the dashboard's plots.

The dashboard keeps a note in the system attributes of its study: a version, which each edit raises, and the Markdown
in pieces.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

import optuna

from elbowroom.tracking.store.addresses import run_page
from elbowroom.tracking.store.session import ui_of
from elbowroom.tracking.store.text import clean, fingerprint, markdown, quoted

from .trials import absolute, retry_storage

_VERSION = "dashboard:note_ver"
_PIECE = "dashboard:note_str:"
_PIECE_LENGTH = 2045  # letters, as in the dashboard
_WRITTEN = "elbowroom:note"  # the version and the digest of the note that was written last
_RUNNING = "The answers are written here when the study ends. If it was interrupted, the same command continues it."
_GRID = (
    "**Best Trial** is not the answer: it is the trial with the smallest error, mostly one with the largest dim3.",
    "**History** and **Hyperparameter Importance** tell nothing here: they are for searches for the smallest error.",
    "The curve of error against dim3 is under **Analytics**: choose *Slice*, then *Param dim3*. It shows all models.",
)
_ONE_DIM3 = (
    "**Best Trial** has the best settings. The validation rows chose them, so expect a slightly worse value on new "
    "rows: train them again with the command above, and read the error of the test rows.",
    "A **pruned** trial was stopped early; its *reason* says why.",
)
_FRONT = (
    "**Best Trials** are the Pareto front: no other trial has both a smaller dim3 and a smaller error.",
    "**Hyperparameter Importance**: read the bars of the error only, because dim3 is itself one of the two values.",
)
_TRIAL = "A trial's *variance kept* is the share of the test rows' variance that its model keeps; *run_id* is its run."


def page_of(tracking_uri: str, experiment_id: str, run_id: str) -> tuple[str, str]:
    """Return the address of a run in the UI, and the command that starts the UI; empty for a server, which has one."""
    address, command = ui_of(absolute(tracking_uri))
    return f"{address}/{run_page(experiment_id, run_id)}", command


def report_command(tracking_uri: str, experiment: str) -> str:
    """Return the command that makes the report of an experiment."""
    uri, name = shlex.quote(clean(absolute(tracking_uri))), shlex.quote(clean(experiment))
    return f"python -m analysis.report --experiment {name} --tracking-uri {uri}"


def compose(
    facts: Mapping[str, str], objectives: Sequence[str], page: tuple[str, str], answers: str, report: str = ""
) -> str:
    """Return the note of a study, in Markdown.

    Parameters
    ----------
    facts
        What the study is, by name.
    objectives
        The names of the objectives.
    page
        As of `page_of`.
    answers
        In Markdown; empty while the study runs.
    report
        The command that makes the report; empty for a tuning, whose trials no report reads.
    """
    address, command = page
    value = "value is" if len(objectives) == 1 else "values are"
    reading = [f"A trial is one training. Its {value} the {markdown(' and '.join(objectives))}: less is better."]
    reading += _GRID if report else _ONE_DIM3 if len(objectives) == 1 else _FRONT
    there = _code(f"{command}\n# then open {address}") if command else f"[The study's run in MLflow](<{address}>)"
    parts = [
        _listed(f"{name}: {_fact(fact)}" for name, fact in facts.items()),
        f"## Answers\n\n{answers or _RUNNING}",
        f"## How to read this dashboard\n\n{_listed([*reading, _TRIAL])}",
        f"## In MLflow\n\n{there}",
    ]
    if report:
        parts.append(f"The report compares the models, with curves and intervals:\n\n{_code(report)}")
    return "\n\n".join(parts)


def _fact(text: str) -> str:
    """A text, literally: as code where it may have an address, of which the dashboard would make a link."""
    return quoted(text, None) if "/" in text else markdown(text)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _code(text: str) -> str:
    """A block of code, which shows any text literally."""
    return "```sh\n{}\n```".format(text.replace("```", "'''"))


@retry_storage
def write_note(storage: optuna.storages.BaseStorage, study_id: int, text: str) -> None:
    """Write the note of a study, unless a user has edited it.

    Its version and digest are kept before the text is written, and the version is raised after it: so a note that a
    crash left half written differs from an edited one.
    """
    attributes = storage.get_study_system_attrs(study_id)
    version, before = attributes.get(_VERSION, 0), sum(name.startswith(_PIECE) for name in attributes)
    there = "".join(attributes[f"{_PIECE}{i}"] for i in range(before))
    written, digest = attributes.get(_WRITTEN, (0, fingerprint("")))
    if version > written or (version == written and fingerprint(there) != digest):
        return
    pieces = [text[i : i + _PIECE_LENGTH] for i in range(0, len(text), _PIECE_LENGTH)]
    pieces += [""] * (before - len(pieces))
    storage.set_study_system_attr(study_id, _WRITTEN, (written + 1, fingerprint(text)))
    for i, piece in enumerate(pieces):
        storage.set_study_system_attr(study_id, f"{_PIECE}{i}", piece)
    storage.set_study_system_attr(study_id, _VERSION, written + 1)
