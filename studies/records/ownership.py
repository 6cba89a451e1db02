"""Open a study and claim it: one process at a time writes to it.

A lock file excludes other processes of this machine (`trials.lock_study`), a tag of the parent run those of others.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from elbowroom.tracking.store.client import experiment, find_experiment, named_experiment, within
from elbowroom.tracking.store.errors import BadInput, RunFailed, as_bad_input, one_line
from elbowroom.tracking.store.names import BEFORE, VERSION, Kind, Tag
from elbowroom.tracking.store.recorder import Recorder, check_place, close, source_tags
from elbowroom.tracking.store.text import clean

from ..execution.cell import extend_retries
from ..execution.processes import find_process, host_tag, process_tag
from .study import MODEL_CHOICES, OPENED_TWICE, StudyRecords, StudySpec, TakenOver, children

_RELEASE_SECONDS = 2.5  # for the store to record the end of the parent run: a Ctrl-C waits for it
# The user attributes of a study in Optuna's database
_PARENT = "elbowroom.parent_run_id"
_SETTINGS = "elbowroom.settings"
_STUDY = "elbowroom.study"
_MODELS = "elbowroom.models"


def find_study(storage: optuna.storages.RDBStorage, spec: StudySpec) -> optuna.Study | None:
    """The study of that name, or None. Raises BadInput where the name has another study, or it can't be read."""
    study = _load_study(storage, spec.name)
    if study is not None:
        _check_spec(study, spec)
    return study


def begun_settings(storage: optuna.storages.RDBStorage, name: str) -> Mapping[str, Any]:
    """The settings of a study, empty where there is none of that name. Raises BadInput where it can't be read."""
    study = _load_study(storage, name)
    settings = None if study is None else study.user_attrs.get(_SETTINGS)
    return {} if settings is None else {**BEFORE, **settings}


def _load_study(storage: optuna.storages.RDBStorage, name: str) -> optuna.Study | None:
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        dict(study.user_attrs.get(_SETTINGS, {}))  # raises where a value is no JSON, or this one no mapping
    except KeyError:
        return None
    except (optuna.exceptions.OptunaError, TypeError, ValueError) as error:
        raise BadInput(f"study {name!r} can't be opened: {one_line(error)}") from error
    return study


def find_parent(client: MlflowClient, study: optuna.Study | None, spec: StudySpec) -> Run | None:
    """Find the parent run of a study; None where there is none yet.

    Parameters
    ----------
    client
        Of the tracking store.
    study
        Optuna's study, which has the id of the run. None, as in a new database: the run is found by name and settings.
    spec
        The study's identity.

    Raises
    ------
    BadInput
        The run is deleted, or in another store or experiment than asked for, or the store can't be used.
    """
    run_id = None if study is None else study.user_attrs.get(_PARENT)
    try:
        if run_id is None:
            return _find_by_name(client, spec)
        run = client.get_run(run_id)
    except MlflowException as error:
        uri = client.tracking_uri
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise BadInput(f"tracking URI {uri} can't be used: {one_line(error)}") from error
        raise BadInput(
            f"study {spec.name!r} has its runs in another tracking store: {uri} has no run {run_id}; "
            "give --tracking-uri as before, or use another --study"
        ) from error
    if run.info.lifecycle_stage != "active":
        raise BadInput(f"the run {run_id} of study {spec.name!r} is deleted; restore it, or use another --study")
    theirs, asked = run.info.experiment_id, named_experiment()
    if asked is not None and asked != (name := client.get_experiment(theirs).name):
        raise BadInput(
            f"study {spec.name!r} has its runs in experiment {clean(name)!r}; give --experiment as before, "
            "or use another --study"
        )
    return run


@contextmanager
def claim(
    client: MlflowClient,
    storage: optuna.storages.RDBStorage,
    spec: StudySpec,
    *,
    take_over: bool = False,
    invocation: str | None = None,
) -> Iterator[StudyRecords]:
    """Hold a study while the block runs, within `lock_study`. A study that does not exist is made.

    The block ends the parent run. Where it raises, the parent run ends KILLED or FAILED with the reason.

    Parameters
    ----------
    client
        Of the tracking store.
    storage
        Of Optuna's trials.
    spec
        The study's identity.
    take_over
        Whether to take a study that another machine runs.
    invocation
        The id of the run that `mlflow run` opened: the first becomes the study's parent, a later one is linked to it.

    Raises
    ------
    BadInput
        The name has another study, or another machine runs it.
    RunFailed
        The block raised an exception, or another process took the study.
    """
    extend_retries()
    try:
        records = _open(client, storage, spec, take_over, invocation)
    except (MlflowException, optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        raise BadInput(f"study {spec.name!r} can't be opened: {one_line(error)}") from error
    try:
        _start_parent(records, invocation)
        yield records
    except TakenOver as error:
        raise RunFailed(str(error), records.parent_id) from error
    except KeyboardInterrupt as interrupt:
        _release(records, "KILLED", str(interrupt))
        raise
    except Exception as error:
        _release(records, "FAILED", one_line(error))
        raise RunFailed(one_line(error), records.parent_id) from error
    _release(records)


def _open(
    client: MlflowClient, storage: optuna.storages.RDBStorage, spec: StudySpec, take_over: bool, invocation: str | None
) -> StudyRecords:
    """Open the study in both stores, or make it there."""
    study = find_study(storage, spec)
    parent = find_parent(client, study, spec)
    token = f"{process_tag()} {uuid.uuid4().hex[:8]}"
    if parent is not None:
        _refuse_running(parent, spec.name, take_over)
    # before Optuna's study is made, because this user may not be allowed to write here
    with as_bad_input(f"tracking URI {client.tracking_uri} can't open a run"):
        if parent is None:
            parent = _new_parent(client, spec, token, invocation)
        else:
            client.set_tag(parent.info.run_id, Tag.COORDINATOR, token)
        check_place(client, parent)
    if study is None:
        directions = [optuna.study.StudyDirection.MINIMIZE] * len(spec.objectives)
        study = optuna.create_study(storage=storage, study_name=spec.name, directions=directions, load_if_exists=True)
    models = study.user_attrs.get(_MODELS, list(MODEL_CHOICES))
    records = StudyRecords(client, storage, study, parent, spec, token, models)
    records.describe()
    attributes = {_MODELS: models, _SETTINGS: dict(spec.settings), _STUDY: spec.what, _PARENT: parent.info.run_id}
    for name, value in attributes.items():
        study.set_user_attr(name, value)
    return records


def _start_parent(records: StudyRecords, invocation: str | None) -> None:
    """Set the parent run RUNNING, close runs that died beside it, and link a later invocation to it."""
    client, parent = records.client, records.parent
    client.update_run(records.parent_id, status="RUNNING")
    records.log_params()
    if Tag.REASON in parent.data.tags:
        client.delete_tag(records.parent_id, Tag.REASON)
    if opened := parent.data.tags.get(Tag.OPENING):
        for run in client.search_runs([records.experiment_id], f"tags.`{Tag.OPENING}` = '{opened}'"):
            if run.info.status == "RUNNING" and run.info.run_id != records.parent_id:
                close(client, run.info.run_id, "FAILED", OPENED_TWICE)
    for run in children(client, parent, Kind.INVOCATION):
        if run.info.status == "RUNNING" and run.info.run_id != invocation:
            close(client, run.info.run_id, "FAILED", "it died, and the `mlflow run` above it")
    if invocation is not None and invocation != records.parent_id:
        client.update_run(invocation, name=f"{records.spec.name} (continued)")
        linked: dict[str, str] = {Tag.KIND: Kind.INVOCATION, Tag.PARENT: records.parent_id}
        Recorder(client, invocation).tags(linked | {Tag.STUDY: records.spec.name, Tag.SCHEMA: VERSION})


def _release(records: StudyRecords, status: str | None = None, reason: str = "") -> None:
    """Release the study, unless another process has taken it. With a status, end its parent run if it is running."""

    def end() -> None:
        records.check_claim()
        if status is not None:
            close(records.client, records.parent_id, status, reason, describe=False)
        records.client.set_tag(records.parent_id, Tag.COORDINATOR, "")

    with suppress(Exception):  # the next start repairs what is not recorded now
        within(_RELEASE_SECONDS, end)


def _check_spec(study: optuna.Study, spec: StudySpec) -> None:
    """Raise BadInput where the study is of another kind, or has other settings."""
    attributes = study.user_attrs
    held = attributes.get(_STUDY)
    if held is None and not study.get_trials(deepcopy=False) and len(study.directions) == len(spec.objectives):
        return  # its maker died before it could set the attributes
    if held != spec.what:
        raise BadInput(
            f"study {spec.name!r} holds {held or 'a study of another program'}, not {spec.what}; use another --study"
        )
    before = BEFORE | attributes.get(_SETTINGS, {})
    now = _plain_settings(json.dumps(dict(spec.settings)))
    changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in {**before, **now} if before.get(k) != now.get(k)]
    if changed:
        raise BadInput(
            f"study {spec.name!r} was begun with other settings: {', '.join(changed)}; "
            "its cells could not be compared: repeat them as they were, or use another --study"
        )


def _find_by_name(client: MlflowClient, spec: StudySpec) -> Run | None:
    """The newest parent run in the experiment with this name and these settings."""
    there = find_experiment(client)
    if there is None:
        return None
    wanted = _plain_settings(json.dumps(dict(spec.settings)))
    for run in client.search_runs([there], f"tags.`{Tag.KIND}` = '{Kind.STUDY}'", order_by=["start_time DESC"]):
        tags = run.data.tags
        named = tags.get(Tag.STUDY) == spec.name and tags.get(Tag.REASON) != OPENED_TWICE
        if named and _plain_settings(tags.get(Tag.STUDY_SETTINGS, "{}")) == wanted:
            return run
    return None


def _plain_settings(text: str) -> dict[str, object]:
    """The settings of a study from JSON, with those that are newer than the study; empty for another tag's text."""
    try:
        return {**BEFORE, **json.loads(text)}
    except (TypeError, ValueError, RecursionError):
        return {}


def _refuse_running(parent: Run, name: str, take_over: bool) -> None:
    """Raise BadInput where another process may be running the study."""
    holder = parent.data.tags.get(Tag.COORDINATOR, "").split()
    if not holder or take_over or parent.info.status != "RUNNING":
        return
    host, process, *_ = [*holder, "?"]
    if host != host_tag():
        raise BadInput(
            f"study {name!r} is run by process {process} on {host}; "
            "if that machine or container is dead, add --take-over, else wait for it"
        )
    if find_process(" ".join(holder[:3])) is not None:
        raise BadInput(f"study {name!r} is run by process {process} of this machine; wait for it")


def _new_parent(client: MlflowClient, spec: StudySpec, token: str, invocation: str | None) -> Run:
    """A parent run for a study that has none: the invocation's, else a new one."""
    tags: dict[str, str] = {Tag.STUDY: spec.name, Tag.SCHEMA: VERSION, Tag.KIND: Kind.STUDY}
    tags |= {Tag.STUDY_SETTINGS: json.dumps(dict(spec.settings)), Tag.COORDINATOR: token} | source_tags()
    if spec.label:
        tags[Tag.LABEL] = spec.label
    if invocation is None:
        return client.create_run(experiment(client), run_name=spec.name, tags={**tags, Tag.OPENING: uuid.uuid4().hex})
    client.update_run(invocation, name=spec.name)
    Recorder(client, invocation).tags({k: v for k, v in tags.items() if not k.startswith("mlflow.")})
    return client.get_run(invocation)
