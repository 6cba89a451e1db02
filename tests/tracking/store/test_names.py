"""Names in the store that repeat facts of other packages."""

from dataclasses import asdict

from elbowroom.models import build
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import DEFAULT_LOSSES


def test_the_default_losses_are_those_of_the_models() -> None:
    assert DEFAULT_LOSSES
    for name, loss in DEFAULT_LOSSES.items():
        model = build(name, asdict(RunConfig(model=name)))
        assert model.default_loss("sigmoid") == loss
