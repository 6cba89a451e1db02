"""Studies as values: which cells a scan has, and the presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from elbowroom.models import ContractError, UnknownModel, gives_a_curve, settings_of
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import BEFORE

# Fields of a cell's configuration that leave its numbers as they are: where the data are read from (their
# digest stands for them) and what is kept. `threads` is 1 in every cell.
INDIFFERENT = ("dataset", "test_data", "label_column", "header", "artifacts", "threads")
# Fields in which the cells of one study differ; all others are the study's settings.
COORDINATES = ("model", "dim3", "seed")
MOST = 10_000  # values of a range: more are a slip of the finger
MOST_CELLS = 100_000  # of a grid, likewise: to list them takes seconds


@dataclass(frozen=True)
class Space:
    """The grid of a scan: for each model its latent dimensions, and seeds from 0 for those that take one.

    `base` holds all else that a run needs; `label` marks results too cheap to quote. The cells at the dim3 of
    `measured` are run with `--measure`, and with at least `repeats` seeds.
    """

    dim3: Mapping[str, tuple[int, ...]]
    seeds: int
    base: RunConfig
    label: str = ""
    measured: tuple[int, ...] = ()
    repeats: int = 1

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if not self.dim3:
            raise BadInput("models is empty; allowed: a list like pca,ae,vae")
        for name in ("seeds", "repeats"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, got {getattr(self, name)}")
        for model, values in self.dim3.items():
            if not values or min(values) < 1:
                raise BadInput(f"dim3 of {model} must be whole numbers of at least 1, got {values}")

    def count(self) -> int:
        """How many cells there are, without listing them.

        Raises BadInput where there is no such model, where one training of it gives the whole curve and several dim3
        are asked for, or for too many cells.
        """
        for model, values in self.dim3.items():
            asked_by(model)  # found out here where there is no such model
            if len(values) > 1 and gives_a_curve(model):
                raise BadInput(
                    f"dim3 of {model}: one training gives the error of every smaller dim3 too, and no scan is needed; "
                    f"allowed: one dim3, like --models {model} --dim3 {max(values)}"
                )
        count = sum(
            self._seeds_at(k) if "seed" in asked_by(model) else 1 for model, values in self.dim3.items() for k in values
        )
        if count > MOST_CELLS:
            raise BadInput(f"models, dim3 and seeds make {count:,} cells; allowed: at most {MOST_CELLS:,}")
        return count

    def cells(self) -> list[RunConfig]:
        """The configuration of each cell, in the order in which they are best run. Raises BadInput as `count` does.

        All models and dimensions with one seed first, so that the whole curve is there early; those cells
        keep figures and the model, the others only what readers need.
        """
        self.count()
        return [
            replace(
                self.base,
                model=model,
                dim3=k,
                seed=seed,
                threads=1,
                artifacts="full" if seed == 0 else "light",
                measure="yes" if k in self.measured else "no",
            )
            for seed in range(max(self.seeds, self.repeats))
            for k in sorted({k for values in self.dim3.values() for k in values})
            for model, values in self.dim3.items()
            if k in values and seed < self._seeds_at(k) and (seed == 0 or "seed" in asked_by(model))
        ]

    def _seeds_at(self, dim3: int) -> int:
        return max(self.seeds, self.repeats) if dim3 in self.measured else self.seeds

    def confirmations(self, breaks: Mapping[str, int]) -> list[RunConfig]:
        """The cells that confirm a corner: at the break, beside it and at the end, at twice the epochs.

        `breaks` gives the dim3 of the corner for each trained model; a model without epochs needs none.
        """
        chosen = {}
        for model, corner in breaks.items():
            values = sorted(self.dim3.get(model, ()))
            if corner not in values:
                raise BadInput(f"confirm {corner}: not among the dim3 of {model}; allowed: {values}")
            at = values.index(corner)
            chosen[model] = tuple(dict.fromkeys([*values[max(at - 1, 0) : at + 2], values[-1]]))
        longer = replace(self.base, epochs=2 * self.base.epochs)
        return Space(chosen, self.seeds, longer).cells() if chosen else []


def asked_by(model: str) -> frozenset[str]:
    """The settings that a model asks for. Raises BadInput where there is no such model."""
    try:
        return settings_of(model)
    except (UnknownModel, ContractError) as error:
        raise BadInput(str(error)) from error


def settings(base: RunConfig, digest: str) -> dict[str, object]:
    """What may not change under a study's name: what its cells share, and the data."""
    left_out = {*INDIFFERENT, *COORDINATES, "measure"}
    shared = {name: value for name, value in asdict(base).items() if name not in left_out}
    return {"dataset": f"{Path(base.dataset).name} ({digest})", **shared}


def cell_key(config: RunConfig, digest: str, code: str = "") -> str:
    """What makes two cells the same: all that changes numbers, or which of them there are.

    A field at the value that runs had before there was such a field is left out. `code` is of the model, see
    `tracking.logged_model.code.code_of`.
    """
    values = {n: v for n, v in asdict(config).items() if n not in INDIFFERENT and BEFORE.get(n) != v}
    return json.dumps([digest, *sorted(values.items()), *([code] if code else [])])


def parse_range(text: str) -> tuple[int, ...]:
    """`2:20` (both ends included), `2:20:2` and `2,4,8`, or several such, as sorted numbers. Raises BadInput."""
    allowed = "allowed: 2:20, 2:20:2 or 2,4,8, of whole numbers from 1"
    values: set[int] = set()
    for part in text.split(","):
        try:
            numbers = [int(word) for word in part.split(":")]
        except ValueError:
            raise BadInput(f"dim3 {text!r} is no range; {allowed}") from None
        low, high, step = {1: (*numbers, numbers[0], 1), 2: (*numbers, 1), 3: tuple(numbers)}.get(
            len(numbers), (0, 0, 0)
        )
        if low < 1 or high < low or step < 1:
            raise BadInput(f"dim3 {text!r} is empty, reversed or below 1; {allowed}")
        if (high - low) // step >= MOST:
            raise BadInput(f"dim3 {text!r} has more than {MOST} values; {allowed}")
        values |= set(range(low, high + 1, step))
    return tuple(sorted(values))


def shared_fields() -> list[str]:
    """The fields of RunConfig that a study's cells share, and a command line may set."""
    return [f.name for f in fields(RunConfig) if f.name not in (*COORDINATES, "artifacts", "threads", "measure")]


_SCAN = tuple(range(2, 21))

PRESETS: dict[str, Space] = {
    # minutes on two cores, real MNIST: enough to see the shape, too few epochs to quote
    "quick": Space(dict.fromkeys(("pca", "ae", "vae"), _SCAN), 1, RunConfig(dataset="mnist", epochs=5), "quick"),
    # the course assignment's question (3), with the larger dimensions at which a VAE stops using more
    "assignment": Space({"pca": _SCAN, "ae": _SCAN, "vae": (*_SCAN, 24, 32, 48)}, 3, RunConfig(dataset="mnist")),
    # seconds: for tests and demonstrations
    "digits": Space(
        {"pca": tuple(range(2, 11)), "ae": tuple(range(2, 11))},
        2,
        RunConfig(dataset="digits", dim2=64, epochs=60, batch_size=64),
        "quick",
    ),
}
