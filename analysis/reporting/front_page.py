"""The page of an experiment in the MLflow UI: its saved views, and our part of its description."""

from __future__ import annotations

import base64
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

import mlflow.version
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
from mlflow.utils.rest_utils import http_request

from elbowroom.tracking.store.addresses import view_page
from elbowroom.tracking.store.client import ANSWER_SECONDS, every_run
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import (
    CHOICE_PREFIX,
    CURVE_PREFIX,
    EXPERIMENT,
    IMAGE_KEY,
    KEPT_PREFIX,
    Kind,
    Metric,
    Quality,
    Source,
    Tag,
    sample_metric,
)
from elbowroom.tracking.store.text import fingerprint, markdown

_VIEW: Final = "mlflow.sharedViewState."  # prefix of the tags of saved views
_MARKS: Final = {
    "mlflow.experimentKind": "custom_model_development",  # and not one of generative AI
    "mlflow.experiment.primaryMetric.name": Metric.TEST_MSE,
    "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
}
_NAMED, _UPDATED = (3, 15), (3, 16)  # versions from which a saved view has a name, and the time of its change
_LONGEST = 20_000  # letters of a tag of an experiment: MLflow's limit
_HEIGHT = 420  # pixels of a chart: one or two fill the page
_LATEST = 200  # runs whose other metrics get no chart; the UI loads 100
_OLD_PART = re.compile(r"\n*[^\n]*<!-- elbowroom: written by the report -->.*?<!-- elbowroom: end -->", re.DOTALL)
"""Our part of a description that an earlier version wrote."""

_Chart = dict[str, Any]
_log = logging.getLogger(__name__)


class _View(NamedTuple):
    """A saved view: its name, a filter of its runs, its columns and charts, the order of its runs, and what opens."""

    name: str
    runs: str
    columns: tuple[str, ...]
    charts: tuple[_Chart, ...]
    order: str = f"metrics.`{Metric.DIM3}`"
    part: Literal["CHART", "TABLE"] = "CHART"


def write_views(client: MlflowClient, experiment_id: str) -> dict[str, str]:
    """Save the views of an experiment, mark it as one of models, and return the addresses of the views by name.

    A view that a user changed or deleted is left alone. A store that refuses them costs a line in the log.
    """
    links: dict[str, str] = {}
    with _refusal_logged("the views of the MLflow UI are not saved"):
        experiment = client.get_experiment(experiment_id)
        for name, value in _MARKS.items():
            if name not in experiment.tags:
                client.set_experiment_tag(experiment_id, name, value)
        written, version = dict(_written(experiment.tags).views), _server_version(client)
        runs = _shown(client, experiment_id)
        metrics = _metric_names(runs)
        for key, view in _views(metrics, _last_epoch(runs)).items():
            before = experiment.tags.get(_VIEW + key)
            value = _packed(view.name, _state(view, metrics), experiment.creation_time or 0, version)
            if (None if before is None else fingerprint(before)) == written.get(key) and len(value) <= _LONGEST:
                if value != before:
                    client.set_experiment_tag(experiment_id, _VIEW + key, value)
                    written[key] = fingerprint(value)
                    _remember(client, experiment_id, views=written)  # at once, so that no view of ours seems a user's
                before = value
            if before is not None:
                links[view.name] = view_page(experiment_id, key, view.part)
    return links


def describe_experiment(client: MlflowClient, experiment_id: str, text: str, kind: Kind) -> None:
    """Replace our part of an experiment's description; one that a user changed is left alone, which the log says.

    Parameters
    ----------
    client, experiment_id
        The store and the experiment.
    text
        Our part, in Markdown; its first line is what lists of experiments show.
    kind
        Of the run whose answer it is. That of a study does not replace that of an analysis, which has read all runs.
    """
    with _refusal_logged("the experiment is not described"):
        tags = client.get_experiment(experiment_id).tags
        last, before = _written(tags), _OLD_PART.sub("", tags.get(Tag.DESCRIPTION, "")).strip()
        if last.kind == Kind.ANALYSIS != kind and last.text in before:
            return
        if last.text and before and last.text not in before:
            _log.warning("the experiment's description is left as it is: someone has changed our part of it")
            return
        whole = before.replace(last.text, text) if last.text and before else f"{before}\n\n{text}".lstrip()
        if len(whole) <= _LONGEST:
            _remember(client, experiment_id, text=text, kind=kind)
            client.set_experiment_tag(experiment_id, Tag.DESCRIPTION, whole)


@contextmanager
def _refusal_logged(what: str) -> Iterator[None]:
    """Log an error of the store as one line: a study or a report is whole without its page in the UI."""
    try:
        yield
    except MlflowException as error:
        _log.warning("%s: %s", what, one_line(error, 200))


def links_line(links: Mapping[str, str]) -> str:
    """Return links to views as a line of Markdown."""
    return " · ".join(f"[{markdown(name)}]({address})" for name, address in links.items())


def _views(metrics: Sequence[str], last_epoch: int) -> dict[str, _View]:
    """Return the views by their ids; the metrics of curves and choices are called by the models of the store."""
    curves = [name for name in metrics if name.startswith(CURVE_PREFIX) and name != Metric.CURVE_MSE]
    answers = [name for name in metrics if name.startswith((CHOICE_PREFIX, KEPT_PREFIX))]
    cells = f"tags.`{Tag.KIND}` = '{Kind.RUN}'"
    cell = ("params.`model`", f"metrics.`{Metric.DIM3}`", "params.`seed`")
    measured = (Metric.TEST_MSE, Metric.TEST_EXPLAINED_VARIANCE)
    columns = (*cell, *(f"metrics.`{name}`" for name in (*measured, Metric.FIT_SECONDS)))
    losses = _line([Metric.VAL_MSE], "linear", points=False)
    pictures = {"type": "IMAGE", "imageKeys": [IMAGE_KEY], "step": last_epoch, "showRunParams": False}
    found = {
        "cells": _View("Cells", cells, columns, tuple(map(_scatter, measured)), part="TABLE"),
        "scatter": _View("Scatter", cells, columns, tuple(map(_scatter, measured))),
        "training": _View("Training", cells, (*cell, f"metrics.`{Metric.VAL_MSE}`"), (losses,)),
        "pictures": _View("Pictures", f"tags.`{MLFLOW_LOGGED_IMAGES}` ILIKE 'true'", cell, (pictures,)),
    }
    if curves:
        studies, columns = f"tags.`{Tag.KIND}` = '{Kind.STUDY}'", tuple(f"metrics.`{name}`" for name in answers)
        curve = _View("Curve", studies, columns, (_line(curves, "log"),), "attributes.start_time")
        found = {"curve": curve} | found
    return {f"{EXPERIMENT}-{key}": view for key, view in found.items()}


def _line(metrics: Sequence[str], x_scale: str, *, points: bool = True) -> _Chart:
    """A chart of metrics by step. The errors are on a logarithmic axis."""
    return {
        "type": "LINE", "xAxisKey": "step", "xAxisScaleType": x_scale, "scaleType": "log", "range": {},
        "metricKey": metrics[0], "selectedMetricKeys": metrics, "displayPoints": points,
        "useGlobalXaxisKey": False, "useGlobalLineSmoothing": False, "lineSmoothness": 0,
    }  # fmt: skip


def _scatter(metric: Metric) -> _Chart:
    x, y = ({"key": name, "type": "METRIC"} for name in (Metric.DIM3, metric))
    return {"type": "SCATTER", "xaxis": x, "yaxis": y}


def _state(view: _View, metrics: Sequence[str]) -> str:
    """Return a view as the UI reads it. It makes a chart of each metric that has none: these are listed as deleted."""
    place = {"metricSectionId": "charts"}
    shown = [{"uuid": f"chart{i}", "runsCountToCompare": 100, **place, **c} for i, c in enumerate(view.charts)]
    section = {"uuid": "charts", "name": view.name, "display": True, "isReordered": True}
    has = {str(chart.get("metricKey", chart.get("imageKeys"))) for chart in shown}
    unwanted: list[_Chart] = [{"type": "BAR", "metricKey": name} for name in metrics if name not in has]
    unwanted += [{"type": "IMAGE", "imageKeys": [IMAGE_KEY]}] if str([IMAGE_KEY]) not in has else []
    deleted = {"isGenerated": True, "deleted": True, **place}
    charts = shown + [{"uuid": f"deleted{i}", **deleted, **c} for i, c in enumerate(unwanted)]
    state = {
        "searchFilter": view.runs,
        "orderByKey": view.order,
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": view.columns,
        "columnOrder": view.columns,
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": charts,
        "compareRunSections": [{**section, "columns": len(view.charts), "cardHeight": _HEIGHT}],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "groupBy": None,
    }
    return json.dumps(state, separators=(",", ":"))


def _packed(name: str, state: str, created: int, version: tuple[int, ...]) -> str:
    """Return the value of a view's tag in the form that a version of the UI reads."""
    if version < _NAMED:
        return state
    packed = "deflate;" + base64.b64encode(zlib.compress(state.encode())).decode()
    times = {"createdAt": created} | ({"updatedAt": created} if version >= _UPDATED else {})
    return json.dumps({"name": name, **times, "state": packed})


def _server_version(client: MlflowClient) -> tuple[int, ...]:
    """Return major and minor of the MLflow that serves the store; of this one, where it is a database."""
    text, uri = mlflow.version.VERSION, client.tracking_uri
    if uri.startswith("http"):
        asked = http_request(get_default_host_creds(uri), "/version", "GET", max_retries=0, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
        text = asked.text
    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def _shown(client: MlflowClient, experiment_id: str) -> list[Run]:
    """Return the studies and the latest runs."""
    studies = every_run(client, experiment_id, f"tags.`{Tag.KIND}` = '{Kind.STUDY}'")
    return [*studies, *client.search_runs([experiment_id], max_results=_LATEST)]


def _last_epoch(runs: Sequence[Run]) -> int:
    """Return the most common last epoch of the runs with pictures, which they show; all have some of the first."""
    pictured = [run.data.metrics for run in runs if MLFLOW_LOGGED_IMAGES in run.data.tags]
    found = Counter(int(metrics.get(Metric.EPOCHS_TRAINED, 1)) for metrics in pictured)
    return found.most_common(1)[0][0] if found else 1


def _metric_names(runs: Sequence[Run]) -> list[str]:
    """Return the names of our metrics, and of those of the runs."""
    ours = {*Metric, *(sample_metric(source, quality) for source in Source for quality in Quality)}
    return sorted({str(name) for name in ours} | {name for run in runs for name in run.data.metrics})


class _Written(NamedTuple):
    """The part of an experiment's page that we wrote last: a fingerprint of each view, and the description's text."""

    views: Mapping[str, str] = {}
    text: str = ""
    kind: str = ""


def _written(tags: Mapping[str, str]) -> _Written:
    try:
        views, text, kind = json.loads(tags[Tag.FRONT_PAGE])
    except (KeyError, ValueError, TypeError):
        return _Written()
    return _Written(views if isinstance(views, dict) else {}, str(text), str(kind))


def _remember(client: MlflowClient, experiment_id: str, **new: Any) -> None:
    last = _written(client.get_experiment(experiment_id).tags)
    client.set_experiment_tag(experiment_id, Tag.FRONT_PAGE, json.dumps(last._replace(**new), ensure_ascii=False))
