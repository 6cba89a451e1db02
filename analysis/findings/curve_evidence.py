"""The evidence of a bare curve of errors for each purpose; needs no store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from elbowroom.tracking.store.text import ranges

from .. import Floats
from ..elbow import LEAST_POINTS, POINTS_TO_TELL, Verdict, judge
from ..purposes.choice import ByDim3, Choice, Missing
from ..purposes.keep import Errors, Fitted
from ..purposes.probe import Coded
from ..purposes.rank import Beside

UNKNOWN = 10**9  # min(N, dim1) of a curve without its data
_Interval = tuple[int | None, int | None] | None


class CurveEvidence:
    """The evidence of errors alone."""

    def __init__(
        self,
        label: str,
        by_dim3: Mapping[int, Floats],
        curve: tuple[list[int], Floats],
        mean_row: float | None,
        most_to_judge: int | None = None,
    ) -> None:
        """Take the errors of a model.

        Parameters
        ----------
        label
            The model's.
        by_dim3
            Errors (S,), one a seed, by dim3.
        curve
            dim3 (D,) and errors (S, D) to judge the elbow on.
        mean_row
            The error of the mean row, None where it is not known.
        most_to_judge
            The largest dim3 of the curve that the elbow is judged on.
        """
        self.label, self.by_dim3, self.curve, self.mean_row = label, by_dim3, curve, mean_row
        self.most_to_judge, self.seeded = most_to_judge, True
        self.unresolved: list[int] = []  # dim3 whose errors are those of 32 bits, and that are no part of the curve
        self.left_out: list[int] = []  # dim3 of the errors that a seek chose, and that are no part of the curve

    @cached_property
    def judged(self) -> tuple[Verdict | None, str]:
        """The verdict on the elbow; None where the curve can't be judged, and why."""
        dim3, errors = self.curve
        if len(dim3) < LEAST_POINTS:
            enough = f"it takes {LEAST_POINTS}, and {POINTS_TO_TELL} to see a corner"
            return None, self._why_few("judge an elbow") or f"a curve of {len(dim3)} dim3 can't be judged: {enough}"
        try:
            return judge(dim3, errors, most=self.most_to_judge), ""
        except ValueError as why:
            return None, str(why)

    def elbow(self) -> Choice:
        """Return the clear elbow as a choice. Raises Missing for a curve that can't be judged."""
        found, why = self.judged
        if found is None:
            raise Missing(why)
        return self._choice(found.dim3, found.interval, found.sentence(self.label))

    def returns(self, share: float) -> Choice:
        """Return where one more dimension lowers the error by less than a share. Raises Missing as `elbow`."""
        dim3, errors = self.curve
        if len(dim3) < POINTS_TO_TELL:
            few = f"gains are told from noise by {POINTS_TO_TELL} dim3 or more, here are {len(dim3)}"
            raise Missing(self._why_few("tell gains from noise") or few)
        try:
            found = judge(dim3, errors, gain=share)
        except ValueError as why:
            raise Missing(str(why)) from None
        said = f"{self.label}: {'' if found.choice is None else f'dim3 {found.choice}, '}{found.rule}"
        return self._choice(found.choice, None, said)

    @cached_property
    def fitted(self) -> Fitted:
        """The errors. Raises Missing where the mean row's error is not known."""
        return self.by_means()

    def by_means(self) -> Fitted:
        """Return the errors as means over rows. Raises Missing where the mean row's error is not known."""
        if self.mean_row is None:
            raise Missing("no share of the variance without the mean row's error: give it as a row with dim3 0")
        errors = Errors.of_means(self.by_dim3, self.mean_row)
        return Fitted(self.label, errors, errors, seeded=True, most=UNKNOWN)

    def value_range(self) -> float:
        """Raise Missing: a curve does not tell the range of the data."""
        raise Missing("a table of errors does not tell the range of the data")

    def probe(self) -> tuple[Coded, Coded | None]:
        """Raise Missing: a curve has no codes."""
        raise Missing("a table of errors has no codes")

    def elbo(self) -> tuple[ByDim3, list[float], ByDim3 | None]:
        """Raise Missing: a curve has no ELBO."""
        raise Missing("a table of errors has no ELBO")

    def hidden_entries(self) -> tuple[dict[int, Floats], Floats, Beside]:
        """Raise Missing: a curve has no entries."""
        raise Missing("a table of errors has no hidden entries")

    def _why_few(self, task: str) -> str:
        """Say why a place of the curve is not told where its dim3 were sought or its errors are those of 32 bits."""
        if self.unresolved:
            return f"its errors at dim3 {ranges(self.unresolved)} are those of 32 bits"
        few = f"its dim3 were sought around an answer, too few to {task}: studies.scan adds the others"
        return few if self.left_out else ""

    def _choice(self, at: int | None, interval: _Interval, sentence: str) -> Choice:
        """A choice by the judged curve."""
        below = max((k for k in self.curve[0] if at is not None and k < at), default=None)
        value = None if at is None else float(self.by_dim3[at].mean())
        return Choice(at, below, interval, at is not None, value, len(self.curve[1]), 0, sentence)
