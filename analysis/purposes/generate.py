"""The purpose `generate`: the smallest dim3 whose ELBO is as good as that of larger ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .choice import ByDim3, Choice, reaching
from .plateau import Losses, beside, mean_of

_LEVEL, _INTERVAL = 0.95, 0.975  # one-sided


def generate(
    label: str,
    elbo: ByDim3,
    in_use: Sequence[float] | None = None,
    test: ByDim3 | None = None,
    amount: float = 0.5,
) -> Choice:
    """Choose the smallest dim3 whose -ELBO is shown to exceed that of the plateau by at most an amount.

    The plateau is the mean over all dim3 that are not shown to be worse than the least. A choice is reached where two
    larger dim3 were scanned and the last two are no better than the others from the choice on. With one training a dim3
    the choice is of these networks: neighbours are no replicates of one another where a curve rises beyond its least.

    Parameters
    ----------
    label
        The model's.
    elbo
        -ELBO of the rows that choose, in nats a row.
    in_use
        Units in use (KL > 0.05 nat) at the largest dim3, of each training; None where that is not known.
    test
        -ELBO of the test rows; None where they are the rows that choose.
    amount
        Nats a row.

    Returns
    -------
    Choice
        `value` is the -ELBO of the test rows, in nats a row.
    """
    losses = Losses(elbo)
    plateau = mean_of(losses.plateau())
    excess = {k: losses.excess(k, plateau) for k in sorted(elbo)}
    enough = [k for k in excess if excess[k].upper(_LEVEL) <= amount]
    choice = enough[0] if enough and losses.seen_to_end(enough[0], amount) else None
    at = losses.least if choice is None else choice
    below = max((k for k in elbo if choice is None or k < choice), default=None)
    interval = None
    if choice is not None and losses.between.freedom:
        interval = (
            reaching(min(k for k in excess if excess[k].lower(_INTERVAL) <= amount), excess),
            min((k for k in excess if excess[k].upper(_INTERVAL) <= amount), default=None),
        )
    missing = ""
    largest, within = max(elbo), f"{amount:g} nat{'s' if amount > 1 else ''}"
    if choice is not None:
        about = beside(choice, below, excess.get(below or 0), amount, interval)
        about += _units(in_use, largest)
        said = f" comes within {within} of the plateau of its ELBO with dim3 {choice} ({about})"
    elif enough:
        why = "its ELBO may still gain" if losses.least == largest else "too few larger dim3 to see its plateau"
        said = f": not reached by dim3 {largest}: {why}, extend the range"
    else:
        missing = f"too few rows or trainings to tell its ELBO within {within}"
        said = f": {missing}"
    return Choice(
        choice=choice,
        below=below,
        interval=interval,
        reached=choice is not None,
        value=float((test or elbo)[at].seeds.mean()),
        seeds=len(elbo[at].seeds),
        rows=len(elbo[at].rows),
        sentence=f"{label}{said}; about the ELBO, not about pictures",
        missing=missing,
    )


def _units(in_use: Sequence[float] | None, largest: int) -> str:
    if not in_use:
        return ""
    used = float(np.mean(in_use))
    if round(used) == 0:
        return "; no unit is in use: its codes tell nothing of the rows"
    if used >= largest:
        return f"; all {largest} units in use: extend the range to count them"
    return f"; {used:.3g} of {largest} units in use"
