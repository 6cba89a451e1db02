"""The models as scikit-learn transformers: scikit-learn's own checks, and the numbers of a run."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from elbowroom.models import MODELS, class_of
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.estimator import LatentTransformer
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.names import TABLE_FIELDS
from tests.conftest import ROOT, environment

DIGITS = load_dataset("digits")
X = DIGITS.x_train[:300]


@pytest.mark.parametrize("model", [m for m in MODELS if len(class_of(m).example_shape) == 1])
def test_scikit_learns_own_checks(model: str) -> None:
    made = LatentTransformer(model, dim2=8, epochs=2)
    results = check_estimator(made, on_skip=None)  # raises where one fails
    assert len(results) > 40
    assert {r["check_name"] for r in results if r["status"] != "passed"} <= {"check_array_api_input"}  # not asked for


@pytest.mark.parametrize(("model", "val_size"), [("pca", 0), ("ae", 0), ("vae", "auto"), ("nested-ae", 0)])
def test_the_numbers_are_those_of_a_run(store: MlflowClient, tmp_path: Path, model: str, val_size: int | str) -> None:
    """Bit by bit, on data in [0, 1] and on others."""
    for number, scale in enumerate((1.0, 16.0)):
        train, test = tmp_path / f"train{number}.npy", tmp_path / f"test{number}.npy"
        np.save(train, X * np.float32(scale))
        np.save(test, DIGITS.x_test[:50] * np.float32(scale))
        same: dict[str, Any] = {"dim3": 3, "dim2": 16, "epochs": 2, "val_size": val_size}
        config = RunConfig(
            model=model, dataset=str(train), test_data=str(test), seed=7, threads=1, artifacts="light", **same
        )
        run = execute(config).run_id
        codes = np.load(mlflow.artifacts.download_artifacts(f"runs:/{run}/codes/test.npy"))
        mine = LatentTransformer(model, random_state=7, **same).fit(np.load(train))
        assert mine.transform(np.load(test)).tobytes() == codes.tobytes()
        assert -mine.score(np.load(test)) == pytest.approx(store.get_run(run).data.metrics["test/mse"], rel=1e-6)


def test_there_and_back_with_names_and_the_type_that_was_given() -> None:
    made = LatentTransformer("pca", 64).fit(X.astype(np.float64))
    codes = made.transform(X.astype(np.float64))
    assert (codes.shape, codes.dtype) == ((300, 64), np.float64)
    assert np.allclose(made.inverse_transform(codes), X, atol=1e-5)
    assert made.score(X) > -1e-10
    assert made.n_features_in_ == 64
    assert list(made.get_feature_names_out()[:2]) == ["latenttransformer0", "latenttransformer1"]
    with pytest.raises(ValueError, match=r"X has 63 columns, and codes have 64 \(dim3\)"):
        made.inverse_transform(codes[:, 1:])
    with pytest.raises(ValueError, match="too large for dtype"):
        made.transform(np.full((1, 64), 1e300))


def test_the_score_is_minus_the_error_and_grows_with_dim3() -> None:
    search = GridSearchCV(LatentTransformer("pca"), {"dim3": [2, 5, 10]}, cv=3).fit(X)
    assert search.best_params_ == {"dim3": 10}
    assert search.cv_results_["mean_test_score"].tolist() == sorted(search.cv_results_["mean_test_score"])
    made = LatentTransformer("pca", 5).fit(X)
    assert made.score(X) == -reconstruction_mse(X, made.inverse_transform(made.transform(X)))


def test_a_pipeline_classifies_by_the_codes() -> None:
    y = DIGITS.y_train[:300]  # type: ignore[index]
    for scaler in (MinMaxScaler(clip=True), StandardScaler()):
        codes = LatentTransformer("ae", 8, dim2=32, epochs=30, batch_size=32)
        made = make_pipeline(scaler, codes, LogisticRegression(max_iter=5000)).fit(X, y)
        assert made.score(DIGITS.x_test, DIGITS.y_test) > 0.6  # one in ten by chance
        assert made[:-1].inverse_transform(made[:-1].transform(X)).shape == X.shape


def test_the_seed_decides() -> None:
    def codes(random_state: Any) -> np.ndarray:
        return LatentTransformer("ae", dim2=8, epochs=1, random_state=random_state).fit_transform(X)

    assert np.array_equal(codes(1), codes(np.int64(1)))
    assert not np.array_equal(codes(1), codes(2))
    assert not np.array_equal(codes(None), codes(None))
    state = np.random.RandomState(0)
    assert np.array_equal(codes(np.random.RandomState(0)), codes(state))
    assert not np.array_equal(codes(np.random.RandomState(0)), codes(state))  # which has moved on
    made = LatentTransformer("vae", dim2=8, epochs=1).fit(X)
    assert np.array_equal(made.sample(3, 1), made.reducer_.sample(3, np.random.default_rng(1)))
    assert not np.array_equal(made.sample(3), made.sample(3))


@pytest.mark.parametrize("model", [*MODELS, "tests.tracking.own:Keep", "tests.tracking.own:factory"])
def test_it_is_kept_by_pickle_and_cloned_unfitted(model: str) -> None:
    made = LatentTransformer(model, 3, dim2=8, epochs=1, image_shape=(8, 8)).fit(X)
    made.set_params(model="pca")  # is of the next fit
    kept = pickle.loads(pickle.dumps(made))
    assert np.array_equal(kept.transform(X), made.transform(X))
    assert np.array_equal(kept.sample(2, 0), made.sample(2, 0))
    assert not hasattr(clone(made), "reducer_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "eu"}, "unknown model 'eu'; known: pca, pca-mlp, ae"),
        ({"model": "conv-ae"}, "conv-ae needs rows that are images"),
        ({"model": "conv-ae", "image_shape": (8, 9)}, "conv-ae needs rows of 72 numbers .* got rows of 64"),
        ({"dim3": 2.5}, "dim3 must be a whole number"),
        ({"dim3": 65}, "minimum of 65 is required by LatentTransformer"),
        ({"output": "sigmoid"}, "output sigmoid needs data in"),
        ({"random_state": -1}, "seed must be at least 0"),
        ({"val_size": 299}, "val_size 299 leaves 1 of 300"),
    ],
)
def test_bad_input_is_said_by_fit(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentTransformer(**{"model": "ae", "epochs": 1, **parameters}).fit(X * 16)


def test_patience_stops_by_a_tenth_of_the_rows() -> None:
    with pytest.raises(ValueError, match="patience holds out a tenth of the training rows, and needs at least 10"):
        LatentTransformer("ae", patience=2).fit(X[:5])
    made = LatentTransformer("ae", dim2=8, epochs=50, lr=1.0, schedule="constant", patience=1).fit(X)
    assert made.reducer_.epochs_trained < 50  # type: ignore[attr-defined]


def test_epochs_auto_is_a_number_for_the_rows_that_it_is_given() -> None:
    assert LatentTransformer("pca").fit(X)._settings["epochs"] == 834  # 2,500 steps, three an epoch


def test_its_parameters_are_the_fields_of_a_run_with_their_defaults() -> None:
    given = LatentTransformer().get_params()
    assert [given.pop(name) for name in ("random_state", "val_size", "image_shape")] == [RunConfig.seed, 0, None]
    assert given == {name: getattr(RunConfig, name) for name in given}
    no_parameters = {"dataset", "test_data", "label_column", "header", "seed", "val_size", "threads", "artifacts"}
    no_parameters |= {"edition", "measure", *TABLE_FIELDS}
    assert set(given) == set(RunConfig.__dataclass_fields__) - no_parameters


@pytest.mark.integration
def test_it_needs_no_mlflow_and_no_command_imports_it() -> None:
    asked = (
        "import sys, elbowroom.tracking.estimator; print([m for m in ('mlflow', 'optuna') if m in sys.modules]);"
        "del sys.modules['elbowroom.tracking.estimator'];"
        "import elbowroom.tracking.train, elbowroom.studies.execution.pools, elbowroom.studies.scan;"
        "print('elbowroom.tracking.estimator' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "False"], done.stderr


def test_rows_far_from_0_keep_their_digits_and_one_row_is_no_reason_to_refuse() -> None:
    x = np.random.default_rng(0).standard_normal((60, 4)) + 1e9
    far = LatentTransformer("pca", 4).fit(x)
    codes = far.transform(x).astype(np.float32)
    assert far.inverse_transform(codes) == pytest.approx(x, abs=1e-5)
    assert -far.score(x) < 1e-10
    own = LatentTransformer("tests.tracking.own:Keep", 2)
    with pytest.raises(ValueError, match="column 0 lies so far from 0"):
        own.fit(x)
    assert own.fit(x - 1e9).transform(x[:1] - 1e9).shape == (1, 2)
