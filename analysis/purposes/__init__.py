"""Rules that choose dim3 for a purpose. Pure numpy.

To add a purpose: one function that returns a `Choice`, and one line in `PURPOSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite
from typing import Final, NamedTuple, Protocol

from elbowroom.tracking.store.errors import BadInput

from .. import Floats
from .choice import ByDim3, Choice, Missing, NotOffered
from .features import features
from .generate import generate
from .keep import Fitted, keep, psnr
from .probe import Coded
from .rank import Beside, rank

__all__ = ["DEFAULT_RULE", "PURPOSES", "NotOffered", "Rule", "choose", "in_order", "no_choice"]

DEFAULT_RULE: Final = "keep:0.90"


class Evidence(Protocol):
    """The contents of the runs of one model. A member raises Missing where the store lacks it."""

    label: str
    seeded: bool

    @property
    def fitted(self) -> Fitted:
        """The squared errors of held-out rows."""

    def value_range(self) -> float:
        """Return the largest less the smallest value of the training rows."""

    def probe(self) -> tuple[Coded, Coded | None]:
        """Return the codes of the rows that choose, and of those that report, None where they are the same."""

    def elbo(self) -> tuple[ByDim3, Sequence[float], ByDim3 | None]:
        """Return -ELBO of the rows that choose, units in use at the largest dim3, and -ELBO of the test rows."""

    def hidden_entries(self) -> tuple[Mapping[int, Floats], Floats, Beside]:
        """Return the squared errors of hidden entries, those of the mean row, and other counts."""

    def elbow(self) -> Choice:
        """Return the clear elbow of the curve."""

    def returns(self, share: float) -> Choice:
        """Return where one more dimension lowers the error by less than a share."""


class Purpose(NamedTuple):
    """A purpose: its function of the evidence and an amount; the amount by default, and the limits that it is between.

    Without limits the rule takes no amount. meaning explains the amount, and words returns what the rule asks for, as
    an infinitive. elbo: whether its models are those with an ELBO, or those without, None for all; only says so. serves
    is false for a place of the curve, which is nothing to use.
    """

    choose: Callable[[Evidence, float], Choice]
    meaning: str
    words: Callable[[float], str]
    amount: float = 0.0
    limits: tuple[float, float] | None = None
    elbo: bool | None = None
    only: str = ""
    serves: bool = True


def _counted(amount: float, noun: str) -> str:
    """Return an amount with its noun, as `0.5 nat` and `2 points`."""
    return f"{amount:.10g} {noun}{'s' if amount > 1 else ''}"  # 10 digits: 100 * 0.07 is no 7 in all 17


PURPOSES: Final[Mapping[str, Purpose]] = {
    "keep": Purpose(
        lambda e, q: keep(e.fitted, q),
        "share of the variance kept",
        lambda q: f"keep {100 * q:.10g} % of the variance",
        0.90,
        (0, 1),
    ),
    "psnr": Purpose(
        lambda e, t: psnr(e.fitted, t, e.value_range()),
        "peak signal-to-noise ratio in dB",
        lambda t: f"reach {t:.10g} dB",
        30,
        (0, 200),
    ),
    "features": Purpose(
        lambda e, m: features(e.label, *e.probe(), m, seeded=e.seeded),
        "loss of balanced accuracy of nearest neighbours among the codes",
        lambda m: f"classify by neighbours within {_counted(100 * m, 'point')} of the best",
        0.02,
        (0, 1),
    ),
    "generate": Purpose(
        lambda e, d: generate(e.label, *e.elbo(), d),
        "excess of -ELBO over its plateau, nats",
        lambda d: f"come within {_counted(d, 'nat')} of the best scanned ELBO",
        0.5,
        (0, 1000),
        True,
        "generate is for models with an ELBO",
    ),
    "rank": Purpose(
        lambda e, _: rank(e.label, *e.hidden_entries(), seeded=e.seeded),
        "hidden entries predicted best, of runs with --measure",
        lambda _: "predict hidden entries best",
        elbo=False,
        only="rank is not measured for a model with a prior: fitting a code to a row leaves the prior out",
    ),
    "gain": Purpose(
        lambda e, g: e.returns(g),
        "fall of the error by one more dimension",
        lambda g: f"come to where one more lowers the error by less than {100 * g:.10g} %",
        0.05,
        (0, 1),
        serves=False,
    ),
    "elbow": Purpose(
        lambda e, _: e.elbow(), "the clear elbow of the curve", lambda _: "reach the clear elbow", serves=False
    ),
}
"""The purposes by name, in the order of the report."""


class Rule(NamedTuple):
    """A purpose and its amount."""

    purpose: str
    amount: float

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule that a text names; `unexplained:0.10` is `keep:0.90`. Raises BadInput."""
        name, colon, number = text.partition(":")
        share = name == "unexplained"
        purpose = PURPOSES.get("keep" if share else name)
        try:
            amount = float(number) if colon else (0.10 if share else purpose.amount if purpose else inf)
        except ValueError:
            amount = inf
        amount = round(1 - amount, 12) if share else amount
        low, high = (-inf, inf) if purpose is None or purpose.limits is None else purpose.limits
        if purpose is None or not low < amount < high or not isfinite(amount) or (colon and not purpose.limits):
            raise BadInput(f"rule {text!r}: allowed: {allowed()}")
        return cls("keep" if share else name, amount)

    @property
    def text(self) -> str:
        """The rule as `parse` reads it."""
        if PURPOSES[self.purpose].limits is None:
            return self.purpose
        shown = (f"{self.amount:.2f}",) if self.purpose == "keep" else ()
        shortest = next((s for s in (*shown, f"{self.amount:g}") if float(s) == self.amount), repr(self.amount))
        return f"{self.purpose}:{shortest}"

    @property
    def words(self) -> str:
        """The demand of the rule, as `keep 90 % of the variance`."""
        return PURPOSES[self.purpose].words(self.amount)

    @property
    def serves(self) -> bool:
        """Whether the rule asks for a quality, which is the same for all models, and not for a place of the curve."""
        return PURPOSES[self.purpose].serves

    @property
    def head(self) -> str:
        """The words before the cell that the rule picks; those of a place of the curve recommend nothing."""
        return "to use" if self.serves else f"by {self.text}"


def allowed() -> str:
    """Return the rules that there are, for a message."""
    words = [
        f"{name} ({p.meaning})"
        if p.limits is None
        else f"{name}:N ({p.meaning}, between {p.limits[0]:g} and {p.limits[1]:g})"
        for name, p in PURPOSES.items()
    ]
    return f"{', '.join(words)}, and unexplained:U for keep:(1-U)"


def choose(rule: Rule, evidence: Evidence) -> Choice:
    """Return the choice of a model by a rule; its sentence says what is missing where the store has no evidence.

    Raises NotOffered where the purpose does not concern the model.
    """
    try:
        found = PURPOSES[rule.purpose].choose(evidence, rule.amount)
    except NotOffered:
        raise
    except Missing as reason:
        return no_choice(rule, evidence.label, str(reason))
    return replace(found, purpose=rule.purpose, rule=rule.text)


def no_choice(rule: Rule, label: str, why: str) -> Choice:
    """Return a choice without a dim3, and why."""
    said = f"{label}: {why}"
    return Choice(None, None, None, False, None, 0, 0, said, missing=why, purpose=rule.purpose, rule=rule.text)


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Return rules in the order of the report, each once."""
    order = list(PURPOSES)
    return sorted(set(rules), key=lambda rule: (order.index(rule.purpose), rule.amount))
