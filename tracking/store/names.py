"""The names in the tracking store: written by `tracking` and `studies`, read by all packages.

Each name in the store is here, but for the fields of a configuration. Needs the standard library alone, so that a
reader needs neither torch nor the models.
"""

from __future__ import annotations

from enum import StrEnum
from math import log
from typing import Final, Literal, NamedTuple

VERSION: Final = "1"  # of these names, under `Tag.SCHEMA`
EXPERIMENT: Final = "elbowroom"  # the default
TAG_LENGTH: Final = 5000  # letters of the longest value of a tag that every store takes

TABLE_FIELDS: Final = {
    "array": "auto",
    "rows": "all",
    "columns": "all",
    "drop": "none",
    "id_column": "none",
    "group_column": "none",
    "missing": "refuse",
    "categories": "refuse",
    "scale": "auto",
    "resize": "none",
}
"""Fields of a configuration that say how a file becomes rows of numbers, and their defaults."""

BEFORE: Final = {"schedule": "constant", "header": "auto", "edition": 1} | TABLE_FIELDS
"""The values of fields that the configuration (`Tag.CONFIG`) of an older run lacks."""

COORDINATES: Final = ("model", "dim3", "seed")
"""Fields of a configuration in which the cells of one study differ; all others are the study's settings."""

INDIFFERENT: Final = ("dataset", "test_data", "label_column", "header", "artifacts", "threads")
"""Fields that change no number of a cell: where the data are read from (their digest stands for them) and what is kept.
`threads` is 1 in every cell."""

CURVE_INDIFFERENT: Final = (*INDIFFERENT, "device", "measure", "edition")
"""Fields that split no curve. A study trains again for the last three, but another device only rounds differently,
`measure` only adds metrics, and what an edition changes shows in the output or in the data's digest."""

DEFAULT_LOSSES: Final = {"ae": "mse", "pca-mlp": "mse", "linear-ae": "mse", "vae": "bce"}
"""The loss of `--loss auto` for data in [0, 1]: a series with this loss is called by its model alone."""


class Kind(StrEnum):
    """The kind of an MLflow run, under `Tag.KIND`. Curves are made of `run` alone."""

    RUN = "run"
    STUDY = "study"
    TRIAL = "trial"
    ORACLE = "oracle"
    INVOCATION = "invocation"
    ANALYSIS = "analysis"


class Tag(StrEnum):
    """Tags of a run. Readers take the configuration from CONFIG, as params may be strings as typed."""

    KIND = "elbowroom.kind"
    SCHEMA = "elbowroom.schema"
    CONFIG = "elbowroom.config"  # the whole RunConfig as JSON
    DIGEST = "elbowroom.dataset.digest"  # truncated SHA-256 over the training rows, then the test rows
    DATASET = "elbowroom.dataset.name"
    DATA_SCALING = "elbowroom.dataset.scaling"  # how the numbers of the file were scaled when it was read
    DOMINANT_COLUMN = "elbowroom.dataset.dominant_column"
    """`{"column": "dose", "share": 0.97}`, where one column has more than 90 % of the training rows' variance."""
    DATA_READING = "elbowroom.dataset.reading"  # how a file became rows, where there were choices: a JSON list of texts
    IMAGE_SHAPE = "elbowroom.dataset.image_shape"  # `28x28` or `32x32x3`, where the rows are pictures
    RUNS_DIGEST = "elbowroom.analysis.runs"  # on an analysis: truncated SHA-256 over the ids of the runs read
    COMMIT = "elbowroom.code.commit"
    DIRTY = "elbowroom.code.dirty"  # `true` where the checkout had uncommitted changes
    CODE = "elbowroom.code.model"  # a digest of the user's files, or the revision of our model from the second on
    REASON = "elbowroom.reason"  # why a run is FAILED or KILLED, in one line
    TEST_REPEATS = "elbowroom.dataset.test_repeats"  # `true` where every test row is one of the training rows
    SEEDED = "elbowroom.seeded"  # `no` where the model takes no seed, as PCA
    STUDY = "elbowroom.study.name"  # on the study's parent, its cells and trials, and its later invocations
    STUDY_SETTINGS = "elbowroom.study.settings"  # on the parent, as JSON: those that must not change under its name
    COORDINATOR = "elbowroom.study.coordinator"  # on the parent: machine, process id, start, token; empty at rest
    TRIAL = "elbowroom.study.trial"  # on a cell or a trial: the number of its Optuna trial
    WORKER = "elbowroom.study.worker"  # on a cell or a trial: machine, process id and start of the process
    GRID = "elbowroom.study.grid"  # on a scan's parent: `{"dim3": {model: [...]}, "seeds": n, "before": [grids]}`; an
    # assignment's has `"repeated": [[dim3, ...], seeds]`, too
    SEEK = "elbowroom.study.seek"  # on a seek's parent: `{"rules": [...], …, "round": {model: [[dim3, seed]]}}`
    SEEK_STATE = "elbowroom.study.seek.state"  # with SEEK: `[[model, dim3 or null, sentence]]`, the choices so far
    TRIALS = "elbowroom.study.trials"  # on a tuning's parent: the number of trials that its last start asked for
    SOUGHT = "elbowroom.study.sought"  # `true` on a cell that a seek trained
    OPENING = "elbowroom.opening"  # the id of the request that opened a run; a second run of that request stays empty
    LABEL = "elbowroom.study.label"  # on a study and its cells; `quick`: the results are too rough to quote
    AUTO_SOLVER = "elbowroom.measure.auto_solver"  # on a measured PCA run: the solver that scikit-learn would choose
    CONFIRMS = "elbowroom.study.confirms"  # `true` on a cell run again to confirm a corner: no part of the curve
    COLOUR = "mlflow.runColor"  # on a run: that of its model, in the UI's charts
    FRONT_PAGE = "mlflow.elbowroom.frontPage"
    """On an experiment: our part of its description, and fingerprints of its views. The UI hides tags of `mlflow.`."""
    DESCRIPTION = "mlflow.note.content"
    PARENT = "mlflow.parentRunId"


# Tags by what follows the prefix
FACT_PREFIX: Final = "elbowroom.model."  # a setting that fitting resolved: `loss`, `output`, `device`, `scaling`
PACKAGE_PREFIX: Final = "elbowroom.package."  # a package: its version
VERDICT_PREFIX: Final = "elbowroom.verdict."  # a model, on a study's parent: `clear`, `none`, `straight` or `exhausted`

REUSED: Final = "reused from an earlier fit of the same rows"
"""The value of PCA's fact `decomposition` where its run took over the decomposition of an earlier one."""


class Param(StrEnum):
    """Params beside the fields of RunConfig."""

    DIM1 = "dim1"
    ROWS_TRAIN = "rows_train"
    ROWS_VAL = "rows_val"
    ROWS_TEST = "rows_test"
    THREADS_USED = "threads_used"


class Metric(StrEnum):
    """Metrics of a run, in the data's units squared, seconds, nats per row, counts or dimensions."""

    # per epoch, steps from 1
    TRAIN_LOSS = "train/loss"
    VAL_LOSS = "val/loss"
    VAL_MSE = "val/mse"
    VAL_RECON = "val/recon"
    VAL_KL = "val/kl"
    VAL_ELBO = "val/elbo"
    # once, at the end
    VAL_MSE_FINAL = "val/mse/final"
    TEST_MSE = "test/mse"
    TEST_EXPLAINED_VARIANCE = "test/explained_variance"
    DIM3 = "dim3"  # also a param; params are strings, and "10" sorts before "2"
    FIT_SECONDS = "fit_seconds"
    SAMPLES_PER_SECOND = "samples_per_second"
    PARAMETERS = "parameters"
    EPOCHS_TRAINED = "epochs_trained"
    TEST_BCE = "test/bce"  # binary cross-entropy of the deterministic reconstruction; above 0 on grey pixels
    TEST_ELBO = "test/elbo"
    TEST_KL = "test/kl"
    TEST_ACTIVE_UNITS = "test/active_units"  # by the variance of their means, which the seed moves; for old reports
    # of a model with a posterior
    TEST_UNITS_IN_USE = "test/units_in_use"  # by their KL: models/measures/errors.py
    SAMPLED_MSE = "measure/sampled_codes_mse"  # test error of decode(z), z from the posterior; test/mse has its mean
    # of a model whose latents are ordered
    CURVE_MSE = "curve/mse"
    """Test error of the first 1, 2, … latents; the step is their number. A run that has it is no point of a curve, but
    has one of its own."""
    # of the data, on every PCA run they can be measured for; definitions in models/measures/intrinsic_dimension.py
    INTRINSIC_TWONN = "data/intrinsic/twonn"  # by the two nearest neighbours, among the first 10,000 test rows
    INTRINSIC_TWONN_SE = "data/intrinsic/twonn_se"  # standard error by a jackknife, from 240 rows on
    INTRINSIC_MLE = "data/intrinsic/mle"  # by maximum likelihood over 20 neighbours, among the same rows
    INTRINSIC_MLE_SE = "data/intrinsic/mle_se"
    INTRINSIC_ROWS = "data/intrinsic/rows"  # of both: without repeated rows
    INTRINSIC_PARTICIPATION = "data/intrinsic/participation_ratio"  # (sum of lambda)^2 / sum of lambda^2
    INTRINSIC_PARALLEL = "data/intrinsic/parallel_analysis"  # components above the 95th percentile of permuted columns
    DATA_RESOLUTION = "data/resolution"
    """The error on test rows that computing in 32 bits makes: a smaller error of a model says nothing."""
    DATA_RANGE = "data/range"  # the largest less the smallest value of the training rows
    # of a run with `--measure`; definitions in models/measures/latent_space.py and models/measures/generation.py
    MEASURE_SECONDS = "measure/seconds"
    TRUSTWORTHINESS = "measure/trustworthiness"  # whether neighbours among the codes are so among the rows: first 5,000
    CONTINUITY = "measure/continuity"  # whether neighbours among the rows are neighbours among the codes
    LARGEST_STEP = "measure/interpolation/largest_step"  # largest over mean change along a line between two codes
    DETOUR = "measure/interpolation/detour"  # length of their path over the straight distance between its ends
    MIDWAY = "measure/interpolation/midway_mse"  # of the middle picture to its nearest training row
    SAME_DRAW = "measure/draws/same_seed"  # mean squared difference between samples drawn twice with one seed
    NEW_DRAW = "measure/draws/new_seed"  # the same with two seeds
    WEIGHTED_BOUND = "measure/weighted_bound"  # importance-weighted, 64 draws, mean over at most 1,000 test rows
    WEIGHTED_BOUND_SE = "measure/weighted_bound_se"  # its standard error over rows
    WEIGHTED_ELBO = "measure/weighted_elbo"  # of the same rows by the same draws; in older runs one draw, and some rows
    COPIED_COLUMNS = "measure/copied_columns"  # that correlate above 0.95 with another
    REFIT_DEGREES = "measure/refit/again_degrees"  # of PCA: largest principal angle between two fits of the same rows
    OTHER_DEGREES = "measure/refit/other_degrees"  # to another exact program, from the rows in another order
    FLIPPED = "measure/refit/flipped"  # number of axes that have the opposite sign there
    RANDOMIZED_DEGREES = "measure/refit/randomized_degrees"  # between fits by the randomized solver with two seeds


class Column(NamedTuple):
    """The column of a metric in the report: its mean over seeds for each model and dim3.

    key is its name in `curves.csv` and `result.json`; label its heading, and digits the significant ones in the table
    of the section; digits 0 means a whole number. The report shows factor times the value.
    """

    key: str
    label: str
    digits: int = 3
    section: str = "numbers"
    factor: float = 1


METRICS: Final = {
    Metric.FIT_SECONDS: Column("fit_seconds", "seconds to fit", section="cost"),
    Metric.PARAMETERS: Column("parameters", "parameters", 0, "cost"),
    Metric.TEST_EXPLAINED_VARIANCE: Column("explained_variance", "variance kept"),
    Metric.SAMPLED_MSE: Column("sampled_explained_variance", "variance kept by decode(sample)"),
    Metric.TEST_KL: Column("rate_bits", "rate, bits a row", factor=1 / log(2)),
    Metric.TEST_UNITS_IN_USE: Column("units_in_use", "units in use"),
    Metric.VAL_ELBO: Column("negative_elbo", "-ELBO, nats", 4, factor=-1),
    Metric.WEIGHTED_BOUND: Column("bound_gap", "ELBO below the weighted bound, nats"),
}
"""The metrics that the report shows at each point of a curve, beside its errors. A table has the column of a metric
where a run has the number. SAMPLED_MSE is shown as the variance that it keeps, WEIGHTED_BOUND less the ELBO."""


class Source(StrEnum):
    """The source of the rows that a run with `--measure` judges; the last two need no model."""

    OWN = "own"  # the model's own `sample`: a VAE's prior, PCA's Gaussian, a Gaussian on an autoencoder's codes
    NORMAL = "normal"  # decode(z) for z from N(0, I)
    MIXTURE = "mixture"  # decode(z) for z from a Gaussian mixture on the codes of the training rows
    RECONSTRUCTED = "reconstructed"  # decode(encode(x)) of held-out rows
    REAL = "real"  # other real rows: an upper bound
    MEAN_ROW = "mean_row"  # the mean of the training rows each time: no variety


class Quality(StrEnum):
    """The measures of generated rows."""

    PRECISION = "precision"
    RECALL = "recall"
    COVERAGE = "recall_of_reconstructions"  # recall of the model's reconstructions of the held-out rows
    OUTSIDE = "outside"  # share of the values outside the data's range, [0, 1] where the data lie there
    NEAREST = "nearest_mse"  # median over samples of the mean squared difference to the nearest training row
    SHARPNESS = "sharpness"  # of rows that are pictures: variance after a Laplace filter, mean over samples


def sample_metric(source: Source, quality: Quality) -> str:
    """Return the name of a metric of generated rows, as `measure/samples/own/recall`."""
    return f"measure/samples/{source}/{quality}"


# On a study's run and on an analysis, by model
CHOICE_PREFIX: Final = "choice/"  # the dim3 to use
ELBOW_PREFIX: Final = "elbow/"  # the clear corner
KEPT_PREFIX: Final = "kept/"  # the share of the variance kept there, at the best dim3 where the rule asks for more
CURVE_PREFIX: Final = "curve/"  # on a study's parent, by model: the mean error over seeds; the step is the dim3
BEST: Final = "best/value"  # on a tuning's parent: the objective of its best trial
PARETO: Final = "pareto/error"  # of a tuning over dim3: the errors of the Pareto front; the step is the dim3
HOLDS: Final = "holds"  # on an oracle's run: 1 where the result agrees with theory


class Artifact(StrEnum):
    """Paths of artifacts. FIGURES and MODEL belong to `--artifacts full`, the others to every run."""

    CODES = "codes/test.npy"
    LABELS = "codes/labels.npy"  # whole numbers: classes; float64: the numbers of a target that is no class
    IDS = "codes/ids.npy"  # the names of the test rows, where --id-column names a column
    ERRORS_VAL = "errors/val.npy"
    ERRORS_TEST = "errors/test.npy"
    MEAN_ROW_VAL = "errors/mean_row_val.npy"  # squared error of the mean training row, of each row, (N,)
    MEAN_ROW_TEST = "errors/mean_row_test.npy"
    COLUMNS_TEST = "errors/columns_test.npy"  # (2, dim1): mean squared error of the mean row, and of the model
    COLUMNS_OWN = "errors/columns_test_own_units.npy"  # the same in the data's own units, where --scale scaled the rows
    CODES_VAL = "codes/val.npy"
    LABELS_VAL = "codes/val_labels.npy"
    ELBO_VAL = "elbo/val.npy"  # of each row in nats, (N,), as `Metric.TEST_ELBO`
    ELBO_TEST = "elbo/test.npy"
    KL_BY_DIM = "measure/kl_by_dim.npy"  # of a model with a posterior: KL of each latent, mean over test rows, (dim3,)
    PROBE_VAL = "probe/raw_correct_val.npy"  # int8 (N,): 1 where the nearest raw rows give a row's label, 0 where not
    PROBE_TEST = "probe/raw_correct.npy"  # and -1 where the row is not in the sample that is probed
    ORIGINALS = "examples/originals.npy"
    RECONSTRUCTIONS = "examples/reconstructions.npy"
    PICTURES = "examples/pictures.npy"
    """uint8 (n, height, width) or (n, height, width, 3): the first PICTURED test rows, where they are pictures, scaled
    down to sides of PICTURE_SIDE; at most 768 KiB."""
    SPECTRUM = "spectrum.npy"
    PCA_CURVE_VAL = "pca_curve_val.npy"  # (K + 1, 2): validation error for every dim3 from 0, SE of its logarithm
    PCA_CURVE = "pca_curve.npy"  # test error for every dim3 from 0, (K + 1, 2): raw, and clipped to [0, 1] or nan
    REPORT = "report.html"  # of an analysis; beside it `result.json` and `curves.csv`
    # of a run with `--measure`
    CODES_SAMPLED = "codes/sampled.npy"  # of a model with a posterior: one draw for each test row, (N_test, dim3)
    CODES_SD = "codes/posterior_sd.npy"  # of a model with a posterior: its SDs, (N_test, dim3); CODES has its means
    CODES_REFIT = "codes/refit.npy"  # of PCA: the codes of the test rows by another exact program, (N_test, dim3)
    HIDDEN_ENTRIES = "measure/hidden_entries.npy"  # (groupings, N): squared error of hidden entries, of each row
    HIDDEN_ENTRIES_MEAN = "measure/hidden_entries_mean.npy"  # the same of the mean row: dim3 = 0
    ROBUSTNESS = "measure/robustness.npy"  # (R, 3): push in SDs of the codes, error of decode(z + push), its SE
    INTERPOLATIONS = "measure/interpolations.npy"  # (pairs, steps, dim1): decoded along straight lines between codes
    PLANE = "measure/plane.npy"  # (side or 1, side, dim1): decoded over the latent plane, top left first
    PLANE_TICKS = "measure/plane_ticks.npy"  # (2, side), ascending: the positions along each axis
    DRAWS = "measure/draws.npy"  # (3, n, dim1): samples with one seed, with another, and with the first again
    CURVE = "curve.csv"  # of a study: columns dim3, error, seed, model
    TRACEBACK = "traceback.txt"
    FIGURES = "figures"
    MODEL = "model"


def sample_artifact(source: Source, kind: Literal["samples", "nearest", "nearest_mse"] = "samples") -> str:
    """Return the path of an array about generated rows, as `measure/samples_own.npy`.

    The samples and the nearest training row of each are (n, dim1), the mean squared differences of m samples (m,).
    """
    return f"measure/{kind}_{source}.npy"


IMAGE_KEY: Final = "reconstructions"  # of `log_image`: the UI shows a slider over the epochs
EXAMPLES: Final = 16  # test rows, from the first, whose reconstructions every run logs
PICTURED: Final = 256  # test rows, from the first, whose pictures every run logs
PICTURE_SIDE: Final = 32  # pixels of the longer side of these pictures, at most
