"""The paragraph that a stranger reads first: what was trained on what, what came out, what to doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from elbowroom.models import Epoch

from ..config import RunConfig
from ..data.datasets import Dataset
from ..store.names import Metric
from ..store.text import clean, quoted

FALLING = {"constant": 0.01, "one-cycle": 0.05}
"""An error that fell by more than this share at the end had not settled. A cycle ends in a fall of its own making:
1 to 4 % on MNIST, for 5 epochs and for 12."""


def describe(
    config: RunConfig,
    data: Dataset,
    rows: int,
    facts: Mapping[str, str],
    metrics: Mapping[str, float],
    epochs: Sequence[Epoch],
    curve: npt.NDArray[np.float64] | None = None,
) -> str:
    """One paragraph about a finished run, with its main numbers and a warning where it had not settled.

    `curve` (dim3,) is the test error of its first 1, 2, … latents, where the model orders them.
    """
    how = [f"{name} {quoted(facts[name])}" for name in ("loss", "output") if name in facts]
    if epochs:
        early = f" of {config.epochs} (stopped early, patience {config.patience})" * (len(epochs) < config.epochs)
        how += [f"{len(epochs)} epoch{'s' * (len(epochs) != 1)}{early}", f"seed {config.seed}"]
    name = quoted(data.name)
    parts = [
        f"{quoted(config.model)} with {config.dim3} latent dimension{'s' * (config.dim3 != 1)}"
        + (f" ({', '.join(how)})" if how else "")
        + f", trained on {rows:,} rows of {data.dim1} numbers of {name} in {metrics[Metric.FIT_SECONDS]:.1f} s.",
        f"On the {len(data.x_test):,} test rows: mean squared error {metrics[Metric.TEST_MSE]:.5g}, "
        f"{metrics[Metric.TEST_EXPLAINED_VARIANCE]:.1%} of the variance explained"
        + (f"; validation error {metrics[Metric.VAL_MSE_FINAL]:.5g}" if Metric.VAL_MSE_FINAL in metrics else "")
        + ".",
    ]
    if data.test_repeats:
        parts.append("Each test row is one of the training rows, so the test error says nothing of new rows.")
    if config.output == "auto" and "output_reason" in facts:
        parts.append(f"Its output is {quoted(facts['output'])} because {clean(facts['output_reason'])}.")
    if Metric.TEST_ELBO in metrics:
        parts.append(
            f"ELBO {metrics[Metric.TEST_ELBO]:.4g} nats per row, of which KL {metrics[Metric.TEST_KL]:.3g}; "
            f"{metrics[Metric.TEST_ACTIVE_UNITS]:.0f} of {config.dim3} latents active."
        )
    if curve is not None:
        ends = dict.fromkeys((1, max(config.dim3 // 2, 1), config.dim3))
        parts.append(
            f"Its latents are ordered, so one training gives the error of every smaller dim3 ({Metric.CURVE_MSE}, the "
            f"step is the dim3): {', '.join(f'{curve[k - 1]:.4g} at {k}' for k in ends)}."
        )
    doubt = unsettled(epochs, config)
    return " ".join([*parts, doubt] if doubt else parts)


def unsettled(epochs: Sequence[Epoch], config: RunConfig) -> str | None:
    """A warning where the error fell by more than FALLING in the last fifth of a spent budget, else None.

    Judged on `val/mse`, or where there are no validation rows on the training loss.
    """
    if not epochs or len(epochs) < config.epochs:
        return None
    name = Metric.VAL_MSE if Metric.VAL_MSE in epochs[0].metrics else Metric.TRAIN_LOSS
    called = "validation error" if name == Metric.VAL_MSE else "training loss (there are no validation rows)"
    if len(epochs) == 1:
        return f"One epoch cannot show whether the {called} has settled: raise --epochs."
    errors = [e.metrics[name] for e in epochs]
    last = max(1, len(errors) // 5)
    before, after = min(errors[:-last]), min(errors[-last:])
    fall = (before - after) / abs(before) if before else 0.0
    if fall <= FALLING[config.schedule]:
        return None
    span = f"{last} epochs" if last > 1 else "epoch"
    return f"The {called} was still falling, by {fall:.1%} over the last {span}: more --epochs would lower it."
