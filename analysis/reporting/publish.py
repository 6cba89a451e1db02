"""Write a report to the output folder, the analysis run, the registry and the experiment's description."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from elbowroom.tracking.store.addresses import elsewhere, run_page
from elbowroom.tracking.store.errors import BadInput, Failed, one_line, store_failed
from elbowroom.tracking.store.locks import lock_at
from elbowroom.tracking.store.names import EXPERIMENT, VERSION, Artifact, Kind, Tag
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, markdown

from ..elbow import Verdict
from ..findings.find import ComparisonFinding, Findings, Pick, run_at
from ..purposes import Rule
from ..purposes.choice import Choice
from .answer import answer_lines, answer_metrics
from .front_page import describe_experiment, links_line, write_views

_ALIAS = "chosen"
_MOST_LINES = 40  # of a description
_LONGEST_LINE, _LONGEST_COMMAND = 1200, 1000  # letters
_NO_SETTINGS = ("tracking_uri", "experiment")  # flags that say where a run is recorded
_RUN_LENGTH = 5000  # letters of a run's description, which MLflow takes on every store


def refuse_other_report(out: Path, experiment: str) -> None:
    """Raise BadInput where the output folder has the report of another experiment, which would be overwritten."""
    try:
        other = str(json.loads((out / "result.json").read_text(encoding="utf-8"))["experiment"])
    except (OSError, ValueError, KeyError, TypeError):  # there is none
        return
    if other != experiment:
        raise BadInput(f"out {out}: has the report of {clean(other, LABEL_LENGTH)!r}; --out names another folder")


def output_folder(out: Path) -> Path:
    """Make the output folder and return it. Raises BadInput where it can't be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise BadInput(f"out {out}: can't be written: {error.strerror}") from error


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, without the version of matplotlib, so that its bytes are reproducible."""
    into = io.BytesIO()
    figure.savefig(into, format="png", metadata={"Software": None})
    return into.getvalue()


def write_files(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder atomically: each into a temporary folder first, then renamed.

    A lock serialises reports that write to one folder at once. Raises Failed where a file can't be written.
    """
    # In the temporary folder: the lock is no part of the report.
    lock = Path(tempfile.gettempdir()) / f"elbowroom-{hashlib.sha256(bytes(out.resolve())).hexdigest()[:16]}.lock"
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".") as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            with ExitStack() as stack:
                with suppress(PermissionError):  # a lock file of another user
                    stack.enter_context(lock_at(lock))
                for name in sorted({Path(n).parts[0] for n in files}):
                    if (out / name).is_dir():  # replaced as a whole, with the files that are older
                        os.replace(out / name, Path(folder) / f"old {name}")
                    os.replace(Path(folder) / name, out / name)
    except OSError as error:
        raise Failed(f"out {out}: {error.strerror or error}") from error


class CellChoice(NamedTuple):
    """The cell to register in place of the one that is found; model None is the model that is found."""

    model: str | None
    dim3: int

    @classmethod
    def of(cls, given: int | str | tuple[str | None, int]) -> CellChoice:
        """Return the choice of a dim3, a model and a dim3, or a text like `model=vae,dim3=12`. Raises BadInput."""
        if isinstance(given, int):
            return cls(None, given)
        if isinstance(given, tuple):
            return cls(*given)
        found = dict(part.strip().partition("=")[::2] for part in given.split(","))
        if not found.get("dim3", "").isdecimal() or not set(found) <= {"dim3", "model"}:
            raise BadInput(f"choose {given!r}: allowed is dim3=12 or model=vae,dim3=12")
        return cls(found.get("model") or None, int(found["dim3"]))

    @property
    def text(self) -> str:
        """The choice as `of` reads it."""
        return f"model={self.model},dim3={self.dim3}" if self.model else f"dim3={self.dim3}"


class Registered(NamedTuple):
    """The registration of the chosen model: a sentence, and the version, None where nothing was registered."""

    sentence: str
    version: str | None


def register(client: MlflowClient, experiment_id: str, findings: Findings, choose: CellChoice | None) -> Registered:
    """Register the chosen cell's model as `elbowroom-<dataset>`, alias `chosen`, with tags that say why.

    Parameters
    ----------
    client, experiment_id, findings
        The store, and what was found in its runs; the first comparison counts.
    choose
        The cell to register; None for the one that was found.

    Returns
    -------
    Registered
        The version; or, where the cell's run logged no model, the command that makes one.

    Raises
    ------
    BadInput
        Where there is no such cell.
    """
    finding = findings.comparisons[0]
    if choose is None and finding.cautions:
        how = "--choose model=NAME,dim3=N registers one all the same"
        return Registered(f"no model is registered, because of the caution above; {how}", None)
    pick = finding.pick if choose is None else _chosen(finding, choose)
    if pick is None:
        why = "no model has a choice in this range; --choose model=NAME,dim3=N registers one"
        return Registered(f"no model is registered: {why}", None)
    run_id = pick.run_id
    found = [] if run_id is None else client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    logged = [m for m in found if m.status == LoggedModelStatus.READY]  # MLflow may have made another, empty one
    if run_id is None or not logged:
        return Registered(f"no model is registered: {_which_command(pick, finding)}", None)
    name = _registered_name(finding.dataset)
    tags = {
        "model": pick.model,
        "dim3": str(pick.dim3),
        "why": pick.why,
        "comparison": finding.name + (" [too few epochs to quote]" if finding.quick else ""),
        "runs.digest": findings.digest,
    }
    try:
        number = _version(client, name, logged[0], run_id)
        for key, value in tags.items():
            client.set_model_version_tag(name, number, f"elbowroom.{key}", value[:5000])
        client.set_registered_model_alias(name, _ALIAS, number)
    except MlflowException as error:
        return Registered(f"the model could not be registered: {one_line(error, 200)}", None)
    which = f"{pick.model} at dim3 {pick.dim3} (version {number})"
    return Registered(f"registered models:/{name}@{_ALIAS}: {which}", number)


def _chosen(finding: ComparisonFinding, choose: CellChoice) -> Pick:
    """The cell that the user chose. Raises BadInput where there is none."""
    series = {s.label: s for s in finding.comparison.series}
    label = choose.model or (finding.pick.model if finding.pick else list(series)[-1])
    if label not in series:
        raise BadInput(f"choose model={label}: allowed: {', '.join(series)}")
    if choose.dim3 not in series[label].cells:
        there = ", ".join(map(str, series[label].dim3))
        raise BadInput(f"choose dim3={choose.dim3}: {label} has finished cells at {there}")
    return Pick(label, choose.dim3, *run_at(series[label], choose.dim3), "chosen by hand")


def _registered_name(dataset: str) -> str:
    """Return `elbowroom-<dataset>`, without characters that have a meaning in paths, addresses or queries."""
    word = re.sub(r"[^\w .-]+", "-", clean(dataset, LABEL_LENGTH)).strip(" .")
    return f"{EXPERIMENT}-{word or 'data'}"


def _version(client: MlflowClient, name: str, model: LoggedModel, run_id: str) -> str:
    """Return the registered version of a run's model, and create it where there is none."""
    with suppress(MlflowException):  # it exists; other errors repeat in the next request
        client.create_registered_model(name, description="The model that the analysis chose; each version says why.")
    found = _versions(client, name, run_id)
    if not found:
        # With the model's id, by which a server with users checks permissions.
        client.create_model_version(name, model.model_uri, run_id, model_id=model.model_id)
        found = _versions(client, name, run_id)
    return str(found[0])  # concurrent reports may have created two


def _versions(client: MlflowClient, name: str, run_id: str) -> list[int]:
    """Return the registered versions of a run's model, the oldest first."""
    return sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'") if v.run_id == run_id)


def _which_command(pick: Pick, finding: ComparisonFinding) -> str:
    """Say which command trains the chosen cell and logs its model."""
    model = next(m for m in finding.models if m.label == pick.model)
    flags = {**finding.settings, "loss": model.loss} if model.trained else {}
    words = ["--model", model.model, "--dataset", finding.dataset, "--dim3", str(pick.dim3), "--seed", str(pick.seed)]
    for k, v in sorted(flags.items()):
        words += [f"--{k.replace('_', '-')}", v] if v and k not in _NO_SETTINGS else []
    names = {cell.run_id: cell.name for cell in finding.comparison.cells}
    lacks = f"there is no {pick.model} run at dim3 {pick.dim3}"
    if pick.run_id is not None:
        lacks = f"run {names[pick.run_id]} logged no model"
    # Quoted: users paste it into a shell, and the words come from the store.
    command = shlex.join(["python", "-m", "tracking.train", *map(clean, words), "--artifacts", "full"])
    return f"{lacks}; this makes one: {command}" if len(command) <= _LONGEST_COMMAND else lacks


def publish(
    client: MlflowClient, experiment_id: str, findings: Findings, out: Path, files: Iterable[str], registered: str
) -> tuple[str, dict[str, str]]:
    """Log the report as a run of kind `analysis`, and update the experiment's description.

    Parameters
    ----------
    client, experiment_id, findings
        The store, and what was found in its runs.
    out, files
        The folder of the report, and the paths of its files.
    registered
        The sentence on the registration, which the description repeats.

    Returns
    -------
    tuple
        The id of the run, the one that `mlflow run` opened or a new one, and the addresses of the experiment's views in
        the UI by name.
    """
    answer = "\n".join(_description(findings))
    logged = Logged(
        "report",
        answer,
        {"analysis_rule": findings.rule},
        answer_metrics(*_by_label(findings.comparisons[0])),
        os.environ.get("MLFLOW_RUN_ID"),
    )
    run_id = log_analysis(client, experiment_id, findings, logged, out, files)
    page = run_page(experiment_id, f"{run_id}/artifacts/{Artifact.REPORT}")
    views = write_views(client, experiment_id)
    links = {f"The report of {len(findings.runs)} runs": page} | views
    parts = [answer, links_line(links), _literal(registered)]
    describe_experiment(client, experiment_id, "\n\n".join(part for part in parts if part), Kind.ANALYSIS)
    return run_id, views


class Logged(NamedTuple):
    """Name, description, params and metrics of an analysis' run; `run_id` is None for a new run."""

    name: str
    description: str
    params: Mapping[str, str] = {}
    metrics: Mapping[str, float] = {}
    run_id: str | None = None


def log_analysis(
    client: MlflowClient, experiment_id: str, findings: Findings, logged: Logged, out: Path, files: Iterable[str]
) -> str:
    """Log a run of kind `analysis`, which is FAILED where that fails.

    Parameters
    ----------
    client, experiment_id
        Where to log.
    findings
        The findings of the analysis.
    logged
        What it logs beside them.
    out, files
        A folder, and the paths of its files to log.

    Returns
    -------
    str
        The id of the run.

    Raises
    ------
    Failed
        Where the files can't be stored.
    """
    tags: dict[str, str] = {Tag.KIND: Kind.ANALYSIS, Tag.SCHEMA: VERSION}
    tags |= {Tag.RUNS_DIGEST: findings.digest, Tag.DESCRIPTION: logged.description}
    params = {"analysed_experiment": findings.experiment, "runs_read": str(len(findings.runs)), **logged.params}
    run_id = logged.run_id
    if run_id is None:
        _refuse_elsewhere(client, client.get_experiment(experiment_id).artifact_location)
        run_id = str(client.create_run(experiment_id, run_name=logged.name, tags=tags).info.run_id)
    else:
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
    try:
        opened = client.get_run(run_id)
        _refuse_elsewhere(client, opened.info.artifact_uri)
        now = time.time_ns() // 1_000_000
        client.log_batch(
            run_id,
            metrics=[Metric(k, v, now, 0) for k, v in logged.metrics.items()],
            params=[Param(k, v) for k, v in params.items() if k not in opened.data.params],
        )
        _log_files(client, run_id, out, files)
        client.set_terminated(run_id, "FINISHED")
    except BaseException:
        with suppress(Exception):  # the store may be the cause
            client.set_terminated(run_id, "FAILED")
        raise
    return run_id


def _refuse_elsewhere(client: MlflowClient, address: str) -> None:
    if where := elsewhere(address, client.tracking_uri, writes=True):
        raise Failed(f"the experiment keeps its files {where}, {clean(address, 100)}; --no-log reads alone")


def _log_files(client: MlflowClient, run_id: str, out: Path, files: Iterable[str]) -> None:
    try:
        for path in sorted({Path(name).parts[0] for name in files}):
            client.log_artifact(run_id, str(out / path))  # a file, or a folder with its files
    except Exception as error:  # an artifact library may raise anything, or be missing
        if store_failed(error):
            raise
        raise Failed(f"the report's files can't be kept in the store: {one_line(error, 300)}") from error


def _description(findings: Findings) -> list[str]:
    """Return the answers as lines of Markdown, with strings from the store escaped, at most _MOST_LINES of them."""
    lines: list[str] = []
    for comparison in findings.comparisons:
        lines += [*answer_lines(comparison.name, Rule.parse(findings.rule), *_by_label(comparison)), ""]
    kept: list[str] = []
    for line in lines[:_MOST_LINES]:
        if sum(map(len, kept)) + len(kept) + len(line) > _RUN_LENGTH - 100:
            break
        kept.append(line)
    return kept[:-1] if len(kept) == len(lines) else [*kept, "", "and more, in the report"]


def _by_label(comparison: ComparisonFinding) -> tuple[dict[str, Choice], dict[str, Verdict | None]]:
    models = comparison.models
    return {model.label: model.choice for model in models}, {model.label: model.verdict for model in models}


def _literal(text: str) -> str:
    return markdown(clean(text, _LONGEST_LINE))
