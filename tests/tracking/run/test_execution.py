"""A run computed without a store, and recorded runs read back from it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import style
from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.models import MODELS, PCA, Epoch
from elbowroom.models.measures.intrinsic_dimension import Intrinsic
from elbowroom.models.neural import training
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset, prepared_data
from elbowroom.tracking.data.datasets import digest, split
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.run import execute
from elbowroom.tracking.run.execution import _epoch_logger, evaluate, fit, prepare
from elbowroom.tracking.run.figures import FIGURES
from elbowroom.tracking.store.errors import BadInput, RunFailed
from elbowroom.tracking.store.names import PICTURED, VERSION, Artifact, Kind, Metric, Param, Tag
from elbowroom.tracking.store.recorder import RunRecord

pytestmark = pytest.mark.integration

QUICK = {"dataset": "digits", "epochs": 3, "dim2": 32}
DIGITS = load_dataset("digits")
INTRINSIC = {
    Metric.INTRINSIC_TWONN: 7.24,
    Metric.INTRINSIC_TWONN_SE: 0.47,
    Metric.INTRINSIC_MLE: 5.67,
    Metric.INTRINSIC_MLE_SE: 0.16,
    Metric.INTRINSIC_ROWS: 299,
    Metric.INTRINSIC_PARTICIPATION: 13.19,
    Metric.INTRINSIC_PARALLEL: 9,
}
"""Of the digits."""
BY_NEIGHBOURS = {Metric.INTRINSIC_TWONN_SE, Metric.INTRINSIC_MLE, Metric.INTRINSIC_MLE_SE, Metric.INTRINSIC_ROWS}
EVERY_RUN = {"errors/test", "errors/val", "errors/mean_row_test", "errors/mean_row_val", "errors/columns_test"}
EVERY_RUN |= {"codes/test", "codes/labels", "codes/val", "codes/val_labels", "probe/raw_correct"}
EVERY_RUN |= {"probe/raw_correct_val", "examples/originals", "examples/reconstructions", "examples/pictures"}


def array(client: MlflowClient, run_id: str, artifact: str) -> np.ndarray:
    return np.load(client.download_artifacts(run_id, artifact), allow_pickle=False)


def artifacts(client: MlflowClient, run_id: str, path: str | None = None) -> set[str]:
    found: set[str] = set()
    for item in client.list_artifacts(run_id, path):
        found |= artifacts(client, run_id, item.path) if item.is_dir else {item.path}
    return found


def computed(prepared_data: PreparedData | None = None, **fields: object) -> RunRecord:
    """The record of a run, computed without a store."""
    run = prepare(RunConfig(**{**QUICK, "artifacts": "light", **fields}), prepared_data)
    return evaluate(run, fit(run))


@pytest.fixture(scope="module")
def vae_run(shared_store: MlflowClient) -> Run:
    return shared_store.get_run(execute(RunConfig(**QUICK, model="vae")).run_id)


def test_a_stranger_can_read_the_run(shared_store: MlflowClient, vae_run: Run) -> None:
    tags, params = vae_run.data.tags, vae_run.data.params
    assert (vae_run.info.status, vae_run.info.run_name) == ("FINISHED", "vae-d2-s0")
    assert shared_store.get_experiment(vae_run.info.experiment_id).name == "elbowroom"
    assert (tags[Tag.KIND], tags[Tag.SCHEMA]) == (Kind.RUN, VERSION)
    assert RunConfig.from_json(tags[Tag.CONFIG]) == RunConfig(**QUICK, model="vae")
    wanted = {"dim1": 64, "rows_train": 1349, "rows_val": 149, "rows_test": 299} | json.loads(tags[Tag.CONFIG])
    assert params.items() >= {k: str(v) for k, v in wanted.items()}.items()
    assert tags["elbowroom.model.loss"] == "bce"
    assert tags["elbowroom.model.output"] == "sigmoid"
    assert tags["elbowroom.dataset.scaling"] == "divided by 16"
    assert tags[Tag.IMAGE_SHAPE] == "8x8"
    assert Tag.TEST_REPEATS not in tags
    assert tags["elbowroom.package.torch"]
    assert tags[Tag.DIRTY] in ("true", "false")
    assert len(tags[Tag.COMMIT]) == 40
    assert "Trained on 1,349 rows of 64 numbers of digits" in tags[Tag.DESCRIPTION]


def test_metrics_are_live_and_final(shared_store: MlflowClient, vae_run: Run) -> None:
    for name in ("train/loss", "val/loss", "val/mse", "val/recon", "val/kl", "val/elbo"):
        assert [m.step for m in shared_store.get_metric_history(vae_run.info.run_id, name)] == [1, 2, 3], name
    final = vae_run.data.metrics
    assert final[Metric.DIM3] == 2
    assert final[Metric.EPOCHS_TRAINED] == 3
    assert final[Metric.PARAMETERS] == 64 * 32 + 32 + 32 * 4 + 4 + 2 * 32 + 32 + 32 * 64 + 64
    assert final[Metric.VAL_MSE_FINAL] == pytest.approx(final[Metric.VAL_MSE], rel=1e-5)
    assert final[Metric.SAMPLES_PER_SECOND] == pytest.approx(1349 * 3 / final[Metric.FIT_SECONDS])
    assert final[Metric.TEST_ELBO] == pytest.approx(-(final[Metric.TEST_KL] + final[Metric.TEST_BCE]), rel=0.05)


def test_the_first_test_rows_are_kept_as_pictures(shared_store: MlflowClient, vae_run: Run, tmp_path: Path) -> None:
    kept = array(shared_store, vae_run.info.run_id, Artifact.PICTURES)
    assert kept.dtype == np.uint8
    assert np.array_equal(kept, (255 * DIGITS.x_test[:PICTURED]).round().reshape(-1, 8, 8))
    np.save(tmp_path / "table.npy", np.random.default_rng(0).random((60, 5), dtype=np.float32))
    assert Artifact.PICTURES not in computed(model="pca", dataset=str(tmp_path / "table.npy")).arrays


def test_errors_and_codes_in_the_store_are_those_of_the_metrics(shared_store: MlflowClient, vae_run: Run) -> None:
    run_id, final = vae_run.info.run_id, vae_run.data.metrics
    errors = array(shared_store, run_id, Artifact.ERRORS_TEST)
    assert errors.mean() == pytest.approx(final[Metric.TEST_MSE], rel=1e-6)
    assert array(shared_store, run_id, Artifact.ERRORS_VAL).mean() == pytest.approx(final[Metric.VAL_MSE_FINAL])
    codes = array(shared_store, run_id, Artifact.CODES)
    assert (codes.shape, codes.dtype) == ((299, 2), np.float32)
    assert np.array_equal(array(shared_store, run_id, Artifact.LABELS), DIGITS.y_test)
    assert np.array_equal(array(shared_store, run_id, Artifact.ORIGINALS), DIGITS.x_test[:16])
    rebuilt = array(shared_store, run_id, Artifact.RECONSTRUCTIONS)
    assert np.allclose(np.square(rebuilt - DIGITS.x_test[:16]).mean(axis=1), errors[:16], rtol=1e-4)


def test_the_arrays_of_held_out_rows_are_those_of_the_metrics() -> None:
    record = computed(model="vae", dim3=8)
    arrays, metrics, parts = record.arrays, record.metrics, split(DIGITS, "auto")
    mean_row, columns = arrays[Artifact.MEAN_ROW_TEST], arrays[Artifact.COLUMNS_TEST]
    assert 1 - metrics[Metric.TEST_MSE] / mean_row.mean() == metrics[Metric.TEST_EXPLAINED_VARIANCE]
    assert (mean_row.dtype, columns.shape) == (np.float64, (2, 64))
    assert columns.mean(axis=1) == pytest.approx([mean_row.mean(), metrics[Metric.TEST_MSE]])
    squares = np.square(parts.x_val - parts.x_train.mean(axis=0, dtype=np.float64))
    assert arrays[Artifact.MEAN_ROW_VAL] == pytest.approx(squares.mean(axis=1))
    assert arrays[Artifact.CODES_VAL].shape == (149, 8)
    assert np.array_equal(arrays[Artifact.LABELS_VAL], parts.y_val)
    assert arrays[Artifact.ELBO_TEST].mean() == pytest.approx(metrics[Metric.TEST_ELBO], rel=1e-12)
    assert arrays[Artifact.ELBO_VAL].shape == (149,)
    kl = arrays[Artifact.KL_BY_DIM]
    assert kl.sum() == pytest.approx(metrics[Metric.TEST_KL], rel=1e-5)
    assert metrics[Metric.TEST_UNITS_IN_USE] == (kl > 0.05).sum() > 0


def test_a_posterior_alone_gives_what_needs_no_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of PCA with a log-variance of 0 have the KL mean^2 / 2, and those drawn from it err 2 / 64 more."""
    monkeypatch.setattr(PCA, "posterior", lambda self, x: (self.encode(x), np.zeros((len(x), 2), np.float32)))
    record = computed(model="pca")
    kl, metrics = record.arrays[Artifact.KL_BY_DIM], record.metrics
    assert kl == pytest.approx(np.square(record.arrays[Artifact.CODES].astype(float)).mean(axis=0) / 2)
    assert (metrics[Metric.TEST_KL], metrics[Metric.TEST_UNITS_IN_USE]) == (pytest.approx(kl.sum()), 2)
    assert metrics[Metric.SAMPLED_MSE] - metrics[Metric.TEST_MSE] == pytest.approx(2 / 64, rel=0.1)
    assert Metric.TEST_ELBO not in metrics
    assert Artifact.ELBO_TEST not in record.arrays


def test_the_raw_rows_of_the_digits_have_their_labels() -> None:
    arrays = computed(model="pca").arrays
    assert arrays[Artifact.PROBE_TEST].mean() == pytest.approx(0.97, abs=0.02)
    assert arrays[Artifact.PROBE_VAL].mean() == pytest.approx(0.92, abs=0.03)
    assert len(arrays[Artifact.PROBE_VAL]) == 149


def drawn(client: MlflowClient, run_id: str) -> dict[str, bytes]:
    """Figures by their name, and images by their step."""
    paths = [p for p in artifacts(client, run_id) if p.endswith(".png")]
    return {re.split("[%+]timestamp", p)[0]: Path(client.download_artifacts(run_id, p)).read_bytes() for p in paths}


def test_full_keeps_the_model_and_figures_that_are_the_same_whatever_the_callers_style(
    shared_store: MlflowClient, vae_run: Run
) -> None:
    with style.context("ggplot"):
        again = drawn(shared_store, execute(RunConfig(**QUICK, model="vae")).run_id)
    before = drawn(shared_store, vae_run.info.run_id)
    assert [name for name in before if before[name] != again[name]] == []
    assert {f"figures/{name}.png" for name in FIGURES.keys() - {"spectrum"}} <= before.keys()
    images = {re.split(r"[%+]step[%+]", name)[1] for name in before if name.startswith("images/reconstructions")}
    assert images == {"1", "2", "3"}
    assert len(vae_run.outputs.model_outputs) == 1


def test_light_keeps_the_arrays_alone_and_pca_the_dimensions_of_the_data(shared_store: MlflowClient) -> None:
    run_id = execute(RunConfig(**QUICK, model="pca", artifacts="light")).run_id
    kept = {"spectrum", "pca_curve", "pca_curve_val"} | EVERY_RUN
    assert artifacts(shared_store, run_id) == {f"{name}.npy" for name in kept}
    final = shared_store.get_run(run_id).data.metrics
    raw, clipped = array(shared_store, run_id, Artifact.PCA_CURVE)[2]
    assert raw == pytest.approx(final[Metric.TEST_MSE], rel=1e-5)
    assert 0 < clipped < raw
    curve = array(shared_store, run_id, Artifact.PCA_CURVE_VAL)
    assert curve.shape == (65, 2)
    assert curve[2, 0] == pytest.approx(final[Metric.VAL_MSE_FINAL], rel=1e-5)
    assert curve[0, 0] == pytest.approx(array(shared_store, run_id, Artifact.MEAN_ROW_VAL).mean())
    assert {name: final[name] for name in INTRINSIC} == pytest.approx(INTRINSIC, abs=0.01)


def test_the_data_are_measured_once_for_all_runs_on_them_and_after_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    found = Intrinsic(7.0, None, 3, None, None, None)
    monkeypatch.setattr(prepared_data, "measure", lambda *rows: calls.append(len(rows)) or found)
    loaded = PreparedData.load(RunConfig(**QUICK))
    run = prepare(RunConfig(**QUICK, model="pca"), loaded)
    fitted = fit(run)
    assert calls == []
    for record in (evaluate(run, fitted), computed(loaded, model="pca", dim3=3)):
        assert record.metrics.keys() & INTRINSIC == INTRINSIC.keys() - BY_NEIGHBOURS  # None is left out
    assert calls == [2]


def test_test_rows_that_are_training_rows_are_said_and_estimates_that_are_undefined_left_out(
    shared_store: MlflowClient, tmp_path: Path
) -> None:
    np.save(tmp_path / "copies.npy", np.tile(np.eye(3, 5, dtype=np.float32), (100, 1)))
    config = RunConfig(model="pca", dataset=str(tmp_path / "copies.npy"), artifacts="light")
    data = shared_store.get_run(execute(config).run_id).data
    assert data.metrics.keys() & INTRINSIC == {Metric.INTRINSIC_PARTICIPATION, Metric.INTRINSIC_PARALLEL}
    assert data.tags[Tag.TEST_REPEATS] == "true"
    assert "Each test row is one of the training rows" in data.tags[Tag.DESCRIPTION]


def test_the_data_are_inputs_of_the_run_with_a_digest_of_all_rows(shared_store: MlflowClient, vae_run: Run) -> None:
    parts = split(DIGITS, "auto")
    logged = vae_run.inputs.dataset_inputs
    assert {i.tags[0].value: (i.dataset.name, i.dataset.digest) for i in logged} == {
        "train": ("digits", digest(parts.x_train)),
        "validation": ("digits", digest(parts.x_val)),
        "test": ("digits", digest(DIGITS.x_test)),
    }
    assert vae_run.data.tags[Tag.DIGEST] == digest(DIGITS.x_train, DIGITS.x_test)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_runs_without_validation_rows_and_has_the_numbers_of_its_kind(model: str) -> None:
    record = computed(model=model, val_size=0)
    assert Metric.VAL_MSE_FINAL not in record.metrics
    assert [path for path in record.arrays if "val" in path] == []
    assert record.metrics.keys() & INTRINSIC == (INTRINSIC.keys() if model == "pca" else set())
    assert (record.curve is not None) == (model == "nested-ae")
    assert record.metrics[Metric.TEST_MSE] < 0.3


def test_a_model_of_ordered_latents_logs_its_whole_curve(store: MlflowClient) -> None:
    run_id = execute(RunConfig(**QUICK, model="nested-ae", dim3=5, artifacts="light")).run_id
    history = store.get_metric_history(run_id, Metric.CURVE_MSE)
    assert [m.step for m in history] == [1, 2, 3, 4, 5]
    data = store.get_run(run_id).data
    assert history[-1].value == data.metrics[Metric.TEST_MSE] == data.metrics[Metric.CURVE_MSE]
    assert f"{history[0].value:.4g} at 1, {history[1].value:.4g} at 2" in data.tags[Tag.DESCRIPTION]


def test_without_labels_nothing_about_labels_is_kept() -> None:
    record = computed(model="ae", dataset="low-rank", artifacts="full")
    assert not {Artifact.LABELS, Artifact.LABELS_VAL, Artifact.PROBE_TEST, Artifact.PROBE_VAL} & record.arrays.keys()
    assert "latent_scatter" in record.figures
    assert record.tags["elbowroom.model.output"] == "linear"
    assert record.tags["elbowroom.model.scaling"].startswith("centred by the training mean, divided by 0.")
    assert Metric.TEST_BCE not in record.metrics


def test_same_seed_gives_bitwise_equal_metrics(shared_store: MlflowClient, vae_run: Run) -> None:
    """A VAE's, with figures and without."""
    light = RunConfig(**QUICK, model="vae", artifacts="light", threads=1)
    ids = [vae_run.info.run_id, *(execute(config).run_id for config in (light, replace(light, seed=1)))]
    first, again, other = ([m.value for m in shared_store.get_metric_history(i, "train/loss")] for i in ids)
    assert len(first) == 3
    assert first == again != other


@pytest.mark.parametrize(
    ("raised", "caught", "status", "reason"),
    [
        (RuntimeError("the cat pulled http://ada:secret@plug"), RunFailed, "FAILED", "the cat pulled http://ada:***@plug"),
        (KeyboardInterrupt(), KeyboardInterrupt, "KILLED", "interrupted by Ctrl-C"),
    ],
    ids=["error", "Ctrl-C"],
)  # fmt: skip
def test_a_run_that_raises_ends_with_the_reason_and_keeps_what_was_logged(
    store: MlflowClient, raised: BaseException, caught: type[BaseException], status: str, reason: str
) -> None:
    def explode(epoch: object) -> None:
        raise raised

    with pytest.raises(caught, match=None if status == "KILLED" else re.escape(reason)):
        execute(RunConfig(**QUICK), on_epoch=explode)
    (run,) = store.search_runs([store.get_experiment_by_name("elbowroom").experiment_id])
    assert (run.info.status, run.data.tags[Tag.REASON]) == (status, reason)
    assert run.data.metrics[Metric.TRAIN_LOSS] > 0
    if status == "FAILED":
        trace = Path(store.download_artifacts(run.info.run_id, Artifact.TRACEBACK)).read_text()
        assert "in explode" in trace
        assert trace.endswith(f"RuntimeError: {reason}\n")


def test_a_loss_that_is_no_number_names_the_epoch(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, parts = iter([1.0, float("nan")]), dict.fromkeys(("recon", "kl"), torch.ones(()))
    monkeypatch.setattr(training, "_one_epoch", lambda *_: (next(losses), parts))
    with pytest.raises(RunFailed, match="training loss became nan in epoch 2; try a smaller --lr"):
        execute(RunConfig(**QUICK, artifacts="light"))


def test_under_mlflow_run_the_existing_run_is_continued(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create_run("0", run_name="amused-ape-7")
    store.log_param(run.info.run_id, "lr", "1e-3")  # as typed: logging 0.001 over it would raise
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    result = execute(RunConfig(**QUICK, artifacts="light"))
    assert result.run_id == run.info.run_id
    after = store.get_run(result.run_id)
    assert (after.info.status, after.info.run_name) == ("FINISHED", "vae-d2-s0")
    assert after.data.params.items() >= {"lr": "1e-3", "dim2": "32"}.items()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"val_size": 1497}, "leaves 1 of 1498 training rows"),
        ({"dataset": "low-rank", "loss": "bce"}, "loss bce needs"),
        ({"dataset": "low-rank", "output": "sigmoid"}, "output sigmoid needs"),
        ({"device": "cuda:7"}, "device must be auto or cpu"),
        ({"model": "__main__:Mine"}, "what a script or notebook defines can't be imported"),
        ({"dim3": 65}, "dim3 must be from 1 to 64"),
    ],
)
def test_bad_input_leaves_no_run_behind(store: MlflowClient, bad: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        execute(RunConfig(**{**QUICK, **bad}))
    assert store.search_runs([e.experiment_id for e in store.search_experiments()]) == []


@pytest.mark.parametrize(("threads", "used"), [("auto", "3"), (2, "2")])
def test_a_run_has_the_threads_that_torch_is_set_to_or_its_own_and_puts_them_back(
    store: MlflowClient, threads: Any, used: str
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run_id = execute(RunConfig(**QUICK, artifacts="light", threads=threads)).run_id
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert store.get_run(run_id).data.params[Param.THREADS_USED] == used


@pytest.mark.parametrize("model", ["pca", "nested-ae"])
def test_a_run_is_computed_without_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Its record has numbers whose answers are known, and nothing is written before it is complete."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MlflowClient, "__init__", None)
    run = prepare(RunConfig(**{**QUICK, "dim3": 64}, model=model))
    seen: list[Epoch] = []
    record = evaluate(run, fit(run, seen.append))
    assert list(tmp_path.iterdir()) == []

    codes, errors = record.arrays[Artifact.CODES], record.arrays[Artifact.ERRORS_TEST]
    wanted = np.square(DIGITS.x_test - run.model.decode(codes)).mean(axis=1)
    assert errors == pytest.approx(wanted, rel=1e-4, abs=1e-9)
    assert record.metrics[Metric.TEST_MSE] == errors.mean()
    assert record.metrics[Metric.EPOCHS_TRAINED] == len(seen)
    assert all(png.startswith(b"\x89PNG") for png in record.figures.values())
    if model == "pca":
        assert record.metrics[Metric.TEST_MSE] == pytest.approx(0, abs=1e-10)  # of all 64 components
        assert record.figures.keys() == FIGURES.keys() - {"losses"}
    else:
        assert record.curve is not None
        assert (record.curve.shape, record.curve[-1]) == ((64,), record.metrics[Metric.TEST_MSE])
        assert record.figures.keys() == FIGURES.keys() - {"spectrum"}


def test_records_are_merged_by_name() -> None:
    x = np.zeros(3)
    merged = RunRecord({"a": 1.0, "b": 1.0}, {"t": "1"}, curve=np.ones(2)) | RunRecord({"b": 2.0}, arrays={"x": x})
    assert (merged.metrics, merged.tags) == ({"a": 1.0, "b": 2.0}, {"t": "1"})
    assert merged.arrays == {"x": x}
    assert merged.curve.tolist() == [1, 1]


def test_the_pictures_of_a_long_training_are_those_of_its_next_measured_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elbowroom.tracking.run.execution.draw_reconstructions", lambda *_: None)
    monkeypatch.setattr("elbowroom.tracking.run.execution.pixels", lambda _: None)
    pictured: list[int] = []
    client: Any = SimpleNamespace(log_image=lambda *_, step, **__: pictured.append(step))
    recorder: Any = SimpleNamespace(client=client, run_id="", metrics=lambda *_: None)
    run = prepare(RunConfig(**QUICK, model="pca"))
    fit(run)
    log = _epoch_logger(run, recorder, None)
    for number in [1, *range(4, 455, 4), 455]:
        log(Epoch(number, 455, {}))
    assert pictured == [1, 4, 12, 40, 136, 455]  # from 1, 3, 12, 39, 134, 455
