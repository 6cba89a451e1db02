"""The description of a finished run, and its warning where the error had not settled."""

from dataclasses import replace

import numpy as np
import pytest

from elbowroom.models import Epoch
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.run.description import describe
from elbowroom.tracking.store.names import FACT_PREFIX, Metric
from elbowroom.tracking.store.recorder import RunRecord

DIGITS = PreparedData.load(RunConfig(dataset="digits"))
METRICS = {Metric.FIT_SECONDS: 12.34, Metric.TEST_MSE: 0.041234567, Metric.TEST_EXPLAINED_VARIANCE: 0.61234}
END = "of digits in 12.3 s: "


def epochs(values: list[float], name: str = "val/mse") -> list[Epoch]:
    return [Epoch(i + 1, len(values), {name: v, "train/loss": v}) for i, v in enumerate(values)]


def paragraph(config: RunConfig, seen: list[Epoch], record: RunRecord | None = None) -> str:
    return describe(config, DIGITS, RunRecord(METRICS) | (record or RunRecord()), seen)


@pytest.mark.parametrize(
    ("values", "schedule", "warning"),
    [
        (
            [10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
            "constant",
            "validation error was still falling, by 66.7 % over the last 2",
        ),
        ([2, 1, 1, 1, 1, 1, 1, 1, 1, 0.995], "constant", None),
        ([2, 1, 1, 1, 1, 1, 1, 1, 1, 0.985], "constant", "by 1.5 % over the last 2 epochs"),
        ([4, 3, 2, 1], "constant", "by 50.0 % over the last epoch:"),
        ([2, 1, 1.5, 1.6, 1.7], "constant", None),
        ([3], "constant", "One epoch cannot show whether the validation error has settled"),
        ([2, 1, 1, 1, 0.96], "constant", "by 4.0 %"),
        ([2, 1, 1, 1, 0.96], "one-cycle", None),  # the end of a cycle alone lowers it as much
        ([2, 1, 1, 1, 0.94], "one-cycle", "by 6.0 %"),
    ],
)
def test_the_warning(values: list[float], schedule: str, warning: str | None) -> None:
    said = paragraph(RunConfig(epochs=len(values), schedule=schedule), epochs(values))
    assert said.endswith("seed 0.") if warning is None else warning in said.partition(END)[2]


def test_without_validation_rows_the_training_loss_is_judged_and_early_stops_are_not() -> None:
    falling = epochs([3, 2, 1], "train/loss")
    said = "training loss (there are no validation rows) was still falling, by 50.0 %"
    assert said in paragraph(RunConfig(epochs=3), falling)
    assert paragraph(RunConfig(epochs=20), [replace(e, total=20) for e in falling]).endswith("seed 0.")


def test_the_last_fifth_is_counted_in_epochs_where_not_each_is_measured() -> None:
    at = {1: 10.0, 4: 5.0, 8: 4.0, 9: 3.0, 10: 2.0}
    said = paragraph(RunConfig(epochs=10, schedule="constant"), [Epoch(n, 10, {"val/mse": v}) for n, v in at.items()])
    assert "10 epochs, seed 0" in said
    assert "by 50.0 % over the last 2 epochs" in said


def test_the_paragraph_of_a_vae_that_was_still_falling() -> None:
    config = RunConfig(dataset="digits", dim3=3, epochs=2, seed=5)
    metrics = {
        Metric.VAL_MSE_FINAL: 0.05, Metric.TEST_ELBO: -105.81, Metric.TEST_KL: 25.44, Metric.TEST_UNITS_IN_USE: 2.0,
    }  # fmt: skip
    facts = {"loss": "bce", "output": "sigmoid", "output_reason": "of the data", "device": "cpu"}
    record = RunRecord(metrics, {f"{FACT_PREFIX}{name}": text for name, text in facts.items()})
    assert paragraph(config, epochs([2, 1]), record) == (
        "vae, dim3 3: 61.2 % of the variance of 299 test rows explained\n\n"
        "Mean squared error 0.041235 on test rows, 0.05 on validation rows. Trained on 1,349 rows of 64 numbers of "
        "digits in 12.3 s: loss bce, output sigmoid, 2 epochs, seed 5. Its output is sigmoid because of the data. "
        "ELBO -105.8 nats per row, of which KL 25.4; 2 of 3 latents in use (KL above 0.05 nat). "
        "The validation error was still falling, by 50.0 % over the last epoch: more --epochs would lower it."
    )


def test_the_paragraph_of_a_run_that_stopped_early_and_of_one_without_epochs() -> None:
    config = RunConfig(model="ae", dim3=1, epochs=20, patience=2)
    text = paragraph(config, [replace(e, total=20) for e in epochs([3, 2, 1])])
    assert text.endswith("of digits in 12.3 s: 3 epochs of 20 (stopped early, patience 2), seed 0.")
    assert paragraph(config, []).endswith("of digits in 12.3 s.")


@pytest.mark.parametrize(
    ("dim3", "ends"), [(1, "0.05 at 1."), (5, "0.05 at 1, 0.04 at 2, 0.02123 at 5.")], ids=["one", "five"]
)
def test_the_paragraph_of_a_model_with_ordered_latents_says_what_its_curve_is(dim3: int, ends: str) -> None:
    curve = np.array([0.05, 0.04, 0.03, 0.025, 0.0212345])[:dim3]
    said = paragraph(RunConfig(model="nested-ae", dim3=dim3), [], RunRecord(curve=curve))
    assert said.endswith(
        "Its latents are ordered, so one training gives the error of every smaller dim3 (curve/mse, the step is the "
        f"dim3): {ends}"
    )
