"""The description of a run: what was trained on which data, the main numbers, and a warning."""

from __future__ import annotations

from collections.abc import Sequence

from elbowroom.models import Epoch
from elbowroom.models.measures.errors import IN_USE_NATS

from ..config import RunConfig
from ..data.prepared_data import PreparedData
from ..store.names import FACT_PREFIX, Metric
from ..store.recorder import RunRecord
from ..store.text import clean, dominance, quoted

_FALLING = {"constant": 0.01, "one-cycle": 0.05}
"""An error that fell by more than this share in the last epochs had not settled. The end of a cycle alone lowers it by
1 to 4 %, on MNIST with 5 and with 12 epochs."""


def describe(config: RunConfig, prepared_data: PreparedData, record: RunRecord, epochs: Sequence[Epoch]) -> str:
    """Describe a finished run in a short line, which lists show, and a paragraph; warn where its error had not settled.

    Parameters
    ----------
    config : RunConfig
    prepared_data : PreparedData
    record : RunRecord
        The run's final metrics, its model's `facts()` as tags, and the curve of a model that orders its latents.
    epochs : sequence of Epoch
        Empty for a model without epochs.

    Returns
    -------
    str
        Markdown.
    """
    data, metrics, curve = prepared_data.data, record.metrics, record.curve
    facts = {name.removeprefix(FACT_PREFIX): text for name, text in record.tags.items()}
    how = [f"{name} {quoted(facts[name])}" for name in ("loss", "output") if name in facts]
    if epochs:
        trained, budget = epochs[-1].number, epochs[-1].total
        early = f" of {budget} (stopped early, patience {config.patience})" * (trained < budget)
        how += [f"{trained} epoch{'s' * (trained != 1)}{early}", f"seed {config.seed}"]
    explained = 100 * metrics[Metric.TEST_EXPLAINED_VARIANCE]
    title = (
        f"{quoted(config.model)}, dim3 {config.dim3}: {explained:.1f} % of the variance of "
        f"{len(data.x_test):,} test rows explained"
    )
    dominant = prepared_data.dominant_column
    parts = [f"Caution: {dominance(*dominant)}."] if dominant else []
    parts += [
        f"Mean squared error {metrics[Metric.TEST_MSE]:.5g} on test rows"
        + (f", {metrics[Metric.VAL_MSE_FINAL]:.5g} on validation rows" if Metric.VAL_MSE_FINAL in metrics else "")
        + ".",
        f"Trained on {len(prepared_data.split.x_train):,} rows of {data.dim1} numbers of {quoted(data.name)} in "
        f"{metrics[Metric.FIT_SECONDS]:.1f} s" + (f": {', '.join(how)}." if how else "."),
    ]
    if data.scaler is not None:
        parts.append(
            f"Errors are in the units of --scale {config.scale}; errors/columns_test_own_units.npy has each column's "
            "in its own."
        )
    if data.notes:
        parts.append(f"The data: {'; '.join(map(quoted, data.notes))}.")
    if data.test_repeats:
        parts.append("Each test row is one of the training rows, so the test error says nothing about new rows.")
    if config.output == "auto" and "output_reason" in facts:
        parts.append(f"Its output is {quoted(facts['output'])} because {clean(facts['output_reason'])}.")
    if Metric.TEST_ELBO in metrics:
        parts.append(
            f"ELBO {metrics[Metric.TEST_ELBO]:.4g} nats per row, of which KL {metrics[Metric.TEST_KL]:.3g}; "
            f"{metrics[Metric.TEST_UNITS_IN_USE]:.0f} of {config.dim3} latents in use (KL above {IN_USE_NATS} nat)."
        )
    if curve is not None:
        ends = dict.fromkeys((1, max(config.dim3 // 2, 1), config.dim3))
        parts.append(
            f"Its latents are ordered, so one training gives the error of every smaller dim3 ({Metric.CURVE_MSE}, the "
            f"step is the dim3): {', '.join(f'{curve[k - 1]:.4g} at {k}' for k in ends)}."
        )
    warning = _unsettled(epochs, config)
    return f"{title}\n\n{' '.join([*parts, warning] if warning else parts)}"


def _unsettled(epochs: Sequence[Epoch], config: RunConfig) -> str | None:
    """A warning where the error fell by more than _FALLING in the last fifth of a spent budget, else None.

    The error is `val/mse`, or the training loss where there are no validation rows.
    """
    if not epochs or epochs[-1].number < epochs[-1].total:
        return None
    name = Metric.VAL_MSE if Metric.VAL_MSE in epochs[0].metrics else Metric.TRAIN_LOSS
    called = "validation error" if name == Metric.VAL_MSE else "training loss (there are no validation rows)"
    if len(epochs) == 1:
        return f"One epoch cannot show whether the {called} has settled: raise --epochs."
    last = max(1, epochs[-1].number // 5)
    start = epochs[-1].number - last
    before = min(e.metrics[name] for e in epochs if e.number <= start)
    after = min(e.metrics[name] for e in epochs if e.number > start)
    fall = (before - after) / abs(before) if before else 0.0
    if fall <= _FALLING[config.schedule]:
        return None
    span = f"{last} epochs" if last > 1 else "epoch"
    return f"The {called} was still falling, by {100 * fall:.1f} % over the last {span}: more --epochs would lower it."
