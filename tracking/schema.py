"""The names in the tracking store: written by `tracking`, read by everybody. And what a text may look like, and hide.

Standard library only, so that a reader needs neither torch nor a checkout of the models. A name that is
not here is not in the store.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, TextIO, cast
from urllib.parse import SplitResult, urlsplit

VERSION: Final = "1"
"""Of this schema, as logged under `Tag.SCHEMA`."""

EXPERIMENT: Final = "elbowroom"
"""The default experiment."""


BEFORE: Final = {"schedule": "constant", "header": "auto", "edition": 1}
"""What a run was trained with whose configuration (`Tag.CONFIG`) is older than the field."""


class Kind(StrEnum):
    """What an MLflow run is, under `Tag.KIND`. Curves read `run` only."""

    RUN = "run"
    STUDY = "study"
    TRIAL = "trial"
    ORACLE = "oracle"
    INVOCATION = "invocation"
    ANALYSIS = "analysis"


class Tag(StrEnum):
    """Tags of a run. Readers take the configuration from CONFIG: params may be strings as typed."""

    KIND = "elbowroom.kind"
    SCHEMA = "elbowroom.schema"
    CONFIG = "elbowroom.config"
    """The whole RunConfig as JSON."""
    DIGEST = "elbowroom.dataset.digest"
    """Truncated SHA-256 over all rows of the data set: training rows, then test rows."""
    DATASET = "elbowroom.dataset.name"
    DATA_SCALING = "elbowroom.dataset.scaling"
    """What reading the data did to the numbers in the file."""
    IMAGE_SHAPE = "elbowroom.dataset.image_shape"
    """`28x28` or `32x32x3`, where the rows are pictures."""
    RUNS_DIGEST = "elbowroom.analysis.runs"
    """On an analysis: truncated SHA-256 over the ids of the runs that it read."""
    COMMIT = "elbowroom.code.commit"
    DIRTY = "elbowroom.code.dirty"
    """`true` where the checkout had changes that no commit holds."""
    CODE = "elbowroom.code.model"
    """Which code the model is: a digest of the user's own files, or the revision of one of this project's where it is
    not the first. Runs that are older than the tag lack it."""
    REASON = "elbowroom.reason"
    """Why a run is FAILED or KILLED, one line."""
    TEST_REPEATS = "elbowroom.dataset.test_repeats"
    """`true` where every test row is one of the training rows."""
    SEEDED = "elbowroom.seeded"
    """`no` where the model asks for no seed, as PCA does: its runs with other seeds are the same run."""
    STUDY = "elbowroom.study.name"
    """On the study's parent, its cells and trials, and its later invocations."""
    STUDY_SETTINGS = "elbowroom.study.settings"
    """On the parent: what may not change under the study's name, as JSON."""
    COORDINATOR = "elbowroom.study.coordinator"
    """On the parent: machine, process id, start and a token of the one that runs the study; empty when none does."""
    TRIAL = "elbowroom.study.trial"
    """On a cell or a trial: the number of its Optuna trial."""
    WORKER = "elbowroom.study.worker"
    """On a cell or a trial: machine, process id and start of the process that trains it."""
    GRID = "elbowroom.study.grid"
    """On a scan's parent: `{"dim3": {model: [...]}, "seeds": n}`, the cells that were asked for, as JSON."""
    OPENING = "elbowroom.opening"
    """The id of the request that opened a run. Where MLflow repeated it, a second run has the same, and stays empty."""
    LABEL = "elbowroom.study.label"
    """On a study and its cells; `quick`: a preset too small to quote."""
    AUTO_SOLVER = "elbowroom.measure.auto_solver"
    """On a measured PCA run: the solver that scikit-learn would take by itself for these rows."""
    CONFIRMS = "elbowroom.study.confirms"
    """On a cell run again at twice the study's epochs, `true`: no part of the curve, but of its confirmation."""
    DESCRIPTION = "mlflow.note.content"
    PARENT = "mlflow.parentRunId"


FACT_PREFIX: Final = "elbowroom.model."
"""Before each fact that fitting resolved: `loss`, `output`, `device`, `scaling`."""

PACKAGE_PREFIX: Final = "elbowroom.package."
"""Before each package's name; the value is its version."""


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
    DIM3 = "dim3"
    """Also a param; params are strings, and "10" sorts before "2"."""
    FIT_SECONDS = "fit_seconds"
    SAMPLES_PER_SECOND = "samples_per_second"
    PARAMETERS = "parameters"
    EPOCHS_TRAINED = "epochs_trained"
    TEST_BCE = "test/bce"
    """Of the deterministic reconstruction, nats per row; on grey pixels its floor is above 0."""
    TEST_ELBO = "test/elbo"
    TEST_KL = "test/kl"
    TEST_ACTIVE_UNITS = "test/active_units"
    # of a model whose latents are ordered, and of no other
    CURVE_MSE = "curve/mse"
    """Test error of its first 1, 2, … latents, up to all; the step is how many. A run that has it is no point
    of a curve, but has one of its own."""
    # of the data, on every PCA run they can be measured for; definitions in models/intrinsic.py
    INTRINSIC_TWONN = "data/intrinsic/twonn"
    """Dimensions by the two nearest neighbours, among the first 10,000 test rows."""
    INTRINSIC_MLE = "data/intrinsic/mle"
    """Dimensions by maximum likelihood over 20 neighbours, among the same rows."""
    INTRINSIC_PARTICIPATION = "data/intrinsic/participation_ratio"
    """(sum of lambda)^2 / sum of lambda^2, of the spectrum of the training rows."""
    INTRINSIC_PARALLEL = "data/intrinsic/parallel_analysis"
    """Components that exceed the 95th percentile of permuted columns, on at most 5,000 training rows."""
    # of a run with `--measure`; definitions in models/geometry.py and models/samples.py
    MEASURE_SECONDS = "measure/seconds"
    TRUSTWORTHINESS = "measure/trustworthiness"
    """Whether neighbours among the codes are neighbours among the rows: first 5,000 test rows."""
    CONTINUITY = "measure/continuity"
    """Whether neighbours among the rows are neighbours among the codes."""
    LARGEST_STEP = "measure/interpolation/largest_step"
    """Of the pictures along a straight line between two codes: the largest change over the mean one."""
    DETOUR = "measure/interpolation/detour"
    """Length of their path over the straight distance between its ends."""
    MIDWAY = "measure/interpolation/midway_mse"
    """Mean squared difference of the picture halfway to its nearest training row."""
    SAME_DRAW = "measure/draws/same_seed"
    """Mean squared difference between the samples of two draws with one seed."""
    NEW_DRAW = "measure/draws/new_seed"
    """And with two seeds."""
    SAMPLED_MSE = "measure/sampled_codes_mse"
    """Test error of decode(z), z drawn from the posterior: test/mse has z = its mean."""
    REFIT_DEGREES = "measure/refit/again_degrees"
    """Of PCA: the largest principal angle between two fits of the same rows."""
    OTHER_DEGREES = "measure/refit/other_degrees"
    """And to the eigenvectors that another exact program gives for the same rows in another order."""
    FLIPPED = "measure/refit/flipped"
    """How many of its axes point the other way there."""
    RANDOMIZED_DEGREES = "measure/refit/randomized_degrees"
    """Between two fits by scikit-learn's randomized solver with two seeds."""


class Source(StrEnum):
    """Where the rows that a run with `--measure` judges come from; the last two are no model's."""

    OWN = "own"
    """The model's own `sample`: a VAE's prior, PCA's Gaussian, a Gaussian on an autoencoder's codes."""
    NORMAL = "normal"
    """decode(z) for z from N(0, I)."""
    MIXTURE = "mixture"
    """decode(z) for z from a Gaussian mixture on the codes of the training rows."""
    RECONSTRUCTED = "reconstructed"
    """decode(encode(x)) of held-out rows: what the decoder leaves of real ones."""
    REAL = "real"
    """Other real rows: the best that can be had."""
    MEAN_ROW = "mean_row"
    """The mean of the training rows, always: the worst in variety."""


class Quality(StrEnum):
    """What is measured of generated rows."""

    PRECISION = "precision"
    RECALL = "recall"
    COVERAGE = "recall_of_reconstructions"
    """Recall, with the model's reconstructions of the held-out rows in the place of these."""
    OUTSIDE = "outside"
    """Share of the values outside the data's range, [0, 1] where the data lie there."""
    NEAREST = "nearest_mse"
    """Median over samples of the mean squared difference to the nearest training row."""


def sample_metric(source: Source, quality: Quality) -> str:
    """The name of a metric of generated rows, as `measure/samples/own/recall`."""
    return f"measure/samples/{source}/{quality}"


CURVE_PREFIX: Final = "curve/"
"""On a study's parent: `curve/<model>` is the mean error over seeds, its step the dim3."""


CHOICE_PREFIX: Final = "choice/"
"""On a study's parent and on an analysis: `choice/<model>` is the dim3 to use, where the curve has one."""

ELBOW_PREFIX: Final = "elbow/"
"""Beside it: `elbow/<model>` is the corner of its curve, where that is clear."""

VERDICT_PREFIX: Final = "elbowroom.verdict."
"""Tags beside them: `clear`, `none`, `straight` or `exhausted`, for each model."""


BEST: Final = "best/value"
"""On a tuning's parent: the objective of its best trial."""

PARETO: Final = "pareto/error"
"""On the parent of a tuning over dim3: the error of each point of the Pareto front, its step the dim3."""

HOLDS: Final = "holds"
"""On an oracle's run: 1 where theory was met. Its other metrics are the oracle's own numbers."""


class Artifact(StrEnum):
    """Paths of artifacts. FIGURES and MODEL belong to `--artifacts full`, the others to every run."""

    CODES = "codes/test.npy"
    LABELS = "codes/labels.npy"
    ERRORS_VAL = "errors/val.npy"
    ERRORS_TEST = "errors/test.npy"
    ORIGINALS = "examples/originals.npy"
    RECONSTRUCTIONS = "examples/reconstructions.npy"
    SPECTRUM = "spectrum.npy"
    PCA_CURVE = "pca_curve.npy"
    """Of PCA: its test error for every dim3 from 0, as (K + 1, 2): raw, and clipped to [0, 1] or nan."""
    REPORT = "report.html"
    """Of an analysis; beside it `result.json` and `curves.csv`."""
    # of a run with `--measure`
    CODES_SAMPLED = "codes/sampled.npy"
    """Of a model with a posterior: one draw for each test row, (N_test, dim3)."""
    CODES_REFIT = "codes/refit.npy"
    """Of PCA: the codes of the test rows by another exact program, (N_test, dim3)."""
    KL_BY_DIM = "measure/kl_by_dim.npy"
    """Nats, mean over test rows, (dim3,)."""
    ROBUSTNESS = "measure/robustness.npy"
    """(R, 3): length of a push in SDs of the codes, error of decode(z + push), its standard error."""
    INTERPOLATIONS = "measure/interpolations.npy"
    """(pairs, steps, dim1): decoded along straight lines between codes."""
    PLANE = "measure/plane.npy"
    """(side, side, dim1), or (1, side, dim1) where dim3 is 1: decoded over the latent plane, top left first."""
    PLANE_TICKS = "measure/plane_ticks.npy"
    """(2, side), ascending: where, along each axis."""
    DRAWS = "measure/draws.npy"
    """(3, n, dim1): samples with one seed, with another, and with the first again."""
    CURVE = "curve.csv"
    """Of a study: columns dim3, error, seed, model."""
    TRACEBACK = "traceback.txt"
    FIGURES = "figures"
    MODEL = "model"


def sample_artifact(source: Source) -> str:
    """Generated rows (n, dim1), as `measure/samples_own.npy`."""
    return f"measure/samples_{source}.npy"


def nearest_artifact(source: Source) -> str:
    """The nearest training row of each of them, (n, dim1)."""
    return f"measure/nearest_{source}.npy"


def distances_artifact(source: Source) -> str:
    """Mean squared difference of more of them to their nearest training row, (m,)."""
    return f"measure/nearest_mse_{source}.npy"


def run_page(experiment_id: str, run_id: str, tab: str = "") -> str:
    """Where the UI shows a run, behind its address. Without the query it shows its side for generative AI around it."""
    return f"#/experiments/{experiment_id}/runs/{run_id}{tab}?workflowType=machine_learning"


IMAGE_KEY: Final = "reconstructions"
"""Of `log_image`: the UI's slider over the epochs."""

EXAMPLES: Final = 16
"""Test rows, the first ones, whose reconstruction every run logs."""

SECRETS: Final = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "DATABRICKS_TOKEN",
)
"""Environment variables whose values stand in no text of ours."""

SHORT: Final = 8
"""A secret with fewer characters is looked for in URIs alone: it may well be a word of the text."""

# Each pattern takes linear time: what a failed match has read holds no start of another one.
_WEB_USER = re.compile(r"(https?://)[^:/?#@\s]+(?=(?::(?:x-oauth-basic)?)?@)", re.IGNORECASE)
"""A user without a password is a token there; one of a database or of ssh is a name."""
_LOGIN = re.compile(r"(://[^:/@\s]*:)\S*")
"""A URI with a user or port, to its end: `_without_login` looks for the @."""
_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|token|signature|credential"
    r"|(?:access|account|api|private|secret)[_-]?key"
    r"|[?&;](?:pass|sig|sas|key|subscription-key|auth|code))"
)
_IS = r"""(?:=| = |%3D|\\?["'] ?: ?)(?!=)"""
_VALUE = r"""(?:(\\?")[^"\n]*?(\\?")|(\\?')[^'\n]*?(\\?')|[^&\s]*[^&\s'"),\]])"""
_NAMED = re.compile(f"({_NAME}{_IS}){_VALUE}", re.IGNORECASE)
"""In a query, a connection string, JSON or a call. A `;` ends no value: passwords have one."""
_HEADER = re.compile(
    r"(authorization\W{1,4}(?:basic |bearer |token |(?=\S*\d))|\bbearer (?=\S*\d)|(?:api-key|-token|cookie): )"
    r"[^\s'\",]+",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?<![^\s'\"/])(?!mailto:)([\w.+-]+:)[^\s/@'\"]+(?=@)")
"""user:password@host without a scheme, as one mistypes it and as libraries repeat it."""


def hidden(text: str) -> str:
    """Text without passwords, tokens and keys: of URIs, connection strings, headers, and of the environment."""
    text = _BARE.sub(r"\1***", _LOGIN.sub(_without_login, _WEB_USER.sub(r"\1***", text)))
    text = _HEADER.sub(r"\1***", _NAMED.sub(r"\1\2\4***\3\5", text))
    for secret in (os.environ.get(name, "") for name in SECRETS):
        if len(secret) >= SHORT:
            text = text.replace(secret, "***")
    return text


def _without_login(found: re.Match[str]) -> str:
    """A URI without its password, which goes to the last @: it may have one, and a /."""
    login, at, host = found[0].rpartition("@")
    if not at:
        return found[0]
    return f"{found[1]}***" + ("" if _NAMED.search(login) else f"@{host}")  # whose @ it is can't be known


class _HiddenRecord(logging.LogRecord):
    """A log record whose message and traceback hide what `hidden` hides."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info:
            self.exc_text = hidden(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:
        return hidden(super().getMessage())


_formatwarning = warnings.formatwarning


def hide_in_output() -> None:
    """Let log records, warnings and uncaught exceptions of this process hide what `hidden` hides.

    For commands and workers, not for programs that import these packages. Libraries' loggers have handlers of their
    own, which a filter at the root would not reach: all get their records from one factory.
    """
    logging.setLogRecordFactory(_HiddenRecord)
    warnings.formatwarning = lambda *args, **kwargs: hidden(_formatwarning(*args, **kwargs))
    sys.excepthook = lambda *error: print(hidden("".join(traceback.format_exception(*error))), end="", file=sys.stderr)


class Output:
    """A standard stream. What it can't take is left out, and ends no work; `error` says why, unless nobody reads it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.error = stream, ""
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name must not end what a terminal can't show

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """As of a stream; all of the text counts as written."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As of a stream."""
        self._try(self.stream.flush)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.error = str(error.strerror)
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def in_command() -> bool:
    """Whether this process was started as a command of this project, so that nothing else runs in it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.removeprefix("elbowroom.").startswith(("studies.", "tracking."))


def open_streams() -> None:
    """Open what the caller closed (`>&-`): the next file would get its number, and what is printed would go there."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers: a new file gets the lowest that is free
        if getattr(sys, name) is None:
            # Of a number, so that it stays open when the stream is replaced.
            stream = open(os.open(os.devnull, os.O_RDWR), "r+", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def printing(body: Callable[[], int]) -> int:
    """Run a command whose output may end before it does, at `| head` or a full disk; its exit code.

    Where output was lost for another reason than that nobody reads it, one line on stderr says so, and 0 becomes 1.
    """
    open_streams()
    before = sys.stdout, sys.stderr
    out, err = map(Output, before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        code = body()
        out.flush()
        if out.error:
            print(f"error: stdout can't be written: {out.error}", file=sys.stderr)
            return code or 1
        return code
    finally:
        sys.stdout, sys.stderr = before


def unclear_password(uri: str) -> str:
    """What is wrong with how a URI says its password, which it does not repeat; empty where nothing is.

    Programs disagree where such a password ends: what one takes for the host, and names in an error, is its rest.
    """
    said = re.match(r"([\w+.-]+://[^:/@]*):(.*)@", uri, re.DOTALL)
    if said is None or not re.search(r"[/?#@\s]", said[2]):
        return ""
    return f"{said[1]}:***@… has / ? # @ or a space in its password; write them %2F %3F %23 %40 %20"


BUCKETS: Final = ("s3", "gs", "wasbs", "abfss")
"""Schemes of object stores, which MLflow asks by itself where no server stands between."""

PORTS: Final = {"http": 80, "https": 443}
"""Of servers whose addresses name none."""


def elsewhere(artifact_uri: str, tracking_uri: str, *, writes: bool = False) -> str:
    """Where the files of a run are said to be, if not in its store; empty where they are.

    Whoever may make an experiment may name any address, and MLflow asks another web host with the store's user and
    password, and reads and writes folders of this machine. So a server's files are on the server, those of a database
    in folders or buckets. Who `writes` to a server may use a bucket that the server names.

    Parameters
    ----------
    artifact_uri
        Of the run, or of its experiment.
    tracking_uri
        Of the store that says so.
    writes
        Whether files are to be written there, and not read.
    """
    try:
        there, store = urlsplit(artifact_uri), urlsplit(tracking_uri)
        server, databricks = store.scheme in PORTS, tracking_uri.partition(":")[0] == "databricks"
        if there.scheme in ("", "file") and there.netloc in ("", "localhost"):
            return "in a folder of this machine" if server or databricks else ""
        if databricks and there.scheme == "dbfs" and not there.netloc:
            return ""
        if server and there.scheme in ("mlflow-artifacts", *PORTS):
            return "" if _on_server(there, store) else "on another host"
    except ValueError:
        return "at a malformed address"
    return "" if there.scheme in BUCKETS and (writes or not (server or databricks)) else "on another host"


def _on_server(there: SplitResult, store: SplitResult) -> bool:
    """Whether an address is on the host and port of the server. Raises ValueError for a malformed one."""
    if "\\" in there.netloc:  # in `other\\@host` the library that sends the request sees another host
        raise ValueError
    if there.scheme == "mlflow-artifacts":
        there = there._replace(scheme=store.scheme, netloc=there.netloc or store.netloc)
    here, its = ((url.hostname, url.port or PORTS[url.scheme]) for url in (store, there))
    return here == its


LOGIN: Final = {
    "UNAUTHENTICATED": "the server takes no such user and password; MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD give them, else ~/.mlflow/credentials",
    "PERMISSION_DENIED": "permission denied: the server's administrator grants it to a user, READ or EDIT for each "
    "experiment",
}
"""What MLflow's error codes mean for whoever has to give a password."""

LINE_LENGTH: Final = 400
"""Letters of what an exception says: a server's may carry a whole page."""


def driver_error(error: BaseException) -> BaseException | None:
    """The error of the database's driver that SQLAlchemy wrapped, MLflow and Optuna perhaps again; None if none."""
    found = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None)
    return found if isinstance(found, BaseException) else None


def one_line(error: BaseException, longest: int = LINE_LENGTH) -> str:
    """An exception as one line, without passwords; a database's in the words of its driver, without the SQL."""
    ours = isinstance(error, RuntimeError | ValueError)
    if not ours:
        error = driver_error(error) or error
    code = str(getattr(error, "error_code", ""))  # MLflow's
    words = " ".join(str(error).split())
    text = clean(f"{LOGIN[code]} ({words})" if code in LOGIN else words, longest)
    return text if text and (ours or code) else f"{type(error).__name__}: {text}"


# Texts that strangers wrote: file names, class names, models, whatever stands in a store. Whoever prints, draws or
# logs one makes it harmless here.

LABEL_LENGTH: Final = 80
"""Letters of what a model, a data set or a run is called in a sentence."""

KEY_LENGTH: Final = 200
"""Letters of a metric's or tag's name that hold somebody's word: MLflow takes 250."""


def clean(text: str, longest: int | None = None) -> str:
    """A text on one line without its secrets, a space for each control character; a longer one is cut in its middle.

    Names that differ often do so at their end. An address is kept whole or left out, unless the text begins with it.
    """
    line = "".join(c if c.isprintable() else " " for c in hidden(text))  # before the cut: of a half nothing is known
    if longest is None or len(line) <= longest:
        return line
    tail = longest // 3
    start, end = longest - tail - 1, len(line) - tail
    for word in re.finditer(r"\S+", line):
        if word.start() and "://" in word[0]:
            start = word.start() if word.start() < start < word.end() else start
            end = word.end() if word.start() < end < word.end() else end
    return f"{line[:start]}…{line[end:]}"


def deleted_experiment(name: str, experiment_id: str) -> str:
    """What is wrong with an experiment that its owner deleted, and what to do."""
    restore = f"mlflow experiments restore --experiment-id {experiment_id}"
    return f"experiment {name!r} is deleted; restore it ({restore}), or name another"


def drawn_plainly(text: str) -> str:
    """A clean text without formulas and not empty; matplotlib would hide a label that begins with `_`."""
    plain = text.replace("$", r"\$") or " "
    return f" {plain}" if plain.startswith("_") else plain


def markdown(text: str) -> str:
    """A text on one line as Markdown that shows it letter by letter: no link, picture or element comes of it."""
    words = " ".join(clean(text).split()).replace("&", "&amp;").replace("<", "&lt;")  # not all know a `\\<`
    return re.sub(r"([\\`*_{}\[\]>#|~!])", r"\\\1", words)


def quoted(name: str) -> str:
    """A name inside a sentence of Markdown that is also printed: as it is, or between backticks where it has marks."""
    plain = clean(name, LABEL_LENGTH)
    return plain if re.fullmatch(r"[\w .:-]*", plain) and "_" not in plain else f"`{plain.replace('`', chr(39))}`"


def key(word: str) -> str:
    """Somebody's word as the last part of a metric's or tag's name, as every store takes it."""
    made = re.sub(r"[^\w .:-]", "_", clean(word, KEY_LENGTH)).strip()
    return made if made.strip(".") else "_"
