"""The configuration of one run, and the only place of its defaults.

A setting is one field of `RunConfig`, and the text below it is its help. The command line and the logged params are
made from the fields; tests hold MLproject and `LatentTransformer` to them.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Self, get_args, get_type_hints

from .store.errors import BadInput
from .store.names import BEFORE

_MOST = 2**31 - 1  # the largest count
_FROM_ZERO = {"patience", "seed", "val_size"}  # all other counts begin at 1
_EPOCHS, _STEPS = 12, 2_500  # the least of epochs auto; why: docs/performance.md
_LONGEST = 1000  # letters of a text: one tag holds them all, and a store takes 5,000


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines the numbers of one run, and what it keeps.

    Raises BadInput for a value out of range. `tracking.run.execute` checks what depends on the data: dim3 against
    dim1, and the size of the validation set.
    """

    model: str = "vae"
    """pca, pca-mlp (PCA's codes, a trained decoder), ae, linear-ae, nested-ae, conv-ae (images only), vae, or
    package.module:Name: a Reducer class, or a factory (dim1, dim3) -> (encoder, decoder) of torch modules."""
    dataset: str = "mnist"
    """Where the data come from: {sources}."""
    test_data: str = "none"
    """A file or folder with the test rows of a dataset of your own; none: the test rows in the file (x_test or
    test_images of an .npz), else a random sixth of its rows."""
    label_column: str = "none"
    """The column (of .csv, .parquet) or array (of .npz) with the labels; none: no labels, except the folders of
    images with one folder per class, and y_train or train_labels of an .npz."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether the first line of a .csv has the names of its columns; yes; no: the columns are called f0, f1, …;
    auto: yes if the line has a text, an error if it has numbers that may be names."""
    array: str = "auto"
    """The array of an .npz, .mat or .h5 file, the layer of an .h5ad, the sheet of an .xlsx; auto: the usual or only
    one."""
    rows: int | Literal["all"] = "all"
    """Read this number of rows, a sample with a fixed seed; all: every row."""
    columns: str = "all"
    """The columns of a table to train on: names or patterns such as gene_*, separated by commas."""
    drop: str = "none"
    """Columns of a table to leave out: names or patterns, separated by commas."""
    id_column: str = "none"
    """The column that names the rows: left out of the training, and kept beside the codes as codes/ids.npy."""
    group_column: str = "none"
    """The column of patients, sites, …: all rows of a group are training, validation or test rows."""
    missing: Literal["refuse", "drop", "median"] = "refuse"
    """Gaps in a table; drop: leave out rows with one; median: that of the column's training rows."""
    categories: Literal["refuse", "drop", "one-hot"] = "refuse"
    """Columns of words; drop: leave them out; one-hot: a column of 0 and 1 for each word of the training rows."""
    scale: Literal["auto", "none", "global", "columns", "255"] = "auto"
    """Scale of the rows, in which errors are measured; columns: each column has mean 0 and variance 1 over the training
    rows; global: one scale for all; 255: divide by 255; auto: 255 for pictures of 8 bits, else none."""
    resize: str = "none"
    """WIDTHxHEIGHT: resize the images of a folder, such as 32x32."""
    dim2: int = 400
    """Width of the hidden layer."""
    dim3: int = 2
    """Latent dimension: how many numbers a code has."""
    epochs: int | Literal["auto"] = "auto"
    """Passes over the training rows, at most: --patience may stop earlier; auto: 12 epochs or 2,500 steps of
    batch_size rows, whichever is more; a study that was begun continues with its own number."""
    batch_size: int = 128
    """Rows per training step."""
    lr: float | Literal["auto"] = "auto"
    """Peak learning rate of Adam; auto: the model's default, 0.01 for ae and vae; 0.001 for a model without one."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """The learning rate over the epochs; one-cycle: linear rise over the first tenth, then half a cosine down
    to 0; constant: one rate."""
    beta: float = 1.0
    """Weight of a VAE's KL term; at 1 its objective is the ELBO."""
    loss: Literal["auto", "mse", "bce"] = "auto"
    """Reconstruction loss of AE and VAE; auto: mse for AE, bce for VAE with a sigmoid, else mse."""
    output: Literal["auto", "sigmoid", "linear"] = "auto"
    """Last layer of AE and VAE; auto: sigmoid if the data lie in [0, 1] and at least a quarter of the columns
    have 2 % of their rows near 0 and 2 % near 1, else linear on centred data divided by one scale."""
    patience: int = 0
    """Stop after this number of epochs without a lower loss on a tenth of the training rows, which is held out for
    this, and keep the best weights; 0: never."""
    seed: int = 0
    """Seed of the weights, the order of the rows and the noise."""
    val_size: int | Literal["auto"] = "auto"
    """Validation rows, taken from the training rows; auto: a tenth, at most 5000; 0: none."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device that torch trains on; auto: CUDA, else MPS, else the CPU."""
    threads: int | Literal["auto"] = "auto"
    """CPU threads; auto: torch's setting, OMP_NUM_THREADS or else one thread per core."""
    artifacts: Literal["full", "light"] = "full"
    """What the run keeps; light: codes, errors and examples; full: also figures and the model."""
    edition: int = 2
    """Version of the rules for --output auto and for 8-bit numbers; 2: the current ones; 1: those of runs without
    this field, where data in [0, 1] always got a sigmoid, and all 8-bit arrays were divided by 255."""
    measure: Literal["no", "yes"] = "no"
    """Also measure the latent space and the quality of samples: neighbourhoods, robustness, interpolations,
    precision and recall; the errors of hidden entries, which tell the rank; and a tighter bound than a VAE's ELBO."""

    def __post_init__(self) -> None:
        """Check every field against its type and range."""
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name)))
        if not 1 <= self.edition <= RunConfig.edition:
            raise BadInput(f"edition must be from 1 to {RunConfig.edition}, got {self.edition}")
        if self.seed >= 2**32:
            raise BadInput(f"seed must be below 2**32, got {self.seed}")
        if self.lr != "auto" and not (math.isfinite(self.lr) and 0 < self.lr <= 10):
            raise BadInput(f"lr must be auto or a number above 0 and at most 10, got {self.lr}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise BadInput(f"beta must be a finite number of at least 0, got {self.beta}")
        for field in fields(self):
            _check_range(field.name, getattr(self, field.name))

    @property
    def run_name(self) -> str:
        """`vae-d2-s0`: what the run is called in the store."""
        return f"{self.model.rpartition(':')[2]}-d{self.dim3}-s{self.seed}"

    def for_rows(self, rows: int) -> Self:
        """This configuration with a number in the place of epochs auto, for a training on so many rows."""
        if self.epochs != "auto":
            return self
        return replace(self, epochs=max(_EPOCHS, math.ceil(_STEPS / math.ceil(rows / self.batch_size))))

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


def _check_range(name: str, value: str | float) -> None:
    """Raise BadInput for a text, or a number that counts something, out of range."""
    if _allowed_by(name)[0] is str:
        text = str(value)
        if not text.strip():
            raise BadInput(f"{name} is empty")
        if len(text) > _LONGEST or any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
            raise BadInput(f"{name} must be text of at most {_LONGEST} letters, got {text[:40]!r}…")
    if isinstance(value, int):
        low = 0 if name in _FROM_ZERO else 1
        if value < low:
            raise BadInput(f"{name} must be at least {low}, got {value}")
        if name != "seed" and value > _MOST:
            raise BadInput(f"{name} must be at most {_MOST}, got {value}")


@cache
def field_help() -> dict[str, str]:
    """Return the text below each field of RunConfig, on one line, by the field's name.

    `{sources}` in a text stands for the data sources, which `tracking.data` knows.
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
    """Return the value of field `name` for a typed `text`; raises BadInput naming what is allowed.

    A whole number may be typed as `2` or as `2.0`, as MLflow writes some.
    """
    kind, words, allowed = _allowed_by(name)
    if text in words or kind is str:
        return text
    with suppress(ValueError):
        number = float(text)
        if kind is float:
            return number
        if kind is int and number.is_integer():
            return int(number) if abs(number) < 2**53 else int(text)
    raise BadInput(f"{name} must be {allowed}, got {text!r}")


def _plain(name: str, value: object) -> str | int | float:
    """A value given from Python as str, int or float: numpy's numbers are accepted, and 1 for 1.0, but no bool."""
    kind, words, allowed = _allowed_by(name)
    if isinstance(value, str) and (kind is str or value in words):
        return value
    if not isinstance(value, bool):
        if kind is int and isinstance(value, Integral):
            return int(value)
        if kind is float and isinstance(value, Real):
            try:
                return float(value)
            except OverflowError:
                return math.inf  # refused by the check of the range
    raise BadInput(f"{name} must be {allowed}, got {value!r}")


@cache
def _allowed_by(name: str) -> tuple[type | None, tuple[str, ...], str]:
    """Parts of a field's type: the type of its numbers or free text, if any, and its words; and both as a phrase."""
    hint = get_type_hints(RunConfig)[name]
    options = (hint,) if isinstance(hint, type) else get_args(hint)
    kind = next((o for o in options if isinstance(o, type)), None)
    words = [w for o in options if not isinstance(o, type) for w in (get_args(o) or (o,))]
    called: dict[type | None, list[str]] = {None: [], int: ["a whole number"], float: ["a number"], str: ["text"]}
    return kind, tuple(words), " or ".join([*called[kind], *words])
