"""Whether more trials of a tuning would help, in a sentence.

Optuna's terminator is deprecated since 4.9, and needs the statistical error of each value. Here the later half of the
trials is compared with the earlier half. Gains shrink from one doubling of the trials to the next, so as many trials
again are expected to gain less than the later half did.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

_RANDOM = 10  # trials that TPE draws at random before it learns from them: its default
_BY_KNOB = 5  # later trials for each setting that is tuned, at least
_SHARE = 0.01  # of an error: about what trainings differ by that have different seeds alone
_NATS = 0.5  # the tolerance of the rule `generate`


def outlook(points: Sequence[tuple[float, float]], knobs: int, *, nats: bool = False) -> str:
    """Return whether more trials would help: not where no later one improved on the earlier ones by more than 1 %.

    Parameters
    ----------
    points
        The value and the dim3 of the trials, in their order; infinity for a pruned one, which is no gain. A trial is
        compared with the earlier ones of its dim3 or less.
    knobs
        The number of settings that are tuned, with dim3 where several are tried.
    nats
        Whether the values are nats, whose zero means nothing, and not errors: then 0.5 nats count.
    """
    trials, least = len(points), max(_RANDOM, _BY_KNOB * knobs)
    later = max(trials // 2, least)
    if trials - later < _RANDOM:
        enough = _RANDOM + least
        return f"Run at least {enough} trials (--trials {enough}): {trials} are too few to tell whether more would help"
    improved = 0
    for value, dim3 in points[-later:]:
        before = min((v for v, d in points[:-later] if d <= dim3), default=inf)
        improved += value < (before - _NATS if nats else (1 - _SHARE) * before)
    helps = f"may help (--trials {2 * trials})" if improved else "are unlikely to help"
    by = f"{_NATS} nats" if nats else f"{100 * _SHARE:.0f} %"
    some = f"{improved or 'none'} of the last {later} of {trials} trials"
    return f"More trials {helps}: {some} improved on the earlier ones by more than {by}"
