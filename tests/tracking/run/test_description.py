"""The description of a finished run, and its warning where the error had not settled."""

import numpy as np
import pytest

from elbowroom.models import Epoch
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.run.description import _unsettled, describe
from elbowroom.tracking.store.names import Metric

METRICS = {Metric.FIT_SECONDS: 12.34, Metric.TEST_MSE: 0.041234567, Metric.TEST_EXPLAINED_VARIANCE: 0.61234}


def epochs(values: list[float], name: str = "val/mse") -> list[Epoch]:
    return [Epoch(i + 1, len(values), {name: v, "train/loss": v}) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], "validation error was still falling, by 66.7% over the last 2 epochs"),
        ([2, 1, 1, 1, 1, 1, 1, 1, 1, 0.995], None),
        ([2, 1, 1, 1, 1, 1, 1, 1, 1, 0.985], "by 1.5% over the last 2 epochs"),
        ([4, 3, 2, 1], "by 50.0% over the last epoch:"),
        ([2, 1, 1.5, 1.6, 1.7], None),
        ([3], "One epoch cannot show whether the validation error has settled"),
    ],
)
def test_the_warning(values: list[float], warning: str | None) -> None:
    said = _unsettled(epochs(values), RunConfig(epochs=len(values), schedule="constant"))
    assert (said is None) if warning is None else (warning in said)


def test_without_validation_rows_the_training_loss_is_judged_and_early_stops_are_not() -> None:
    falling = [Epoch(i + 1, 3, {"train/loss": v}) for i, v in enumerate([3.0, 2.0, 1.0])]
    assert "training loss (there are no validation rows) was still falling, by 50.0%" in _unsettled(
        falling, RunConfig(epochs=3)
    )
    assert _unsettled(falling, RunConfig(epochs=20)) is None
    assert _unsettled([], RunConfig(epochs=20)) is None


@pytest.mark.parametrize(("fall", "said"), [(0.04, False), (0.06, True)])
def test_the_fall_that_a_cycle_ends_in_is_no_sign(fall: float, said: bool) -> None:
    values = epochs([2, 1, 1, 1, 1 - fall])
    assert bool(_unsettled(values, RunConfig(epochs=5))) is said
    assert _unsettled(values, RunConfig(epochs=5, schedule="constant"))


def test_the_paragraph_of_a_vae_that_was_still_falling() -> None:
    config = RunConfig(dataset="digits", dim3=3, epochs=2, seed=5)
    metrics = METRICS | {
        Metric.VAL_MSE_FINAL: 0.05, Metric.TEST_ELBO: -105.81, Metric.TEST_KL: 25.44, Metric.TEST_ACTIVE_UNITS: 2.0,
    }  # fmt: skip
    facts = {"loss": "bce", "output": "sigmoid", "output_reason": "of the data", "device": "cpu"}
    assert describe(config, load_dataset("digits"), 1349, facts, metrics, epochs([2, 1])) == (
        "vae with 3 latent dimensions (loss bce, output sigmoid, 2 epochs, seed 5), trained on 1,349 rows of 64 "
        "numbers of digits in 12.3 s. On the 299 test rows: mean squared error 0.041235, 61.2% of the variance "
        "explained; validation error 0.05. Its output is sigmoid because of the data. ELBO -105.8 nats per row, of "
        "which KL 25.4; 2 of 3 latents active. "
        "The validation error was still falling, by 50.0% over the last epoch: more --epochs would lower it."
    )


def test_the_paragraph_of_a_run_that_stopped_early() -> None:
    config = RunConfig(model="ae", dim3=1, epochs=20, patience=2)
    text = describe(config, load_dataset("digits"), 1349, {}, METRICS, epochs([3, 2, 1]))
    assert text.startswith("ae with 1 latent dimension (3 epochs of 20 (stopped early, patience 2), seed 0), trained")
    assert "ae with 1 latent dimension, trained" in describe(config, load_dataset("digits"), 1349, {}, METRICS, [])
    assert text.endswith("61.2% of the variance explained.")


def test_the_paragraph_of_a_model_with_ordered_latents_says_what_its_curve_is() -> None:
    config = RunConfig(model="nested-ae", dim3=5)
    curve = np.array([0.05, 0.04, 0.03, 0.025, 0.0212345])
    text = describe(config, load_dataset("digits"), 1349, {}, METRICS, [], curve)
    assert text.endswith(
        "Its latents are ordered, so one training gives the error of every smaller dim3 (curve/mse, the step is the "
        "dim3): 0.05 at 1, 0.04 at 2, 0.02123 at 5."
    )
    one = describe(RunConfig(model="nested-ae", dim3=1), load_dataset("digits"), 1349, {}, METRICS, [], curve[:1])
    assert one.endswith("the step is the dim3): 0.05 at 1.")
