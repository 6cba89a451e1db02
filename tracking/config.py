"""The configuration of one run: the only home of its defaults.

The command line, the logged params and MLproject's defaults follow from `RunConfig`'s fields; the text
under a field is its help. A test holds the three against each other.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Self, get_args, get_type_hints

from .store.errors import BadInput
from .store.names import BEFORE

MOST = 2**31 - 1  # of what is counted


@dataclass(frozen=True)
class RunConfig:
    """Everything that changes the numbers of one run, and what it keeps.

    Raises BadInput for a value out of range; what depends on the data (dim3 against dim1, the size of
    the validation set) is checked by `tracking.run.execute` once they are there.
    """

    model: str = "vae"
    """pca, ae, linear-ae, nested-ae, conv-ae (images only), vae, or package.module:Name: a Reducer class, or a factory
    (dim1, dim3) -> (encoder, decoder) of torch modules."""
    dataset: str = "mnist"
    """Where the data come from: {sources}."""
    test_data: str = "none"
    """A file or folder with the test rows of a dataset of your own; none: those in the file (.npz with x_test or
    test_images), else its last sixth, shuffled."""
    label_column: str = "none"
    """The column (of .csv, .parquet) or array (of .npz) with the labels; none: unlabelled, but for images
    in one folder a class and an .npz with y_train or train_labels."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether a .csv has the names of its columns in the first line; auto: where that isn't all numbers, and
    numbers that may be names are refused; no: the columns are called f0, f1, …"""
    dim2: int = 400
    """Width of the hidden layer."""
    dim3: int = 2
    """Latent dimension: how many numbers a code has."""
    epochs: int = 12
    """Passes over the training rows: a budget, which --patience may leave unspent."""
    batch_size: int = 128
    """Rows per training step."""
    lr: float | Literal["auto"] = "auto"
    """Learning rate of Adam, at its highest; auto: the rate that the model names, 0.01 for ae and vae; 0.001 where
    it names none."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """How the learning rate goes over the budget; one-cycle: up over the first tenth, then down to 0 as
    half a cosine."""
    beta: float = 1.0
    """Weight of a VAE's KL term; at 1 its objective is the ELBO."""
    loss: Literal["auto", "mse", "bce"] = "auto"
    """Reconstruction loss of AE and VAE; auto: mse for AE, bce for VAE with a sigmoid, else mse."""
    output: Literal["auto", "sigmoid", "linear"] = "auto"
    """Last layer of AE and VAE; auto: sigmoid where the data lie in [0, 1] and a quarter of the columns come
    near both ends in 2 % of their rows each, else linear on centred data divided by one scale."""
    patience: int = 0
    """Stop after so many epochs without a better validation loss and keep the best; 0: never stop early."""
    seed: int = 0
    """Where the weights, the order of the rows and the noise come from."""
    val_size: int | Literal["auto"] = "auto"
    """Validation rows, taken from the training rows; auto: a tenth, at most 5000; 0: none."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where torch trains; auto: CUDA, else MPS, else the CPU."""
    threads: int | Literal["auto"] = "auto"
    """CPU threads; auto: what torch is set to, which is OMP_NUM_THREADS or else one a core."""
    artifacts: Literal["full", "light"] = "full"
    """What the run keeps; light: codes, errors and examples; full: also figures and the model."""
    edition: int = 2
    """What auto means and which 8-bit numbers are divided by 255; 1: as in runs that do not say, where data
    in [0, 1] always got a sigmoid, and every array of 8-bit numbers was taken for pixels."""
    measure: Literal["no", "yes"] = "no"
    """Also measure what the latent space is like and how good samples are: neighbourhoods, robustness,
    interpolations, precision and recall."""

    def __post_init__(self) -> None:
        """Check every field against its type and range."""
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name)))
        for name, low in _LOWEST.items():
            value = getattr(self, name)
            if value != "auto" and value < low:
                raise BadInput(f"{name} must be at least {low}, got {value}")
            if value != "auto" and name != "seed" and value > MOST:
                raise BadInput(f"{name} must be at most {MOST}, got {value}")
        if self.lr != "auto" and not (math.isfinite(self.lr) and 0 < self.lr <= 10):
            raise BadInput(f"lr must be auto or a number above 0 and at most 10, got {self.lr}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise BadInput(f"beta must be a finite number of at least 0, got {self.beta}")
        if not 1 <= self.edition <= RunConfig.edition:
            raise BadInput(f"edition must be from 1 to {RunConfig.edition}, got {self.edition}")
        if self.seed >= 2**32:
            raise BadInput(f"seed must be below 2**32, got {self.seed}")
        for name in ("model", "dataset", "test_data", "label_column"):
            text = getattr(self, name)
            if not text.strip():
                raise BadInput(f"{name} is empty")
            if len(text) > _LONGEST or any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
                raise BadInput(f"{name} must be text of at most {_LONGEST} letters, got {text[:40]!r}…")
        if self.patience > 0 and self.val_size == 0:
            raise BadInput("patience needs validation rows, and val_size is 0; allowed: patience 0, or a val_size")

    @property
    def run_name(self) -> str:
        """`vae-d2-s0`: what the run is called in the store."""
        return f"{self.model.rpartition(':')[2]}-d{self.dim3}-s{self.seed}"

    def to_json(self) -> str:
        """All fields as JSON, in the order of their declaration; `from_json` reads it back."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The configuration that `to_json` wrote, now or in an older version. Fields it does not know are left out.

        Raises BadInput for any other text.
        """
        known = {f.name for f in fields(cls)}
        try:
            found = BEFORE | json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise BadInput(f"{text[:100]!r} is no configuration of a run") from error
        return cls(**{k: v for k, v in found.items() if k in known})


_LONGEST = 1000  # letters of a text: all of them are in one tag, and a store takes 5,000
_LOWEST = {"dim2": 1, "dim3": 1, "epochs": 1, "batch_size": 1, "patience": 0, "seed": 0, "val_size": 0, "threads": 1}


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(RunConfig)


@cache
def field_help() -> dict[str, str]:
    """The text under each field of RunConfig, by the field's name, on one line.

    `{sources}` in a text stands for the data sources, which are known where they are read.
    """
    (body,) = ast.parse(inspect.getsource(RunConfig)).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for declaration, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(declaration, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(declaration.target, ast.Name)
            assert isinstance(below.value, ast.Constant)
            texts[declaration.target.id] = " ".join(str(below.value.value).split())
    return texts


def parse_field(name: str, text: str) -> Any:
    """The value of field `name` typed as `text`. Raises BadInput naming what is allowed.

    A whole number may be typed as `2` or `2.0` (MLflow writes some so), not as `2.5`.
    """
    kind, words = _split(_types()[name])
    if text in words or kind is str:
        return text
    if kind is None:
        raise BadInput(f"{name} must be {_allowed(name)}, got {text!r}")
    try:
        number = float(text)
        if kind is int:
            if number != int(number):
                raise ValueError
            return int(number) if abs(number) < 2**53 else int(text)
        return number
    except (ValueError, OverflowError):
        raise BadInput(f"{name} must be {_allowed(name)}, got {text!r}") from None


def _plain(name: str, value: object) -> str | int | float:
    """A value given from Python as str, int or float: numpy's numbers serve, a bool is none, 1 may mean 1.0."""
    kind, words = _split(_types()[name])
    if isinstance(value, str) and (kind is str or value in words):
        return value
    if not isinstance(value, bool):
        if kind is int and isinstance(value, Integral):
            return int(value)
        if kind is float and isinstance(value, Real):
            try:
                return float(value)
            except OverflowError:
                return math.inf  # and is refused
    raise BadInput(f"{name} must be {_allowed(name)}, got {value!r}")


def _split(hint: Any) -> tuple[type | None, tuple[str, ...]]:
    """A type hint as the type of its numbers or free text, if any, and the words it allows."""
    options = get_args(hint) if not isinstance(hint, type) else (hint,)
    kinds = [o for o in options if isinstance(o, type)]
    words = [w for o in options if not isinstance(o, type) for w in (get_args(o) or (o,))]
    return (kinds[0] if kinds else None), tuple(words)


def _allowed(name: str) -> str:
    kind, words = _split(_types()[name])
    called: dict[type | None, list[str]] = {None: [], int: ["a whole number"], float: ["a number"], str: ["text"]}
    return " or ".join([*called[kind], *words])
