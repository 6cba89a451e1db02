"""The purposes `keep`, a share of the variance, and `psnr`, a quality in dB: one quality for all models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite, log, log10
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.text import ranges

from .. import Floats
from .choice import ByDim3, Choice, Held, spanned, step
from .crossing import Crossing, Curve, cross
from .uncertainty import Spread

SHARES = (0.80, 0.90, 0.95)
"""The shares of the variance that every report shows."""
_FEW_ROWS = 1000  # validation rows; with fewer, the quality on the test rows stands beside the choice
_HALVES = 4  # of the range; a curve is flat where its pace in the last half doesn't reach the quality in this many more
_FLAT_POINTS = 3  # at the end of the range, at least
_SAME = 0.05  # of the error: a last one that is larger than the least by more is named beside it
_SMALLEST = 1e-12  # share that is left
_DIGITS = 10  # of the quality that was asked for


class Errors(NamedTuple):
    """Squared errors of one set of held-out rows, means over columns.

    by_dim3 are those of the model, base (N,) those of the mean training row on the same rows. whole (K + 1, 2) is PCA's
    error for every dim3 from 0 and the standard error of the logarithm of its share, nan where that is not known; None
    where only the scanned dim3 are known.
    """

    by_dim3: ByDim3
    base: Floats
    whole: Floats | None = None

    @classmethod
    def of_means(cls, by_dim3: Mapping[int, Floats], base: float) -> Errors:
        """Return errors that are known as means over rows alone: those of each training (S,), and the mean row's."""
        return cls({k: Held(np.array([v.mean()]), v) for k, v in by_dim3.items()}, np.array([base]))

    def curve(self, *, seeded: bool) -> Curve:
        """Return the logarithm of the share that is left of the base; trainings deviate by their share of the mean.

        So the mean over trainings is the logarithm of the mean share, which the sentence states. Trainings that are
        apart by a factor have a smaller mean of logarithms.
        """
        if self.whole is not None:
            left = np.maximum(self.whole[1:, 0] / self.whole[0, 0], _SMALLEST)
            return Curve(range(1, len(left) + 1), np.log(left)[:, None], self.whole[1:, 1], seeded, len(self.base))
        mean = float(self.base.mean())
        left = {k: np.maximum(held.seeds / mean, _SMALLEST) for k, held in self.by_dim3.items()}
        seeds = [np.log(of_one.mean()) + of_one / of_one.mean() - 1 for of_one in left.values()]
        rows = [self._rows(k) / float(of_one.mean()) for k, of_one in left.items()]
        return Curve(list(left), seeds, np.array(rows), seeded, len(self.base))

    def most_kept(self, *, seeded: bool) -> float:
        """Return the largest share that is kept, by the monotone fit."""
        return 1 - float(np.exp(self.curve(seeded=seeded).fitted[-1]))

    def kept(self, dim3: int) -> tuple[float, float] | None:
        """Return the share kept at one dim3 and its standard error over the rows, None where it is not known."""
        if dim3 in self.by_dim3:
            return 1 - float(self.by_dim3[dim3].seeds.mean() / self.base.mean()), self._rows(dim3)
        if self.whole is not None and dim3 < len(self.whole):
            left = float(self.whole[dim3, 0] / self.whole[0, 0])
            return 1 - left, left * float(self.whole[dim3, 1])
        return None

    def _rows(self, dim3: int) -> float:
        """The standard error over rows of the share: of a ratio, by the delta method."""
        mean, held = float(self.base.mean()), self.by_dim3[dim3]
        if len(self.base) < 2:
            return 0.0
        residuals = held.rows - held.seeds.mean() / mean * self.base
        return float(residuals.std(ddof=1) / len(self.base) ** 0.5 / mean)


class _Quality(NamedTuple):
    """A share kept: its words, the unit, and the function that gives a share in this unit."""

    share: float
    verb: str
    unit: str
    noun: str
    value: Callable[[float], float]

    def number(self, share: float, digits: int = 3) -> str:
        """Return a share in the unit, without the unit."""
        return f"{self.value(share) * (100 if self.unit == '%' else 1):.{digits}g}"

    def shown(self, share: float, digits: int = 3) -> str:
        """Return a share with the unit."""
        return f"{self.number(share, digits)} {self.unit}"

    def short_of(self, share: float) -> str:
        """Return a smaller share than that which was asked for, with the digits that tell them apart."""
        asked = self.shown(self.share, _DIGITS)
        return next((s for digits in range(3, _DIGITS) if (s := self.shown(share, digits)) != asked), "hardly less")


class Fitted(NamedTuple):
    """A model's errors on the rows that choose and on those that report.

    seeded: whether trainings differ. most: the largest dim3 that the data allow, min(N, dim1). note: what to know about
    the rows, or nothing.
    """

    label: str
    chosen: Errors
    reported: Errors
    seeded: bool
    most: int
    note: str = ""


def keep(model: Fitted, share: float) -> Choice:
    """Choose the smallest dim3 that keeps a share, from 0 to 1, of the variance of held-out rows."""
    return _choose(model, _Quality(share, "keeps", "%", " of the variance", float))


def psnr(model: Fitted, decibels: float, value_range: float) -> Choice:
    """Choose the smallest dim3 with a peak signal-to-noise ratio, in dB of the data's range, on held-out rows.

    Parameters
    ----------
    model
        Its errors; what they are a share of is not read.
    decibels
        10 log10(range^2 / mean squared error), at least.
    value_range
        The largest less the smallest value of the training rows.
    """

    def of_range(errors: Errors) -> Errors:
        return Errors(errors.by_dim3, np.full(len(errors.base), value_range**2))

    share = 1 - 10 ** (-decibels / 10)
    if float(model.chosen.base.mean()) <= (1 - share) * value_range**2:
        model = model._replace(note=f"the mean row reaches {decibels:.10g} dB without any latent")
    model = model._replace(chosen=of_range(model.chosen), reported=of_range(model.reported))
    return _choose(model, _Quality(share, "reaches", "dB", "", _decibels))


def _decibels(share: float) -> float:
    return -10 * log10(max(1 - share, _SMALLEST))


def _choose(model: Fitted, quality: _Quality) -> Choice:
    curve = model.chosen.curve(seeded=model.seeded)
    found = cross(curve, log(1 - quality.share))
    means = {k: 1 - float(np.exp(s.mean())) for k, s in zip(curve.dim3, curve.seeds, strict=True)}
    at = found.at if found.at is not None else max(means, key=lambda k: means[k])
    value = (model.reported.kept(at) or (means[at],))[0]
    wanted = quality.shown(quality.share, _DIGITS) + quality.noun
    below = max((k for k in means if found.at is None or k < found.at), default=None)
    if found.at is None:
        why = _why_not(curve, model.most, quality)
        lucky = [k for k, mean in means.items() if mean >= quality.share]
        alone = f"; at {ranges(lucky)} it {quality.verb} enough by itself" if lucky else ""
        left_open = f"; {spanned(found.interval)}" if found.interval and found.interval[0] else ""
        said = f"{model.label}: {wanted} {why}{alone}{left_open}"
    else:
        single = model.seeded and all(len(seeds) == 1 for seeds in curve.seeds)
        noise = ", with the noise of neighbouring dim3" if single else ""
        said = f"{model.label} {quality.verb} {wanted} with dim3 {at} ({_parts(means, below, found, quality, noise)})"
        said += ", as many as the data allow" if at >= model.most else ""
    return Choice(
        choice=found.at,
        below=below,
        interval=found.interval,
        reached=found.at is not None,
        value=quality.value(value),
        seeds=len(curve.seeds[list(curve.dim3).index(at)]) if model.seeded else 0,
        rows=len(model.chosen.base),
        sentence=said,
        note=model.note or (_on_test_rows(model, quality, at) if found.at is not None else ""),
        place=found.place,
        by_rows=found.by_rows,
        short=None if found.at is not None else float(curve.fitted[-1]) - log(1 - quality.share),
    )


def _parts(means: dict[int, float], below: int | None, found: Crossing, quality: _Quality, noise: str) -> str:
    """Name the dim3 that is not enough, those that cross back, and the interval; `noise` is about its noise."""
    assert found.at is not None
    low = found.at if found.interval is None else found.interval[0] or 0
    parts = [step(found.at, below, may_do=below is not None and low <= below)]
    for said, back in (
        (
            f"less than {quality.shown(quality.share, _DIGITS)}",
            [k for k, mean in means.items() if k > found.at and mean < quality.share],
        ),
        ("enough by itself", [k for k, mean in means.items() if k < found.at and mean >= quality.share]),
    ):
        if back:
            parts.append(f"at {ranges(back)} it {quality.verb} {said}")
    parts.append("no interval" if found.interval is None else spanned(found.interval) + noise)
    return "; ".join(filter(None, parts))


def _why_not(curve: Curve, most: int, quality: _Quality) -> str:
    """Say why a quality is not reached: not by any dim3, by a curve that rises or has gone flat, or not in this range.

    Parameters
    ----------
    curve
        The logarithms of the shares that are left.
    most
        The largest dim3 that the data allow.
    quality
        The one that was asked for.
    """
    dim3, left, fitted = list(curve.dim3), np.exp(curve.means), np.exp(curve.fitted)
    end, least = dim3[-1], int(left.argmin())
    keeps = f"{quality.verb} {quality.short_of(1 - left[least])}"
    if end >= most and least == len(dim3) - 1:
        return f"not reached by any dim3, the best {keeps}"
    if end >= most:
        return f"not reached up to {end}, as many as the data allow; the best of the tried, {dim3[least]}, {keeps}"
    if left[least] >= 1:
        return f"not reached by {end}, where it errs more than the mean row"
    if len(fitted) < len(dim3):
        return f"not reached, the best, {dim3[least]}, {keeps}, and from {dim3[len(fitted)]} on the error rises"
    if left[-1] > (1 + _SAME) * left[least]:
        worse = f"{end} {quality.verb} {quality.shown(1 - left[-1])}"
        return f"not reached, the best, {dim3[least]}, {keeps}, and {worse}"
    half = fitted[min(int(np.searchsorted(dim3, end / 2)), max(len(dim3) - _FLAT_POINTS, 0)) :]
    if len(half) >= _FLAT_POINTS and _HALVES * (half[0] - half[-1]) < half[-1] - (1 - quality.share):
        return f"not reached, it saturates at {quality.short_of(1 - fitted[-1])}"
    return f"not reached by {end}, which {quality.verb} {quality.short_of(1 - left[-1])}: extend the range"


def _on_test_rows(model: Fitted, quality: _Quality, at: int) -> str:
    """The quality on the test rows, where few validation rows chose the dim3."""
    found, rows = model.reported.kept(at), len(model.chosen.base)
    if rows >= _FEW_ROWS or model.reported is model.chosen or found is None:
        return ""
    kept, error = found
    said = f"chosen on {rows} validation rows; on the test rows {quality.shown(kept)}{quality.noun}"
    if not isfinite(error):
        return said
    margin = Spread(error, len(model.reported.base) - 1).margin(0.975)
    low, high = (quality.number(min(kept + sign * margin, 1)) for sign in (-1, 1))
    less = ": less than on the validation rows, so new rows may keep less" if kept + margin < quality.share else ""
    return f"{said} (95 % interval over rows {low} to {high}){less}"
