"""Whether more trials of a tuning would help, in a sentence.

Optuna's terminator is deprecated since 4.9, and needs the statistical error of each value. Here the later half of the
trials is compared with the earlier half. Gains shrink from one doubling of the trials to the next, so as many trials
again are expected to gain less than the later half did.
"""

from __future__ import annotations

from collections.abc import Sequence

_RANDOM = 10  # trials that TPE draws at random before it learns from them: its default
_BY_KNOB = 5  # later trials for each setting that is tuned, at least
_SHARE = 0.01  # of an error: about what trainings differ by that have different seeds alone
_NATS = 0.5  # the tolerance of the rule `generate`


def outlook(values: Sequence[float], knobs: int, *, nats: bool = False) -> str:
    """Return whether more trials would lower the best value: not where the later ones did so by less than 1 %.

    Parameters
    ----------
    values
        Of the trials, in their order; infinity for a pruned one, which is no gain.
    knobs
        The number of settings that are tuned.
    nats
        Whether they are nats, whose zero means nothing, and not errors: then by less than 0.5 nats.
    """
    later = _later(len(values), knobs)
    if not later:
        return _too_few(len(values), knobs)
    before, best = min(values[:-later]), min(values)
    gain, found = before - best, f"found no better value than {best:.5g}"
    if gain > 0:
        by = f"{gain:.2g} nats" if nats else f"{gain / before:.1%}"
        found = f"lowered the best value by {by}, from {before:.5g} to {best:.5g}"
    helps = gain > (_NATS if nats else _SHARE * before)
    return _said(helps, len(values), f"the last {later} of {len(values)} trials {found}")


def front_outlook(points: Sequence[tuple[float, float]], knobs: int) -> str:
    """Return whether more trials would move the Pareto front: not where no later one lowered its error by 1 %.

    Parameters
    ----------
    points
        The error and the dim3 of the trials, in their order.
    knobs
        The number of settings that are tuned, dim3 included.
    """
    later = _later(len(points), knobs)
    if not later:
        return _too_few(len(points), knobs)
    lowered = 0
    for error, dim3 in points[-later:]:
        before = [e for e, d in points[:-later] if d <= dim3]
        lowered += not before or error < (1 - _SHARE) * min(before)
    of = f"{lowered or 'none'} of the last {later} of {len(points)} trials"
    return _said(lowered > 0, len(points), f"{of} lowered the error of the Pareto front by more than {_SHARE:.0%}")


def _least(knobs: int) -> int:
    return max(_RANDOM, _BY_KNOB * knobs)


def _later(trials: int, knobs: int) -> int:
    """The number of later trials, which are compared with the earlier ones; 0 where either are too few."""
    later = max(trials // 2, _least(knobs))
    return later if trials - later >= _RANDOM else 0


def _too_few(trials: int, knobs: int) -> str:
    enough = _RANDOM + _least(knobs)
    return f"Run at least {enough} trials (--trials {enough}): {trials} are too few to tell whether more would help"


def _said(helps: bool, trials: int, why: str) -> str:
    return f"More trials {f'may help (--trials {2 * trials})' if helps else 'are unlikely to help'}: {why}"
