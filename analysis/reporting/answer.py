"""The answer of a rule in the MLflow UI: lines of Markdown, and metrics."""

from __future__ import annotations

from collections.abc import Mapping

from elbowroom.tracking.store.names import CHOICE_PREFIX, ELBOW_PREFIX, KEPT_PREFIX
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, key, markdown

from ..elbow import Verdict
from ..purposes import Rule
from ..purposes.choice import Choice


def answer_metrics(choices: Mapping[str, Choice], verdicts: Mapping[str, Verdict | None]) -> dict[str, float]:
    """Return what a study's run and an analysis log of curves, by label: the choice, the clear elbow, the share kept.

    The share is that at the choice, or at the best dim3 where the rule asks for more.
    """
    found: dict[str, float | None] = {}
    for label, choice in choices.items():
        verdict = verdicts.get(label)
        found[CHOICE_PREFIX + key(label)] = choice.choice
        found[ELBOW_PREFIX + key(label)] = None if verdict is None else verdict.dim3
        found[KEPT_PREFIX + key(label)] = choice.value if choice.purpose == "keep" else None
    return {name: float(value) for name, value in found.items() if value is not None}


def answer_lines(
    title: str, rule: Rule, choices: Mapping[str, Choice], verdicts: Mapping[str, Verdict | None]
) -> list[str]:
    """Return the answer of a rule as lines of Markdown: a short sentence, and a table with a row for each model.

    Parameters
    ----------
    title
        The data, and what the models share.
    rule
        The rule that chose.
    choices
        The choice of each model by its label.
    verdicts
        The verdict on the curve of each model, where there is one.
    """
    found = ", ".join(f"{_literal(label)} {_dim3_of(choice)}" for label, choice in choices.items())
    lines = [f"{_literal(title)}: {found} (dim3 to {rule.words})", ""]
    lines += ["| model | dim3 | 95 % interval | elbow |", "|:--|:--|:--|:--|"]
    for label, choice in choices.items():
        row = (label, _dim3_of(choice), _interval(choice), _elbow(verdicts.get(label)))
        lines.append(f"| {' | '.join(map(_literal, row))} |")
    return lines


def _dim3_of(choice: Choice) -> str:
    if choice.choice is not None:
        return str(choice.choice)
    return "no answer" if choice.missing else "not reached"


def _interval(choice: Choice) -> str:
    ends = choice.interval
    if ends is None or ends == (None, None):
        return ""
    return " to ".join(dict.fromkeys("…" if end is None else str(end) for end in ends))


def _elbow(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if verdict.kind == "clear" and verdict.interval is not None:
        return f"{verdict.dim3} ({verdict.interval[0]} to {verdict.interval[1]})"
    return {"straight": "none, a straight line", "exhausted": "none, still falls"}.get(verdict.kind, "none")


def _literal(text: str) -> str:
    return markdown(clean(text, LABEL_LENGTH))
