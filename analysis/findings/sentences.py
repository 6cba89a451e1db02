"""A verdict in one sentence, and as metrics."""

from __future__ import annotations

from elbowroom.tracking.store.names import CHOICE_PREFIX, ELBOW_PREFIX
from elbowroom.tracking.store.text import key

from ..elbow import Verdict


def sentence(label: str, verdict: Verdict, confirmed: bool | None = None) -> str:
    """Return verdict and choice of one model in one sentence; confirmed is None where no longer training tells."""
    if verdict.kind == "clear" and verdict.interval is not None:
        low, high = verdict.interval
        sure = {None: "", True: ", confirmed at twice the epochs", False: ", not confirmed at twice the epochs"}[
            confirmed
        ]
        return f"{label}: use dim3 = {verdict.choice}: a clear elbow there (95 % interval {low} to {high}){sure}"
    kinds = {
        "none": "no elbow, the curve is smooth",
        "straight": "no elbow, a straight line explains the curve best",
        "exhausted": "no elbow",
    }
    use = f"use dim3 = {verdict.choice}, " if verdict.choice is not None else "no choice yet: "
    return f"{label}: {use}{verdict.rule}; {kinds.get(verdict.kind, verdict.kind)}"


def numbers(label: str, verdict: Verdict) -> dict[str, float]:
    """Return the choice and the elbow of a verdict as metrics, without those that are None."""
    named = {f"{CHOICE_PREFIX}{key(label)}": verdict.choice, f"{ELBOW_PREFIX}{key(label)}": verdict.dim3}
    return {k: float(v) for k, v in named.items() if v is not None}
