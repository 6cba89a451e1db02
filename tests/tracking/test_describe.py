"""When a run has not settled, and when it has."""

import pytest

from models import Epoch
from tracking.describe import unsettled


def epochs(values: list[float], name: str = "val/mse") -> list[Epoch]:
    return [Epoch(i + 1, len(values), {name: v, "train/loss": v}) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], "validation error was still falling, by 66.7% over the last 2 epochs"),
        ([2, 1, 1, 1, 1, 1, 1, 1, 1, 0.995], None),
        ([2, 1, 1.5, 1.6, 1.7], None),
        ([3], "One epoch cannot show whether the validation error has settled"),
    ],
)
def test_the_warning(values: list[float], warning: str | None) -> None:
    said = unsettled(epochs(values), len(values))
    assert (said is None) if warning is None else (warning in said)


def test_without_validation_rows_the_training_loss_is_judged_and_early_stops_are_not() -> None:
    falling = [Epoch(i + 1, 3, {"train/loss": v}) for i, v in enumerate([3.0, 2.0, 1.0])]
    assert "training loss (there are no validation rows) was still falling, by 50.0%" in unsettled(falling, 3)
    assert unsettled(falling, 20) is None
    assert unsettled([], 20) is None
