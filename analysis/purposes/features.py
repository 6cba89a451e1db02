"""The purpose `features`: the smallest dim3 whose codes classify as well as the raw rows, by nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .choice import Choice, Held, reaching
from .plateau import Excess, Losses, Reference, beside, mean_of
from .probe import Coded, Sample

_FEWEST = 50  # rows
_LEVEL, _INTERVAL = 0.95, 0.975  # one-sided
_MOST_NEEDED = 100  # times the rows: a count beyond is a guess
_POWER = (1.645 + 0.842) ** 2  # codes exactly as good are shown to be so in 80 %


def features(
    label: str, rows: Coded, test: Coded | None = None, amount: float = 0.02, *, seeded: bool = True
) -> Choice:
    """Choose the smallest dim3 whose codes are shown to lose at most an amount of balanced accuracy.

    The probe is the vote of the five nearest other rows. The reference is the same probe on the raw rows; where codes
    beat them by more than noise, or where their hits are not known, it is the plateau of the model's best codes, which
    is known only where two larger dim3 follow. Dim3 are tested downward from the best, or from the largest where the
    best are not shown to be enough, to the first that isn't: of many that lose a little too much, one passes by chance.

    Parameters
    ----------
    label
        The model's.
    rows
        Those that choose.
    test
        Those that report; None where they are the same.
    amount
        Balanced accuracy, the mean of the classes' recalls, from 0 to 1.
    seeded
        Whether trainings differ.

    Returns
    -------
    Choice
        `value` is the loss of balanced accuracy at the choice, else at the best dim3, on the rows that report.
    """
    sample = Sample.of(rows)
    if unfit := unfit_labels(sample) or _unfit_codes(rows):
        return Choice(None, None, None, False, None, 0, len(sample.rows), f"{label}: {unfit}", missing=unfit)
    found = _compare(sample, rows, amount)
    choice, best = found.choice, found.losses.least
    at = best if choice is None else choice
    below = max((k for k in rows.codes if choice is None or k < choice), default=None)
    value = _loss(test or rows, at, best if found.own else None)
    interval = None if choice is None or (seeded and not found.losses.between.freedom) else found.interval(choice)
    missing = ""
    if choice is None:
        why, decided = _failure(found, sample, value)
        said, missing = f": {why}", "" if decided else why
    else:
        reference = "its best codes" if found.own else "the raw rows"
        about = beside(choice, below, found.lost.get(below or 0), amount, interval)
        said = f" keeps balanced accuracy within {_points(amount)} of {reference} with dim3 {choice} ({about})"
    return Choice(
        choice=choice,
        below=below,
        interval=interval,
        reached=choice is not None,
        value=value,
        seeds=len(found.losses.held[at].seeds) if seeded else 0,
        rows=len(sample.rows),
        sentence=label + said,
        missing=missing,
    )


class _Comparison(NamedTuple):
    """The codes of each dim3 that was probed against a reference.

    own: the reference is the plateau of their own best. lost: against it. rivals: the differences that have to be at
    most the amount for the best dim3 to be enough. gained: balanced accuracy of the best codes or the raw rows, less
    that of a guess.
    """

    losses: Losses
    own: bool
    lost: Mapping[int, Excess]
    rivals: Sequence[Excess]
    gained: float
    amount: float

    @property
    def nothing(self) -> bool:
        """Whether a guess is nearly as good, so that there is nothing to keep."""
        return self.gained <= 2 * self.amount

    @property
    def choice(self) -> int | None:
        """The dim3 that the rule chooses."""
        found = None if self.nothing else self.smallest(_LEVEL)
        return found if found is None or not self.own or self.losses.seen_to_end(found, self.amount) else None

    def interval(self, choice: int) -> tuple[int | None, int | None]:
        """From the first dim3 above all that are shown to lose more, to the choice at the higher level."""
        worse = max((k for k in self.lost if k < choice and self.lost[k].lower(_INTERVAL) > self.amount), default=0)
        return reaching(min(k for k in self.lost if k > worse), self.lost), self.smallest(_INTERVAL)

    def smallest(self, level: float) -> int | None:
        """The last dim3 that is enough, downward from the best or from the largest; None where neither is enough."""
        best, largest = self.losses.least, max(self.lost)
        strict = level if self.own else 1 - (1 - level) / len(self.lost)  # the best of many is also the luckiest
        starts = [best] if all(rival.upper(strict) <= self.amount for rival in self.rivals) else []
        if not self.own and self._enough(largest, level):
            starts.append(largest)
        return min((self._down(start, level) for start in starts), default=None)

    def _down(self, start: int, level: float) -> int:
        for k in sorted((k for k in self.lost if k < start), reverse=True):
            if not self._enough(k, level):
                break
            start = k
        return start

    def _enough(self, dim3: int, level: float) -> bool:
        """Whether a dim3 is shown to lose at most the amount.

        Codes lose no more with more dim3, so the mean loss of a dim3 and those next below it bounds the loss at it.
        """
        means = [self.lost[k].mean for k in sorted(self.lost, reverse=True) if k <= dim3]
        least = float((np.cumsum(means) / np.arange(1, len(means) + 1)).min())
        return least + self.lost[dim3].spread.margin(level) <= self.amount


def _compare(sample: Sample, rows: Coded, amount: float) -> _Comparison:
    """Probe the codes downward, to the first dim3 that is shown to lose more than the amount against the best above."""
    held: dict[int, Held] = {}
    for k in sorted(rows.codes, reverse=True):
        misses = sample.misses(rows.codes[k])
        held[k] = Held(misses.mean(axis=0), misses @ sample.weights)
        losses = Losses(held.copy(), sample.mean)
        if losses.excess(k, mean_of([losses.least])).lower(_INTERVAL) > amount:
            break
    best, plateau = losses.least, mean_of(losses.plateau())
    raw = plateau if rows.raw is None else Reference({}, (1 - rows.raw[sample.rows]).astype(np.float64))
    over_raw = losses.excess(plateau, raw)
    own = rows.raw is None or over_raw.upper(_INTERVAL) < 0
    missed = sum(share * losses.mean(k) for k, share in plateau.shares.items())
    return _Comparison(
        losses=losses,
        own=own,
        lost={k: losses.excess(k, plateau if own else raw) for k in held},
        rivals=[losses.excess(best, mean_of([k])) for k in held if k > best] if own else [losses.excess(best, raw)],
        gained=1 - 1 / sample.kinds - min(missed, missed - over_raw.mean),
        amount=amount,
    )


def unfit_labels(sample: Sample) -> str:
    """Return why the labels of a sample of rows can't be probed; empty where they can."""
    if len(sample.rows) < _FEWEST:
        return f"{len(sample.rows)} held-out rows with labels are too few for a probe of neighbours, at least {_FEWEST}"
    if sample.kinds < 2:
        few = f"{sample.kinds} of the classes of the {len(sample.rows)} rows that choose"
        return f"{few} have two rows or more, so there is nothing to tell apart"
    return ""


def _unfit_codes(rows: Coded) -> str:
    if not any(np.ptp(codes, axis=0).any() for dim3 in sorted(rows.codes, reverse=True) for codes in rows.codes[dim3]):
        return "its codes are constant, so they tell no classes apart"
    return ""


def _loss(rows: Coded, dim3: int, best: int | None) -> float:
    """The loss of balanced accuracy against the best dim3, or against the raw rows."""
    sample = Sample.of(rows)
    if best is None and rows.raw is not None:
        missed = 1.0 - rows.raw[sample.rows]
    else:
        missed = sample.misses(rows.codes[best or dim3]).mean(axis=0)
    return float(sample.weights @ (sample.misses(rows.codes[dim3]).mean(axis=0) - missed))


def _failure(found: _Comparison, sample: Sample, value: float) -> tuple[str, bool]:
    """Say why there is no choice, and whether the rows decide that."""
    largest = max(found.lost)
    if found.nothing:
        gained, amount = _points(max(found.gained, 0)), _points(found.amount)
        return f"neighbours classify {gained} better than a guess, at most twice the {amount}: nothing to keep", False
    if found.smallest(_LEVEL) is not None:
        return f"not reached by dim3 {largest}: its codes may still gain, extend the range", True
    lost = found.lost[found.losses.least]
    if not found.own and lost.lower() > found.amount:
        return f"not reached by dim3 {largest}: its codes lose {100 * value:.1f} points of balanced accuracy", True
    wide = max((*found.rivals, lost), key=lambda excess: excess.spread.error)
    room = found.amount - max(wide.mean, 0.0)
    needed = len(sample.rows) * _POWER * (wide.spread.error / room) ** 2 if room > 0 else np.inf
    counted = needed < _MOST_NEEDED * len(sample.rows) and not found.losses.between.freedom
    more = f"about {float(f'{needed:.2g}'):.0f} rows" if counted else "more rows or trainings"
    points = _points(found.amount)
    return (
        f"{len(sample.rows)} rows can't show that the codes lose at most {points} of balanced accuracy, {more} could",
        False,
    )


def _points(share: float) -> str:
    return f"{100 * share:.3g} points"
