"""Who may write to a study: one process at a time.

A lock file keeps out others of this machine (`storage.locked`), the tag of the parent run those of others.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput, RunFailed, one_line
from elbowroom.tracking.store.names import BEFORE, VERSION, Kind, Tag
from elbowroom.tracking.store.recorder import (
    Recorder,
    check_place,
    close,
    code_tags,
    experiment,
    find_experiment,
    new_run,
    opening,
    within,
)

from ..execution.cell import be_patient
from ..execution.processes import machine, me, process_here
from .study import MODELS_KNOWN, OPENED_TWICE, Charter, Fixed, Ledger, TakenOver, children

LEAVING_SECONDS = 2.5  # in which the parent run must take its end: a Ctrl-C waits for it
# The user attributes of a study
PARENT = "elbowroom.parent_run_id"
SETTINGS = "elbowroom.settings"
STUDY = "elbowroom.study"
MODELS = "elbowroom.models"
TYPES = {PARENT: str, SETTINGS: dict, STUDY: str, MODELS: list}


def find_study(storage: optuna.storages.RDBStorage, charter: Charter) -> optuna.Study | None:
    """The study of that name, or None. Raises BadInput where the name holds another one, or it can't be read."""
    with _named(charter.name):
        study = optuna.load_study(study_name=charter.name, storage=storage, sampler=Fixed())
        _check_same(study, charter)
        return study
    return None


def as_begun(storage: optuna.storages.RDBStorage, name: str, base: RunConfig) -> RunConfig:
    """What the cells of a study share, in the edition that it was begun in: one study never mixes two."""
    with _named(name):
        held = _attributes(optuna.load_study(study_name=name, storage=storage)).get(SETTINGS)
        return base if held is None else replace(base, edition=(BEFORE | held)["edition"])
    return base


@contextmanager
def _named(name: str) -> Iterator[None]:
    """A block that loads the study of that name and ends early where there is none. Raises BadInput where it can't."""
    try:
        yield
    except KeyError:
        pass
    except (optuna.exceptions.OptunaError, json.JSONDecodeError) as error:
        raise BadInput(f"study {name!r} can't be opened: {one_line(error)}") from error


def _attributes(study: optuna.Study) -> dict[str, Any]:
    """The user attributes of a study. Raises BadInput where one of ours is damaged."""
    held = study.user_attrs
    for name, kind in TYPES.items():
        if name in held and not isinstance(held[name], kind):
            raise BadInput(f"study {study.study_name!r} can't be opened: its user attribute {name} is damaged")
    return held


def find_parent(client: MlflowClient, study: optuna.Study | None, charter: Charter) -> Run | None:
    """The study's parent run, or None where it has none yet. Raises BadInput where this store does not have it.

    Where Optuna knows of none, because its database is a new one, it is found by its name and settings.
    """
    run_id = None if study is None else study.user_attrs.get(PARENT)
    try:
        if run_id is None:
            return _namesake(client, charter)
        run = client.get_run(run_id)
    except MlflowException as error:
        uri = client.tracking_uri
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise BadInput(f"tracking URI {uri} can't be used: {one_line(error)}") from error
        raise BadInput(
            f"study {charter.name!r} has its runs in another tracking store: {uri} has no run {run_id}; "
            "give --tracking-uri as before, or use another --study"
        ) from error
    if run.info.lifecycle_stage != "active":
        raise BadInput(f"the run {run_id} of study {charter.name!r} is deleted; restore it, or use another --study")
    return run


@contextmanager
def claim(
    client: MlflowClient,
    storage: optuna.storages.RDBStorage,
    charter: Charter,
    *,
    take_over: bool = False,
    invocation: str | None = None,
) -> Iterator[Ledger]:
    """Hold a study, made where it is not, for as long as the block runs; within `locked`.

    `invocation` is the run that `mlflow run` opened, if it did: the first becomes the study's parent, a
    later one is linked to it. The block ends the parent run; where it raises, the parent ends KILLED or
    FAILED with the reason. Raises BadInput for a name that holds another study or one that another machine
    runs, RunFailed for whatever goes wrong in the block.
    """
    be_patient()
    try:
        ledger = _opened(client, storage, charter, take_over, invocation)
    except (MlflowException, optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        raise BadInput(f"study {charter.name!r} can't be opened: {one_line(error)}") from error
    try:
        _take(ledger, invocation)
        yield ledger
    except TakenOver as error:
        raise RunFailed(str(error), ledger.parent_id) from error
    except KeyboardInterrupt as interrupt:
        _leave(ledger, "KILLED", str(interrupt))
        raise
    except Exception as error:
        _leave(ledger, "FAILED", one_line(error))
        raise RunFailed(one_line(error), ledger.parent_id) from error
    _leave(ledger)


def _opened(
    client: MlflowClient,
    storage: optuna.storages.RDBStorage,
    charter: Charter,
    take_over: bool,
    invocation: str | None,
) -> Ledger:
    """The study in both stores, made where it is not."""
    study = find_study(storage, charter)
    parent = find_parent(client, study, charter)
    token = f"{me()} {uuid.uuid4().hex[:8]}"
    if parent is not None:
        _refuse_running(parent, charter.name, take_over)
    with opening(client):  # before Optuna's study is made: this user may have to write here first
        if parent is None:
            parent = _new_parent(client, charter, token, invocation)
        else:
            client.set_tag(parent.info.run_id, Tag.COORDINATOR, token)
        check_place(client, parent)
    if study is None:
        study = optuna.create_study(
            storage=storage,
            study_name=charter.name,
            directions=["minimize"] * charter.objectives,
            sampler=Fixed(),
            load_if_exists=True,
        )
    models = study.user_attrs.get(MODELS, list(MODELS_KNOWN))
    for name, value in {MODELS: models, SETTINGS: dict(charter.settings), STUDY: charter.what}.items():
        study.set_user_attr(name, value)
    study.set_user_attr(PARENT, parent.info.run_id)
    return Ledger(client, study, parent, charter, token, models)


def _take(ledger: Ledger, invocation: str | None) -> None:
    """Let the parent run, which has this process's name, run again; link a later invocation to it."""
    client, parent = ledger.client, ledger.parent
    client.update_run(ledger.parent_id, status="RUNNING")
    if Tag.REASON in parent.data.tags:
        client.delete_tag(ledger.parent_id, Tag.REASON)
    if opened := parent.data.tags.get(Tag.OPENING):
        for run in client.search_runs([ledger.experiment_id], f"tags.`{Tag.OPENING}` = '{opened}'"):
            if run.info.status == "RUNNING" and run.info.run_id != ledger.parent_id:
                close(client, run.info.run_id, "FAILED", OPENED_TWICE)
    for run in children(client, parent, Kind.INVOCATION):
        if run.info.status == "RUNNING" and run.info.run_id != invocation:
            close(client, run.info.run_id, "FAILED", "it died, and the `mlflow run` above it")
    if invocation is not None and invocation != ledger.parent_id:
        client.update_run(invocation, name=f"{ledger.charter.name} (continued)")
        linked: dict[str, str] = {Tag.KIND: Kind.INVOCATION, Tag.PARENT: ledger.parent_id}
        Recorder(client, invocation).tags(linked | {Tag.STUDY: ledger.charter.name, Tag.SCHEMA: VERSION})


def _leave(ledger: Ledger, status: str | None = None, reason: str = "") -> None:
    """Let go of the study, unless another process has it; its parent run ends so, if it has not ended."""

    def end() -> None:
        ledger.check_mine()
        if status is not None:
            close(ledger.client, ledger.parent_id, status, reason, describe=False)
        ledger.client.set_tag(ledger.parent_id, Tag.COORDINATOR, "")

    with suppress(Exception):  # what the store does not take, the next start puts right
        within(LEAVING_SECONDS, end)


def _check_same(study: optuna.Study, charter: Charter) -> None:
    """Raise BadInput where the study is of another kind, or has other settings."""
    attributes = _attributes(study)
    held = attributes.get(STUDY)
    if held is None and not study.get_trials(deepcopy=False) and len(study.directions) == charter.objectives:
        return  # made by a process that died before it could say what for
    if held != charter.what:
        raise BadInput(
            f"study {charter.name!r} holds {held or 'a study of another program'}, not {charter.what}; "
            "use another --study"
        )
    before = BEFORE | attributes.get(SETTINGS, {})
    now = _plain(charter)
    changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in {**before, **now} if before.get(k) != now.get(k)]
    if changed:
        raise BadInput(
            f"study {charter.name!r} was begun with other settings: {', '.join(changed)}; "
            "its cells could not be compared: repeat them as they were, or use another --study"
        )


def _namesake(client: MlflowClient, charter: Charter) -> Run | None:
    """The newest study of the experiment with this name and these settings."""
    there = find_experiment(client)
    if there is None:
        return None
    found = client.search_runs([there], f"tags.`{Tag.KIND}` = '{Kind.STUDY}'", order_by=["start_time DESC"])
    same = (charter.name, _plain(charter))
    for run in found:
        empty = run.data.tags.get(Tag.REASON) == OPENED_TWICE
        if not empty and (run.data.tags.get(Tag.STUDY), _settings_of(run)) == same:
            return run
    return None


def _plain(charter: Charter) -> dict[str, object]:
    """The settings of a study as they come back from its two stores."""
    return {**BEFORE, **json.loads(json.dumps(dict(charter.settings)))}


def _settings_of(run: Run) -> object:
    """What may not change under a study's name, as its parent says it; None where that can't be read."""
    try:
        return BEFORE | json.loads(run.data.tags.get(Tag.STUDY_SETTINGS, "{}"))
    except (ValueError, TypeError, RecursionError):
        return None


def _refuse_running(parent: Run, name: str, take_over: bool) -> None:
    holder = parent.data.tags.get(Tag.COORDINATOR, "")
    if not holder.strip() or take_over or parent.info.status != "RUNNING":
        return
    host, process, *_ = [*holder.split(), "?"]
    if host != machine():
        raise BadInput(
            f"study {name!r} is run by process {process} on {host}; "
            "if that machine or container is dead, add --take-over, else wait for it"
        )
    if process_here(" ".join(holder.split()[:3])) is not None:
        raise BadInput(f"study {name!r} is run by process {process} of this machine; wait for it")


def _new_parent(client: MlflowClient, charter: Charter, token: str, invocation: str | None) -> Run:
    """A parent run for a study that has none: the invocation's, else a new one."""
    tags: dict[str, str] = {Tag.STUDY: charter.name, Tag.SCHEMA: VERSION, Tag.KIND: Kind.STUDY}
    tags |= {Tag.STUDY_SETTINGS: json.dumps(dict(charter.settings)), Tag.COORDINATOR: token} | code_tags()
    if charter.label:
        tags[Tag.LABEL] = charter.label
    if invocation is None:
        return new_run(client, experiment(client), charter.name, tags)
    client.update_run(invocation, name=charter.name)
    Recorder(client, invocation).tags(tags)
    return client.get_run(invocation)
