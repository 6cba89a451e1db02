"""The cells of a scan: the grid, its presets, and the key of a cell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Literal, Self

from elbowroom.models import ContractError, UnknownModel, gives_a_curve, settings_of
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import BEFORE, COORDINATES, INDIFFERENT
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, ranges

_MAX_VALUES = 10_000  # of a typed range: more are a typing error
_MAX_CELLS = 100_000  # of a grid, likewise: to list them takes seconds

Corners = Mapping[str, int] | Literal["auto"]
"""The dim3 of each model's corner; auto: where the analysis finds one."""


@dataclass(frozen=True)
class Grid:
    """The cells of a scan: for each model its latent dimensions, and seeds from 0 for the models that take one."""

    dim3: Mapping[str, tuple[int, ...]]
    """By model."""
    seeds: int = 3
    """Per model and dim3; a model without a seed, like pca, has one run."""
    base: RunConfig = field(default_factory=RunConfig)
    """The settings of all cells. Its model, dim3, seed, threads and artifacts are not read."""
    label: str = ""
    """A warning that results of this grid are too cheap to quote."""
    measured: tuple[int, ...] = ()
    """The dim3 whose cells are run with `--measure`, whatever the base says, and with at least `repeats` seeds."""
    repeats: int = 1
    confirm: Corners = field(default_factory=dict)
    """Corners whose cells are run again at twice the epochs: see `confirmations`."""
    preset: str = ""
    """The preset that it was made from."""
    aside: bool = False
    """Whether its study stands beside another one, whose answer the experiment's description has."""

    @classmethod
    def of(
        cls,
        models: str | Iterable[str] | None = None,
        dim3: Iterable[int] | None = None,
        *,
        seeds: int | None = None,
        base: RunConfig | None = None,
        preset: str | None = None,
        confirm: Corners | None = None,
    ) -> Self:
        """Make a grid in which several models have the same dim3.

        None is the value of the preset. Without a preset it is: pca, pca-mlp, ae and vae, dim3 from 2 to 20, three
        seeds, `RunConfig()`, nothing to confirm.

        Parameters
        ----------
        models
            Names of models, or one name.
        dim3
            Latent dimensions.
        seeds
            Number of seeds per model and dim3.
        base
            What all cells share.
        preset
            A name in PRESETS.
        confirm
            `auto`, or the corner of each model, as {"ae": 8}.

        Raises
        ------
        BadInput
            An unknown preset, an empty list, or a number below 1.
        """
        start = preset_grid(preset)
        names = list(start.dim3) if models is None else [models] if isinstance(models, str) else list(models)
        by_model = {m: start.dim3.get(m, next(iter(start.dim3.values()))) for m in names}
        if dim3 is not None:
            by_model = dict.fromkeys(names, tuple(sorted({check_whole("dim3", k) for k in dim3})))
        base = start.base if base is None else base
        return cls(
            by_model,
            start.seeds if seeds is None else check_whole("seeds", seeds),
            base,
            start.label,
            confirm={} if confirm is None else confirm,
            preset=preset or "",
        )

    def __post_init__(self) -> None:
        """Check that the grid is not empty."""
        if not self.dim3:
            raise BadInput("models is empty; allowed: a list like pca,ae,vae")
        for name in ("seeds", "repeats"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, got {getattr(self, name)}")
        for model, values in self.dim3.items():
            if not values or min(values) < 1:
                raise BadInput(f"dim3 of {model} must be whole numbers of at least 1, got {values}")

    @property
    def study(self) -> str:
        """The default name of its study."""
        return self.preset or f"scan-{clean(Path(self.base.dataset).stem, LABEL_LENGTH)}"

    @property
    def task(self) -> str:
        """The task of its study, in words."""
        models: dict[tuple[int, ...], list[str]] = {}
        for model, values in self.dim3.items():
            models.setdefault(values, []).append(model)
        asked = "; ".join(f"{', '.join(names)} at dim3 {ranges(sorted(values))}" for values, names in models.items())
        return f"the error of {asked}; {self.seeds} seed{'s' if self.seeds > 1 else ''}"

    @property
    def with_epochs(self) -> list[str]:
        """The models that are trained in epochs, and whose corners can be confirmed. Raises BadInput."""
        return [model for model in self.dim3 if "epochs" in model_settings(model)]

    def count(self) -> int:
        """The number of cells, without a list of them.

        Raises BadInput for an unknown model, for several dim3 of a model whose one training gives the whole curve, and
        for too many cells.
        """
        for model, values in self.dim3.items():
            model_settings(model)  # raises for an unknown model
            if len(values) > 1 and gives_a_curve(model):
                raise BadInput(
                    f"dim3 of {model}: one training gives the error of every smaller dim3 too, and no scan is needed; "
                    f"allowed: one dim3, like --models {model} --dim3 {max(values)}"
                )
        count = sum(self._seeds(model, k) for model, values in self.dim3.items() for k in values)
        if count > _MAX_CELLS:
            raise BadInput(f"models, dim3 and seeds make {count:,} cells; allowed: at most {_MAX_CELLS:,}")
        return count

    def cells(self) -> list[RunConfig]:
        """The configuration of each cell, in the order in which they are run. Raises BadInput as `count` does.

        All models and dimensions with seed 0 come first, so that the whole curve is there early.
        """
        self.count()
        return [
            cell_config(replace(self.base, measure="yes") if k in self.measured else self.base, model, k, seed)
            for seed in range(max(self.seeds, self.repeats))
            for k in sorted({k for values in self.dim3.values() for k in values})
            for model, values in self.dim3.items()
            if k in values and seed < self._seeds(model, k)
        ]

    def _seeds(self, model: str, dim3: int) -> int:
        if "seed" not in model_settings(model):
            return 1
        return max(self.seeds, self.repeats) if dim3 in self.measured else self.seeds

    def confirmations(self, corners: Mapping[str, int]) -> list[RunConfig]:
        """The cells that confirm corners: there, at the dim3 beside them and at the last dim3, at twice the epochs.

        They are not measured, because corners are judged on errors. `corners` gives the dim3 by model. The epochs of
        the base are a number: `RunConfig.for_rows`. Raises BadInput for a model without epochs, or a dim3 that it has
        not.
        """
        chosen = {}
        for model, corner in corners.items():
            if model not in self.with_epochs:
                raise _not_confirmable(f"{model}={corner}", self)
            values = sorted(self.dim3[model])
            if corner not in values:
                raise BadInput(f"confirm {corner}: not among the dim3 of {model}; allowed: {values}")
            at = values.index(corner)
            chosen[model] = tuple(dict.fromkeys([*values[max(at - 1, 0) : at + 2], values[-1]]))
        longer = replace(self.base, epochs=2 * int(self.base.epochs), measure="no")
        return Grid(chosen, self.seeds, longer).cells() if chosen else []


def cell_config(base: RunConfig, model: str, dim3: int, seed: int) -> RunConfig:
    """The configuration of a cell. Seed 0 keeps figures and the model, the others only what readers need."""
    kept: Literal["full", "light"] = "full" if seed == 0 else "light"
    return replace(base, model=model, dim3=dim3, seed=seed, threads=1, artifacts=kept)


def _not_confirmable(typed: str, grid: Grid) -> BadInput:
    allowed = ", ".join(grid.with_epochs)
    return BadInput(f"confirm {typed}: only what has epochs can be confirmed; allowed: {allowed}")


def model_settings(model: str) -> frozenset[str]:
    """The names of the settings that a model takes. Raises BadInput for an unknown model."""
    try:
        return settings_of(model)
    except (UnknownModel, ContractError) as error:
        raise BadInput(str(error)) from error


def study_settings(base: RunConfig, digest: str) -> dict[str, object]:
    """The settings of a study, which must not change under its name: those of all cells, and the digest of the data."""
    left_out = {*INDIFFERENT, *COORDINATES, "measure"}
    shared = {name: value for name, value in asdict(base).items() if name not in left_out}
    if base.patience > 0:  # in words, because an older study with patience stopped by its validation rows
        shared["patience"] = f"{base.patience}, by a tenth of the training rows"
    return {"dataset": f"{Path(base.dataset).name} ({digest})", **shared}


def cell_key(config: RunConfig, digest: str, code: str = "") -> str:
    """The key of a cell: all that changes its metrics.

    A field at the value that runs had before there was such a field is left out, so that keys of old runs stay.

    Parameters
    ----------
    config
        The cell's configuration.
    digest
        Of the data.
    code
        Revision of the model's code: `tracking.logged_model.code.code_of`.
    """
    values = {n: v for n, v in asdict(config).items() if n not in INDIFFERENT and BEFORE.get(n) != v}
    return json.dumps([digest, *sorted(values.items()), *([code] if code else [])])


def shared_fields() -> list[str]:
    """The fields of RunConfig that a study's cells share, and a command line may set."""
    return [f.name for f in fields(RunConfig) if f.name not in (*COORDINATES, "artifacts", "threads")]


def parse_range(text: str) -> tuple[int, ...]:
    """`2:20` (both ends included), `2:20:2` and `2,4,8`, or several such, as sorted numbers. Raises BadInput."""
    allowed = "allowed: 2:20, 2:20:2 or 2,4,8, of whole numbers from 1"
    values: set[int] = set()
    for part in text.split(","):
        typed = re.fullmatch(r"\s*(\d{1,99})\s*(?::\s*(\d{1,99})\s*(?::\s*(\d{1,99})\s*)?)?", part)
        if typed is None:
            raise BadInput(f"dim3 {text!r} is no range; {allowed}")
        low, high, step = int(typed[1]), int(typed[2] or typed[1]), int(typed[3] or 1)
        if low < 1 or high < low or step < 1:
            raise BadInput(f"dim3 {text!r} is empty, reversed or below 1; {allowed}")
        if (high - low) // step >= _MAX_VALUES:
            raise BadInput(f"dim3 {text!r} has more than {_MAX_VALUES} values; {allowed}")
        values |= set(range(low, high + 1, step))
    return tuple(sorted(values))


def parse_confirm(text: str, grid: Grid) -> Corners:
    """`no`, `auto`, `8` (of all models with epochs) or `ae=8,vae=10`, as corners. Raises BadInput."""
    if text == "auto":
        return "auto"
    corners: dict[str, int] = {}
    for part in text.split(",") if text != "no" else []:
        model, equals, number = part.rpartition("=")
        if not equals and not grid.with_epochs:
            raise _not_confirmable(part, grid)
        corners |= dict.fromkeys([model] if equals else grid.with_epochs, parse_whole("confirm", number))
    return corners


def parse_whole(name: str, text: str) -> int:
    """A whole number of at least 1 as typed; MLflow may write 3 as 3.0. Raises BadInput."""
    try:
        return check_whole(name, int(text.removesuffix(".0")))
    except ValueError:
        raise BadInput(f"{name} must be a whole number of at least 1, got {text!r}") from None


def check_whole(name: str, value: object) -> int:
    """A whole number of at least 1 as an int; numpy's integers are allowed. Raises BadInput."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise BadInput(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def preset_grid(name: str | None) -> Grid:
    """The grid of that name; None: the default of a scan. Raises BadInput for an unknown name."""
    if name is None:
        return _DEFAULT
    if name not in PRESETS:
        raise BadInput(f"unknown preset {name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]


DEFAULT_MODELS = ("pca", "pca-mlp", "ae", "vae")
_SCAN = tuple(range(2, 21))
_SPARSE = (*range(2, 11), 12, 16, 20, 24, 28, 32)
_DEFAULT = Grid(dict.fromkeys(DEFAULT_MODELS, _SCAN))

# Each range has the dim3 at which trained models, a VAE aside, keep 90 % of the variance, the default rule.
PRESETS: dict[str, Grid] = {
    # minutes on two cores, real MNIST: enough to see the shape, too few epochs to quote
    "quick": Grid(dict.fromkeys(DEFAULT_MODELS, (*_SPARSE, 40)), 1, RunConfig(dataset="mnist", epochs=5), "quick"),
    # the course assignment's question (3), with the larger dimensions at which a VAE stops using more
    "assignment": Grid(
        dict.fromkeys(DEFAULT_MODELS, (*_SCAN, 24, 32)) | {"vae": (*_SCAN, 24, 32, 48)}, 3, RunConfig(dataset="mnist")
    ),
    # seconds: for tests and demonstrations
    "digits": Grid(
        dict.fromkeys(("pca", "pca-mlp", "ae"), _SPARSE),
        2,
        RunConfig(dataset="digits", dim2=64, epochs=60, batch_size=64),
        "quick",
    ),
}
