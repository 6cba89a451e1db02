"""The models as a scikit-learn transformer: `LatentTransformer(model="ae", dim3=10)`, for a `Pipeline`.

Its numbers are those of a run with the same settings. It records nothing, and needs neither MLflow nor a store.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from elbowroom.models import Reducer, build, class_of, suited
from elbowroom.models.measures.errors import reconstruction_mse

from .config import RunConfig
from .data.datasets import Dataset, split
from .data.precision import far_from_zero

_Rows = npt.NDArray[Any]
_Seed = int | np.random.RandomState | None
_FLOATS = (np.float64, np.float32)


class LatentTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows (N, dim1) to codes (N, dim3) and back, by any model of the project or one of your own.

    It trains in float32, on the threads that torch is set to, and returns the float type that it is given. Where the
    rows fill [0, 1] they are used as they are and the output is a sigmoid. Otherwise the model sees them centred and
    divided by one scale, as in a run. Scaling changes what is learnt, so a MinMaxScaler or a StandardScaler before it
    is a choice of yours.

    Parameters
    ----------
    model, dim3, dim2, epochs, batch_size, lr, schedule, beta, loss, output, patience, device
        As the fields of `tracking.config.RunConfig`, with their defaults.
    val_size
        As the field; 0 by default, because nothing here needs validation rows.
    random_state : int, RandomState or None
        The seed: an int gives equal numbers each time.
    image_shape : tuple of int or None
        (height, width) or (height, width, 3), for a model of images such as `conv-ae`.

    Attributes
    ----------
    reducer_ : models.Reducer
        The fitted model.
    """

    def __init__(
        self,
        model: str = RunConfig.model,
        dim3: int = RunConfig.dim3,
        *,
        dim2: int = RunConfig.dim2,
        epochs: int | Literal["auto"] = RunConfig.epochs,
        batch_size: int = RunConfig.batch_size,
        lr: float | Literal["auto"] = RunConfig.lr,
        schedule: Literal["one-cycle", "constant"] = RunConfig.schedule,
        beta: float = RunConfig.beta,
        loss: Literal["auto", "mse", "bce"] = RunConfig.loss,
        output: Literal["auto", "sigmoid", "linear"] = RunConfig.output,
        patience: int = RunConfig.patience,
        val_size: int | Literal["auto"] = 0,
        device: Literal["auto", "cpu", "cuda", "mps"] = RunConfig.device,
        random_state: _Seed = RunConfig.seed,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.model = model
        self.dim3 = dim3
        self.dim2 = dim2
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.beta = beta
        self.loss = loss
        self.output = output
        self.patience = patience
        self.val_size = val_size
        self.device = device
        self.random_state = random_state
        self.image_shape = image_shape

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Train on the rows X (N, dim1), ignoring `y`. Raises ValueError; BadInput where a parameter is wrong."""
        config = self._config()
        least = {"ensure_min_samples": max(2, config.dim3), "ensure_min_features": config.dim3}
        rows = validate_data(self, X, dtype=_FLOATS, **least)
        x = self._held(rows)
        if x.dtype != rows.dtype and (far := far_from_zero(rows)).size:
            raise ValueError(f"Input X's column {far[0]} lies so far from 0 that it loses its digits in float32")
        parts = split(Dataset("X", "", x, x[:0], None, None, None, ""), config.val_size)
        config = config.for_rows(len(parts.x_train))
        self._settings: dict[str, Any] = asdict(config) | {"dim1": x.shape[1], "image_shape": self.image_shape}
        reducer = suited(config.model, self._settings, parts.x_train)
        self.reducer_: Reducer = reducer.fit(parts.x_train, x_val=parts.x_val)
        return self

    def transform(self, X: npt.ArrayLike) -> _Rows:
        """Return codes (N, dim3) of the rows X (N, dim1)."""
        rows = self._rows(X)
        return self.reducer_.encode(self._held(rows)).astype(rows.dtype, copy=False)

    def inverse_transform(self, X: npt.ArrayLike) -> _Rows:
        """Return rows (N, dim1) of the codes X (N, dim3)."""
        check_is_fitted(self)
        codes = check_array(X, dtype=_FLOATS)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"X has {codes.shape[1]} columns, and codes have {self._n_features_out} (dim3)")
        x = self.reducer_.decode(codes.astype(np.float32))
        return x.astype(np.result_type(x, codes), copy=False)

    def sample(self, n: int = 1, random_state: _Seed = None) -> _Rows:
        """Return n new rows (n, dim1), drawn from the model's prior (`models.Reducer.sample`)."""
        check_is_fitted(self)
        return self.reducer_.sample(n, np.random.default_rng(_seed(random_state)))

    def score(self, X: npt.ArrayLike, y: object = None) -> float:
        """Return minus the mean squared error of the reconstructions of X (N, dim1), ignoring `y`.

        The error falls with dim3, so a search by this score selects the largest dim3. To choose dim3, judge the whole
        curve (`analysis.elbow.judge`); search the other parameters by this score.
        """
        rows = self._held(self._rows(X))
        return -reconstruction_mse(rows, self.reducer_.reconstruct(rows))

    @property
    def _n_features_out(self) -> int:
        """Number of columns of `transform`, by which scikit-learn names them."""
        return int(self._settings["dim3"])

    def _config(self) -> RunConfig:
        """The parameters as the configuration of a run. Raises BadInput."""
        given = self.get_params(deep=False)
        seed = _seed(given.pop("random_state"))
        del given["image_shape"]  # of the data, and so no field of a run
        return RunConfig(**given, seed=seed)

    def _rows(self, X: npt.ArrayLike) -> _Rows:
        check_is_fitted(self)
        rows: _Rows = validate_data(self, X, dtype=_FLOATS, reset=False)
        return rows

    def _held(self, rows: _Rows) -> _Rows:
        """The rows in the type that the model accepts. Raises ValueError for values that float32 can't hold."""
        with np.errstate(over="ignore"):
            rounded = rows.astype(np.float32)
        if not np.isfinite(rounded).all():
            raise ValueError(
                f"Input X contains infinity or a value too large for dtype('float32'): {np.abs(rows).max():g}"
            )
        return rows if class_of(self.model).takes_float64 else rounded

    def __getstate__(self) -> dict[str, Any]:
        """The state, with the fitted model as plain arrays: modules of a user's factory may not be picklable."""
        state: dict[str, Any] = super().__getstate__()
        if "reducer_" in state:
            state = {**state, "reducer_": self.reducer_.state()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the model anew, on a device of this machine."""
        super().__setstate__(state)
        if "reducer_" in state:
            self.reducer_ = build(self._settings["model"], self._settings).restore(state["reducer_"])

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that the float type is preserved."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _seed(random_state: _Seed) -> int:
    """The seed itself, or for None and a RandomState a new one each time."""
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**32, dtype=np.uint64))
    return random_state
