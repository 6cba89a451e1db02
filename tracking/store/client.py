"""Reach the tracking store in use, and find the experiment of its runs."""

from __future__ import annotations

import gc
import logging
import os
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from .addresses import elsewhere, unclear_password
from .database import database_file, held, make_tables
from .errors import BadInput, as_bad_input, deleted_experiment, one_line
from .locks import alone_with
from .names import EXPERIMENT
from .text import clean

ANSWER_SECONDS = 15.0  # timeout of a store's first answer; with the imports, a command ends within 30
_PAGE = 1000  # runs a request

_Result = TypeVar("_Result")


def reach_store() -> MlflowClient:
    """Return a client of the tracking store in use, which has answered a request, for artifacts too.

    Creates the tables of a new database file. Raises BadInput, naming the store, where it does not answer in time or
    has the tables of another MLflow version.
    """
    uri = mlflow.get_tracking_uri()
    if problem := unclear_password(uri):
        raise BadInput(f"tracking URI {problem}")
    sqlite, asked = uri.startswith("sqlite"), "did not answer"

    def ask() -> MlflowClient:
        nonlocal asked
        path = database_file(uri)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with alone_with(uri):
            found = held(uri)
            if found.refusal:
                raise BadInput(f"tracking URI {found.refusal}")
            if path is not None and found.empty:
                make_tables(path)
            _refuse_certificate(uri)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
        if not sqlite:
            asked = "could not list artifacts (its log says why; does its bucket exist?)"
            _reach_artifacts(client)
        return client

    # The connection pool logs a line for each of its retries; a command promises one line.
    pool = logging.getLogger("urllib3.connectionpool")
    level = pool.level
    pool.setLevel(logging.ERROR)
    try:
        with as_bad_input(f"tracking URI {uri} can't be used"):
            try:
                return ask() if sqlite else within(ANSWER_SECONDS, ask)
            except TimeoutError as error:
                raise BadInput(f"tracking URI {uri} {asked} within {ANSWER_SECONDS:.0f} s") from error
    finally:
        pool.setLevel(level)


def _reach_artifacts(client: MlflowClient) -> None:
    """List artifacts of the experiment in use, or of the default one where it does not exist yet.

    An artifact store that is out of reach would otherwise be noticed after the training.
    """
    found = find_experiment(client)
    try:
        location = client.get_experiment(found or "0").artifact_location
        if elsewhere(location, client.tracking_uri, writes=True):
            return  # a new experiment may have another address, which is checked when it is created
        if location.startswith("mlflow-artifacts:") or (found and "://" in location):
            get_artifact_repository(location).list_artifacts("none")
    except (MlflowException, OSError) as error:
        if found is None and getattr(error, "error_code", "") in ("PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"):
            return  # the default experiment is deleted, or not permitted to this user
        raise


def _refuse_certificate(uri: str) -> None:
    """Raise BadInput for a server whose certificate is not trusted: MLflow would retry for minutes."""
    if not uri.startswith("https:"):
        return
    try:
        http_request(get_default_host_creds(uri), "/health", "HEAD", max_retries=0, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__context__
        if cause is not None:  # other errors are found by the first request
            raise BadInput(
                f"tracking URI {uri}: no secure connection: {one_line(cause)}; "
                "MLFLOW_TRACKING_SERVER_CERT_PATH names the file of a certificate to trust"
            ) from error


def within(seconds: float, call: Callable[[], _Result]) -> _Result:
    """Return call(), or raise TimeoutError after so many seconds: MLflow's own retries may take minutes."""
    answer: Future[_Result] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return answer.result(seconds)


def refuse_elsewhere(client: MlflowClient, what: str, address: str) -> None:
    """Raise BadInput where a run or an experiment keeps its files outside its store.

    Parameters
    ----------
    client : MlflowClient
        Of the store.
    what : str
        The run or the experiment, as the error names it.
    address : str
        Of its files.
    """
    if where := elsewhere(address, client.tracking_uri, writes=True):
        raise BadInput(
            f"{what} keeps its files {where}, {clean(address, 100)}; "
            "allowed: those of a server on the server (mlflow server --artifacts-destination) or in a bucket"
        )


def experiment(client: MlflowClient) -> str:
    """Return the id of the experiment that the environment names, else of the default one; create it if needed."""
    found = find_experiment(client)
    if found is not None:
        return found
    try:
        client.create_experiment(_experiment_name())
    except MlflowException:  # another process created it meanwhile, or MLflow retried a request that had succeeded
        if find_experiment(client) is None:
            raise
    return str(find_experiment(client))


def find_experiment(client: MlflowClient) -> str | None:
    """Return the id of that experiment, or None. Raises BadInput where it is deleted or keeps its files elsewhere."""
    by_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
    found = client.get_experiment(by_id) if by_id else client.get_experiment_by_name(_experiment_name())
    if found is None:
        return None
    if found.lifecycle_stage == "deleted":
        raise BadInput(deleted_experiment(found.name, found.experiment_id))
    refuse_elsewhere(client, f"experiment {found.name!r}", found.artifact_location)
    return str(found.experiment_id)


def _experiment_name() -> str:
    return named_experiment() or EXPERIMENT


def named_experiment() -> str | None:
    """Return the name of the experiment that a flag or the environment asks for; None where neither names one."""
    return None if os.environ.get("MLFLOW_EXPERIMENT_ID") else os.environ.get("MLFLOW_EXPERIMENT_NAME") or None


def every_run(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    """Return the active runs of an experiment that match, page after page.

    Parameters
    ----------
    client
        Of the tracking store.
    experiment_id
        The experiment.
    filter_string
        As `MlflowClient.search_runs` reads it; empty for all runs.
    """
    runs: list[Run] = []
    token: str | None = None
    was_enabled = gc.isenabled()
    gc.disable()  # among millions of new objects it takes twice the time of the query
    try:
        while True:
            page = client.search_runs([experiment_id], filter_string, max_results=_PAGE, page_token=token)
            runs.extend(page)
            token = page.token
            if not token:
                return runs
    finally:
        if was_enabled:
            gc.enable()
