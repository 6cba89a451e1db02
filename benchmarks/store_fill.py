"""A tracking store with thousands of finished runs, written straight into its database, for `benchmarks.store`.

The runs are like those of a scan: params, metrics, tags, inputs, and the arrays that a report reads, of as many rows as
are asked for. None is measured (`--measure`), so the purpose `rank` has no evidence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.db.base_sql_model import Base

from elbowroom.models.measures.probe import neighbour_hits
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import (
    EXAMPLES,
    EXPERIMENT,
    FACT_PREFIX,
    VERSION,
    Artifact,
    Kind,
    Metric,
    Param,
    Tag,
)
from elbowroom.tracking.store.recorder import code_tags

Floats = npt.NDArray[np.float64]
Record = dict[str, Any]  # a row of a table of the database, by column
Records = dict[str, list[Record]]  # rows by table

STUDY = "benchmark"
DIGEST = "5bd1e995a0c5f4d2"
DIM1, DIM2, EPOCHS = 784, 400, 5
ROWS_TRAIN, ROWS_VAL, ROWS_TEST = 55_000, 5_000, 10_000  # as the params say; the arrays have as many as asked for
FIRST, LAST = 2, 50  # dim3
LEAST_SEEDS = 3  # with fewer runs than these take, the range is shorter
BEGAN = 1_750_000_000_000  # ms since 1970; a run a second
AT_ONCE = 500  # runs written to the database together
BASELINE = 0.0675  # the error of the mean image
CLASSES = 10
IN_USE = 20  # latents, at most, of a VAE
KINDS = ("train", "validation", "test")


class Cell(NamedTuple):
    """One run to write."""

    model: str
    dim3: int
    seed: int

    @property
    def epochs(self) -> int:
        """The epochs of its training; PCA has none."""
        return 0 if self.model == "pca" else EPOCHS

    @property
    def config(self) -> RunConfig:
        """The configuration that a scan would use."""
        shared = {"dim2": DIM2, "epochs": EPOCHS, "threads": 1, "artifacts": "light"}
        return RunConfig(model=self.model, dim3=self.dim3, seed=self.seed, **shared)  # type: ignore[arg-type]


class Errors(NamedTuple):
    """The squared errors of the validation and of the test rows, (N,) each."""

    val: npt.NDArray[np.float32]
    test: npt.NDArray[np.float32]

    @classmethod
    def drawn(cls, mean: float, cell: Cell, held: Held, rng: np.random.Generator) -> Errors:
        """Return errors with this mean; that of a trained model varies by 1 % over seeds."""
        luck = 1.0 if cell.model == "pca" else float(np.exp(0.01 * rng.standard_normal()))
        noise = np.exp(0.1 * rng.standard_normal((len(held), len(held[0].hardness))) - 0.005)
        return cls(*((mean * luck * h.hardness * n).astype(np.float32) for h, n in zip(held, noise, strict=True)))


class HeldOut(NamedTuple):
    """One set of held-out rows: how hard each is (N,), its class, its latents (N, LAST), its neighbours' vote."""

    hardness: Floats
    labels: npt.NDArray[np.int64]
    latents: npt.NDArray[np.float32]
    hits: npt.NDArray[np.int8] | None

    @classmethod
    def drawn(cls, rows: int, centres: Floats, rng: np.random.Generator) -> HeldOut:
        """Return rows about the centres (CLASSES, LAST) of their classes; the first latents are the largest."""
        labels = rng.integers(CLASSES, size=rows)
        spread = np.exp(-np.arange(LAST) / 8)
        latents = ((centres[labels] + 0.8 * rng.standard_normal((rows, LAST))) * spread).astype(np.float32)
        return cls(rng.gamma(4, 0.25, rows), labels, latents, neighbour_hits(latents, labels))

    @property
    def mean_row(self) -> Floats:
        """The errors of the mean row, (N,)."""
        return BASELINE * self.hardness

    def codes(self, cell: Cell, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Return a model's codes (N, dim3): those of two trainings differ by a tenth of the latents' spread."""
        exact = self.latents[:, : cell.dim3]
        noise = 0.0 if cell.model == "pca" else 0.1 * exact.std(axis=0)
        codes: npt.NDArray[np.float32] = exact + np.float32(noise) * rng.standard_normal(exact.shape, dtype=np.float32)
        return codes


Held = tuple[HeldOut, HeldOut]  # validation and test rows


def grid(runs: int) -> tuple[list[int], list[Cell]]:
    """Return the dim3 and the cells of a scan with this number of runs: PCA, then seed after seed."""
    dim3 = list(range(FIRST, min(LAST, FIRST - 1 + max(1, runs // (1 + 2 * LEAST_SEEDS))) + 1))
    pca = (Cell("pca", k, 0) for k in dim3)
    seeds = range(runs)
    others = (Cell(model, k, seed) for seed in seeds for k in dim3 for model in ("ae", "vae"))
    return dim3, [*pca, *islice(others, max(0, runs - len(dim3)))][:runs]


def spectrum() -> Floats:
    """Return eigenvalues (DIM1,) like those of images."""
    j: Floats = np.arange(1.0, DIM1 + 1)
    values = j**-0.8 * np.exp(-j / 90)
    scaled: Floats = values * (BASELINE * DIM1 / values.sum())
    return scaled


def pca_curve() -> Floats:
    """Return PCA's errors by dim3 from 0, raw and clipped: (DIM1 + 1, 2)."""
    left = np.append(spectrum()[::-1].cumsum()[::-1], 0.0) / DIM1
    return np.stack([left, 0.95 * left], axis=1)


def mean_error(cell: Cell, curve: Floats) -> float:
    """Return a model's mean error over seeds; a VAE uses at most twenty dimensions."""
    if cell.model == "pca":
        return float(curve[cell.dim3, 0])
    k = cell.dim3 if cell.model == "ae" else min(cell.dim3, IN_USE)
    ratio = 0.35 + 0.6 * np.exp(-k / 6)
    return float(curve[k, 0] * ratio * (1.0 if cell.model == "ae" else 1.1)) + 0.001


def kl(cell: Cell) -> float:
    """Return a VAE's KL in nats a row."""
    return float(25 * (1 - np.exp(-cell.dim3 / 10)))


def kl_by_latent(cell: Cell) -> Floats:
    """Return a VAE's KL of each latent in nats, (dim3,), which is 0 for those that it leaves unused."""
    used = min(cell.dim3, IN_USE)
    return np.pad(np.full(used, kl(cell) / used), (0, cell.dim3 - used))


def elbo(errors: npt.NDArray[np.float32], cell: Cell) -> Floats:
    """Return a VAE's ELBO of each row in nats, (N,)."""
    nats: Floats = -(60 + 1000 * errors.astype(np.float64) + kl(cell))
    return nats


def fill(folder: Path, runs: int, rows: int, uri: str = "") -> str:
    """Write a store with this number of finished runs, each with arrays of `rows` rows, and return its URI.

    The artifacts go to an empty folder, and so does the database unless `uri` names another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uri = uri or f"sqlite:///{folder.resolve()}/mlflow.db"
    place = folder.resolve() / "artifacts"
    experiment_id = MlflowClient(uri).create_experiment(EXPERIMENT, artifact_location=place.as_uri())
    rng = np.random.default_rng(0)
    curve = pca_curve()
    centres = rng.standard_normal((CLASSES, LAST))
    held = HeldOut.drawn(rows, centres, rng), HeldOut.drawn(rows, centres, rng)
    dim3, cells = grid(runs)
    code = code_tags()
    writer = Writer(place, held, rng)
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.begin() as database:
            _insert(database, datasets(int(experiment_id)))
            study = rng.bytes(16).hex()
            _insert(database, parent(int(experiment_id), study, place, dim3, cells, code))
            for begin in range(0, len(cells), AT_ONCE):
                records: Records = {}
                for number, cell in enumerate(cells[begin : begin + AT_ONCE], begin):
                    run_id = rng.bytes(16).hex()
                    errors = Errors.drawn(mean_error(cell, curve), cell, held, rng)
                    writer.write(run_id, cell, errors)
                    run = Written(int(experiment_id), run_id, number, place)
                    for table, lines in records_of(run, cell, errors, study, code).items():
                        records.setdefault(table, []).extend(lines)
                _insert(database, records)
    finally:
        engine.dispose()
    return uri


class Writer:
    """Writes the `light` artifacts. Equal arrays of several runs are hard links to one file."""

    def __init__(self, place: Path, held: Held, rng: np.random.Generator) -> None:
        self.place, self.held, self.rng = place, held, rng
        self.blur = rng.random((EXAMPLES, DIM1), dtype=np.float32)
        self.columns = rng.gamma(2, BASELINE / 2, DIM1)
        self.first: dict[tuple[object, ...], Path] = {}
        val, test = held
        of_all: dict[Artifact, npt.NDArray[Any] | None] = {
            Artifact.ORIGINALS: rng.random((EXAMPLES, DIM1), dtype=np.float32),
            Artifact.MEAN_ROW_VAL: val.mean_row,
            Artifact.MEAN_ROW_TEST: test.mean_row,
            Artifact.LABELS_VAL: val.labels,
            Artifact.LABELS: test.labels,
            Artifact.PROBE_VAL: val.hits,
            Artifact.PROBE_TEST: test.hits,
        }
        self.of_all = {path: array for path, array in of_all.items() if array is not None}
        curve = pca_curve()
        of_error = np.stack([curve[:, 0], np.full(len(curve), 0.01)], axis=1)
        self.of_pca = {
            Artifact.SPECTRUM: spectrum(),
            Artifact.PCA_CURVE: curve,
            Artifact.PCA_CURVE_VAL: of_error,
        }

    def write(self, run_id: str, cell: Cell, errors: Errors) -> None:
        """Write all files of one run."""
        folder = self.place / run_id / "artifacts"
        codes = [held.codes(cell, self.rng) for held in self.held]
        own: dict[Artifact, npt.NDArray[Any]] = {
            Artifact.ERRORS_VAL: errors.val,
            Artifact.ERRORS_TEST: errors.test,
            Artifact.CODES_VAL: codes[0],
            Artifact.CODES: codes[1],
        }
        if cell.model == "vae":
            own |= {Artifact.ELBO_VAL: elbo(errors.val, cell), Artifact.ELBO_TEST: elbo(errors.test, cell)}
            own[Artifact.KL_BY_DIM] = kl_by_latent(cell)
        for path, array in own.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / path, array)
        share = np.float32(1 / cell.dim3)
        of_dim3: dict[Artifact, npt.NDArray[Any]] = {
            Artifact.RECONSTRUCTIONS: (1 - share) * self.of_all[Artifact.ORIGINALS] + share * self.blur,
            Artifact.COLUMNS_TEST: np.outer((1, errors.test.mean() / BASELINE), self.columns),
        }
        self._link(folder, self.of_all)
        self._link(folder, of_dim3, cell.model, cell.dim3)
        if cell.model == "pca":
            self._link(folder, self.of_pca)

    def _link(self, folder: Path, arrays: Mapping[Artifact, npt.NDArray[Any]], *of: object) -> None:
        """Write arrays that all runs `of` something have."""
        for path, array in arrays.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if (path, *of) in self.first:
                os.link(self.first[path, *of], folder / path)
            else:
                np.save(folder / path, array)
                self.first[path, *of] = folder / path


class Written(NamedTuple):
    """A run's place in the store."""

    experiment_id: int
    run_id: str
    number: int
    place: Path

    @property
    def began(self) -> int:
        """Its begin, in ms since 1970."""
        return BEGAN + 1000 * self.number

    def row(self, name: str) -> Record:
        """Return the run's row in the table of runs."""
        return {
            "run_uuid": self.run_id,
            "name": name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": "benchmark",
            "status": "FINISHED",
            "start_time": self.began,
            "end_time": self.began + 900,
            "source_version": "",
            "lifecycle_stage": "active",
            "artifact_uri": f"{self.place.as_uri()}/{self.run_id}/artifacts",
            "experiment_id": self.experiment_id,
        }


def parent(
    experiment_id: int, run_id: str, place: Path, dim3: list[int], cells: list[Cell], code: Mapping[str, str]
) -> Records:
    """Return the rows of the scan's own run."""
    run = Written(experiment_id, run_id, -1, place)
    seeds = 1 + max((c.seed for c in cells), default=0)
    tags: dict[str, str] = {**code, Tag.KIND: Kind.STUDY, Tag.SCHEMA: VERSION, Tag.STUDY: STUDY, Tag.COORDINATOR: ""}
    tags[Tag.GRID] = json.dumps({"dim3": dict.fromkeys(("pca", "ae", "vae"), dim3), "seeds": seeds})
    return {"runs": [run.row(STUDY)], "tags": _named(run_id, {**tags, "mlflow.runName": STUDY})}


def datasets(experiment_id: int) -> Records:
    """Return the rows of the data sets that every run has as its inputs."""
    source = json.dumps({"uri": "mnist"})
    return {
        "datasets": [
            {
                "dataset_uuid": f"{kind:0>32}",
                "experiment_id": experiment_id,
                "name": "mnist",
                "digest": f"{kind:0>16}",
                "dataset_source_type": "local",
                "dataset_source": source,
            }
            for kind in KINDS
        ]
    }


def records_of(run: Written, cell: Cell, errors: Errors, study: str, code: Mapping[str, str]) -> Records:
    """Return the rows of one run, by table."""
    config = cell.config
    final = metrics(cell, errors)
    history = [(name, value, cell.epochs) for name, value in final.items()]
    history += [(name, value, epoch) for epoch, at in epochs(cell, final) for name, value in at.items()]
    latest = {name: (value, step) for name, value, step in sorted(history, key=lambda h: h[2])}
    params = {name: getattr(config, name) for name in RunConfig.__dataclass_fields__} | {
        Param.DIM1: DIM1,
        Param.ROWS_TRAIN: ROWS_TRAIN,
        Param.ROWS_VAL: ROWS_VAL,
        Param.ROWS_TEST: ROWS_TEST,
        Param.THREADS_USED: 1,
    }
    return {
        "runs": [run.row(config.run_name)],
        "params": _named(run.run_id, params),
        "tags": _named(run.run_id, tags_of(run, cell, final, study, code)),
        "metrics": [_metric(run, *entry) for entry in history],
        "latest_metrics": [_metric(run, name, *entry) for name, entry in latest.items()],
        "inputs": [
            {
                "input_uuid": f"{run.run_id}-{i}",
                "source_type": "DATASET",
                "source_id": f"{kind:0>32}",
                "destination_type": "RUN",
                "destination_id": run.run_id,
            }
            for i, kind in enumerate(KINDS)
        ],
        "input_tags": [
            {"input_uuid": f"{run.run_id}-{i}", "name": "mlflow.data.context", "value": kind}
            for i, kind in enumerate(KINDS)
        ],
    }


def tags_of(
    run: Written, cell: Cell, final: Mapping[str, float], study: str, code: Mapping[str, str]
) -> dict[str, str]:
    """Return the tags of a run, by name."""
    facts = {"output": "linear", "scaling": "centred by the training mean", "decomposition": "made by this fit"}
    if cell.model != "pca":
        loss = "mse" if cell.model == "ae" else "bce"
        facts = {"loss": loss, "output": "sigmoid", "device": "cpu", "scaling": "none: the data lie in [0, 1]"}
    said = (
        f"{cell.model}, dim3 {cell.dim3}\n\nMean squared error {final[Metric.TEST_MSE]:.5g} on test rows. "
        f"Trained on {ROWS_TRAIN:,} rows of {DIM1} numbers of mnist."
    )
    return {
        **code,
        **{f"{FACT_PREFIX}{name}": value for name, value in facts.items()},
        Tag.KIND: Kind.RUN,
        Tag.SCHEMA: VERSION,
        Tag.CONFIG: cell.config.to_json(),
        Tag.SEEDED: "no" if cell.model == "pca" else "yes",
        Tag.DATASET: "mnist",
        Tag.DIGEST: DIGEST,
        Tag.DATA_SCALING: "divided by 255",
        Tag.IMAGE_SHAPE: "28x28",
        Tag.STUDY: STUDY,
        Tag.TRIAL: str(run.number),
        Tag.WORKER: "host 1 0",
        Tag.PARENT: study,
        Tag.DESCRIPTION: said,
        "mlflow.runName": cell.config.run_name,
        "mlflow.user": "benchmark",
        "mlflow.source.name": "studies/scan.py",
        "mlflow.source.type": "LOCAL",
    }


def metrics(cell: Cell, errors: Errors) -> dict[str, float]:
    """Return the final metrics, by name."""
    test = float(errors.test.mean(dtype=np.float64))
    seconds = 0.2 if cell.model == "pca" else 12 + 0.05 * cell.dim3
    width = 2 * cell.dim3 if cell.model == "vae" else cell.dim3
    layers = (DIM1 + 1) * DIM2 + (DIM2 + 1) * width + (cell.dim3 + 1) * DIM2 + (DIM2 + 1) * DIM1
    found: dict[str, float] = {
        Metric.VAL_MSE_FINAL: float(errors.val.mean(dtype=np.float64)),
        Metric.TEST_MSE: test,
        Metric.TEST_EXPLAINED_VARIANCE: 1 - test / BASELINE,
        Metric.DATA_RANGE: 1.0,
        Metric.DIM3: cell.dim3,
        Metric.FIT_SECONDS: seconds,
        Metric.SAMPLES_PER_SECOND: ROWS_TRAIN * max(1, cell.epochs) / seconds,
        Metric.PARAMETERS: (cell.dim3 + 1) * DIM1 if cell.model == "pca" else layers,
        Metric.EPOCHS_TRAINED: cell.epochs,
    }
    if cell.model == "vae":
        found |= {Metric.TEST_ELBO: float(elbo(errors.test, cell).mean()), Metric.TEST_KL: kl(cell)}
        found |= {Metric.TEST_BCE: 60 + 900 * test, Metric.SAMPLED_MSE: 1.3 * test}
        in_use = float(np.count_nonzero(kl_by_latent(cell)))
        found |= dict.fromkeys((Metric.TEST_ACTIVE_UNITS, Metric.TEST_UNITS_IN_USE), in_use)
    if cell.model == "pca":
        values = spectrum()
        found |= {Metric.INTRINSIC_TWONN: 13.6, Metric.INTRINSIC_MLE: 12.4, Metric.INTRINSIC_PARALLEL: 60}
        found[Metric.INTRINSIC_PARTICIPATION] = float(values.sum() ** 2 / (values**2).sum())
    return found


def epochs(cell: Cell, final: Mapping[str, float]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the metrics of each epoch, which fall to the final ones."""
    for epoch in range(1, cell.epochs + 1):
        above = 1 + 0.5 * (1 / epoch - 1 / cell.epochs)
        mse = final[Metric.VAL_MSE_FINAL] * above
        if cell.model == "ae":
            yield epoch, {Metric.TRAIN_LOSS: mse, Metric.VAL_LOSS: mse, Metric.VAL_MSE: mse}
            continue
        nats, recon = final[Metric.TEST_KL], 60 + 1000 * mse
        yield (
            epoch,
            {
                Metric.TRAIN_LOSS: recon + nats,
                Metric.VAL_LOSS: recon + nats,
                Metric.VAL_MSE: mse,
                Metric.VAL_RECON: recon,
                Metric.VAL_KL: nats,
                Metric.VAL_ELBO: -(recon + nats),
            },
        )


def _named(run_id: str, values: Mapping[str, object]) -> list[Record]:
    return [{"key": str(k), "value": str(v), "run_uuid": run_id} for k, v in values.items()]


def _metric(run: Written, name: str, value: float, step: int) -> Record:
    at = {"timestamp": run.began + step, "step": step, "is_nan": False}
    return {"key": str(name), "value": float(value), "run_uuid": run.run_id, **at}


def _insert(database: sqlalchemy.Connection, records: Records) -> None:
    """Insert rows into their tables, in the order of the foreign keys."""
    for table in Base.metadata.sorted_tables:
        if records.get(table.name):
            database.execute(table.insert(), records[table.name])
