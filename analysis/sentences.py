"""A verdict in one sentence."""

from __future__ import annotations

from .elbow import Verdict


def sentence(label: str, verdict: Verdict, confirmed: bool | None = None) -> str:
    """Verdict and choice of one model, in one sentence."""
    if verdict.kind == "clear" and verdict.interval is not None:
        low, high = verdict.interval
        sure = {None: "", True: ", confirmed at twice the epochs", False: ", not confirmed at twice the epochs"}[
            confirmed
        ]
        return f"{label}: use dim3 = {verdict.choice}: a clear elbow there (95 % interval {low} to {high}){sure}"
    kinds = {
        "none": "no elbow, the curve is smooth",
        "straight": "no elbow, a straight line explains the curve best",
        "exhausted": "no elbow in this range",
    }
    use = f"use dim3 = {verdict.choice}, " if verdict.choice is not None else "no dim3 chosen, "
    return f"{label}: {use}{verdict.rule}; {kinds.get(verdict.kind, verdict.kind)}"
