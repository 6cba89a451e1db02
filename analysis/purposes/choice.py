"""The input of a purpose, one quantity of held-out rows at each dim3, and its result, `Choice`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .. import Floats


class Held(NamedTuple):
    """One quantity of held-out rows at one dim3.

    rows (N,) are means over seeds, seeds (S,) means over rows, one for each training. Pairs of dim3 have the same rows.
    """

    rows: Floats
    seeds: Floats


ByDim3 = Mapping[int, Held]


class Missing(Exception):
    """Why a purpose has no answer, in one line: what the store lacks, and which command makes it."""


class NotOffered(Missing):
    """A purpose does not concern a model; the purpose's `only` says why."""


@dataclass(frozen=True)
class Choice:
    """The dim3 that serves a purpose.

    Attributes
    ----------
    choice
        The smallest scanned dim3 that is enough; None where none is.
    below
        The largest scanned dim3 that is not enough: the last one where none is. None where there is none, and where a
        place of the curve (`elbow`, `gain`) is not found, as no dim3 falls short of a place that there is not.
    interval
        95 % of the method, from above the largest scanned dim3 that is excluded to the first that is shown to be enough
        (`rank`: to below the next worse one); an end is None where it lies outside the range. None: there is none.
    reached
        Whether the rule is met in the range.
    value
        The quantity at the choice in the rule's unit, on the test rows (`rank`: those that chose); at the best dim3
        where it isn't reached.
    seeds, rows
        How many trainings a dim3 and how many rows made the choice.
    sentence, note
        The answer, with the model's label; and what to know beside it, or nothing.
    missing
        Why the purpose has no answer, without the label: the store has no evidence, or too little; empty where it has
        one.
    purpose, rule
        The purpose, and its rule with its amount, as `keep` and `keep:0.90`; `choose` sets them.
    place
        Where the fitted curve meets the rule, between `below` and `choice`; None where no curve is fitted.
    by_rows
        The interval of the rows alone, which more trainings hardly narrow; None where it is not known.
    short
        By how much the least fitted error exceeds what the rule allows, as a logarithm; None where it does not, or no
        curve is fitted.
    """

    choice: int | None
    below: int | None
    interval: tuple[int | None, int | None] | None
    reached: bool
    value: float | None
    seeds: int
    rows: int
    sentence: str
    note: str = ""
    missing: str = ""
    purpose: str = ""
    rule: str = ""
    place: float | None = None
    by_rows: tuple[int | None, int | None] | None = None
    short: float | None = None

    @property
    def by_error(self) -> bool:
        """Whether the squared error chose, which falls with dim3: a quality that is crossed, and no least."""
        return self.purpose in ("keep", "psnr")


def step(choice: int, below: int | None, *, may_do: bool) -> str:
    """Say what is known of the dim3 below a choice, nothing of 1; `may_do` where `below` is not shown to fail."""
    if below is None:
        return "no smaller one was scanned" if choice > 1 else ""
    skipped = f", {_span(below + 1, choice - 1)} not scanned" if choice - below > 1 else ""
    return f"{below} is not {'shown to be ' if may_do else ''}enough{skipped}"


def reaching(low: int, scanned: Iterable[int]) -> int | None:
    """Return the low end of an interval that reaches down over what was not scanned, as that was not excluded.

    None where the range begins at `low`: no smaller dim3 was excluded.
    """
    excluded = max((k for k in scanned if k < low), default=0)
    return None if low > 1 and not excluded else excluded + 1


def spanned(interval: tuple[int | None, int | None]) -> str:
    """Return a 95 % interval in words."""
    low, high = interval
    ends = _span("before the range" if low is None else low, "beyond the range" if high is None else high)
    return f"95 % interval {ends}"


def _span(low: int | str, high: int | str) -> str:
    return str(low) if low == high else f"{low} to {high}"
