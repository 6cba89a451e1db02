"""A client for tracking servers that answer badly: what may be said twice is said again, and one run is opened once.

MLflow itself asks again where it is refused (429, 5xx), gets no answer, or waits too long. It does not where an
answer ends in its middle or is none of MLflow's, like the page of a proxy; and a request that is asked again may be
done twice.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random

from .schema import Tag

Result = TypeVar("Result")

LOOK_SECONDS = 15.0  # in which a run must be found whose opening got no proper answer
GARBLED = (
    "Connection broken",
    "Connection aborted",
    "IncompleteRead",
    "Response ended prematurely",
    "not in a valid JSON format",
)


class Garbled(RuntimeError):
    """A server said that all is well, and what it said or kept is not what it was asked for."""


def was_garbled(error: BaseException | None) -> bool:
    """Whether a server's answer was cut off or none of MLflow's: MLflow asks again where it gets none, not here."""
    if isinstance(error, Garbled | json.JSONDecodeError) or type(error).__module__.startswith("google.protobuf"):
        return True
    return isinstance(error, MlflowException) and re.search("|".join(GARBLED), str(error)) is not None


asked_again = retry(
    retry=retry_if_exception(was_garbled), stop=stop_after_attempt(5), wait=wait_random(0, 1), reraise=True
)
"""For what may be said twice: MLflow keeps the same param, tag, metric, data set or file once."""


def is_server(client: MlflowClient) -> bool:
    """Whether its store is behind HTTP. A database says itself what it has kept; what is in front of a server lies."""
    return str(client.tracking_uri).startswith("http")


class Client(MlflowClient):
    """MLflow's client, which asks again where that does no harm."""

    create_experiment = asked_again(MlflowClient.create_experiment)
    delete_run = asked_again(MlflowClient.delete_run)
    log_batch = asked_again(MlflowClient.log_batch)
    log_inputs = asked_again(MlflowClient.log_inputs)
    log_artifact = asked_again(MlflowClient.log_artifact)
    log_artifacts = asked_again(MlflowClient.log_artifacts)
    set_tag = asked_again(MlflowClient.set_tag)
    update_run = asked_again(MlflowClient.update_run)
    set_terminated = asked_again(MlflowClient.set_terminated)
    search_experiments = asked_again(MlflowClient.search_experiments)
    get_metric_history = asked_again(MlflowClient.get_metric_history)

    @asked_again
    def get_run(self, run_id: str) -> Run:
        """A run."""
        run = super().get_run(run_id)
        if run.info.run_id != run_id:
            raise Garbled(f"asked for run {run_id}, {self.tracking_uri} answered with something else")
        return run

    @asked_again
    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """An experiment, or None where there is none of that name."""
        found: Experiment | None = super().get_experiment_by_name(name)
        if found is not None and found.name != name:
            raise Garbled(f"asked for experiment {name!r}, {self.tracking_uri} answered with something else")
        return found

    @asked_again
    def search_runs(self, *arguments: Any, **more: Any) -> PagedList[Run]:
        """A page of runs. That there are none is believed of a server that says so twice: an empty answer says it."""
        page: PagedList[Run] = super().search_runs(*arguments, **more)
        return page if page or not is_server(self) else super().search_runs(*arguments, **more)

    @asked_again  # where it is found to have come to nothing
    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: dict[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """A new run. Of a server it is looked for: the answer may be lost, and what was asked twice be there twice."""
        if not is_server(self):
            return super().create_run(experiment_id, start_time, tags, run_name)
        opening = uuid.uuid4().hex
        try:
            made = super().create_run(experiment_id, start_time, {**(tags or {}), Tag.OPENING: opening}, run_name)
        except Exception:
            found: list[Run] = []
            with suppress(Exception):  # the first error says more
                found = within(LOOK_SECONDS, lambda: self._opened(experiment_id, opening))
            if not found:
                raise
            made = found[0]
        if not made.info.run_id:
            found = self._opened(experiment_id, opening)
            if not found:
                raise Garbled(f"{self.tracking_uri} said that it opened a run, and has none")
            made = found[0]
        with suppress(Exception):  # they are looked for again when the run ends
            self.delete_twins(made)
        return made

    def delete_twins(self, run: Run) -> None:
        """Delete the empty runs that were opened with this one: by a request that a server did, and was asked again."""
        opening = run.data.tags.get(Tag.OPENING)
        if opening is not None:
            for twin in self._opened(run.info.experiment_id, opening):
                if twin.info.run_id != run.info.run_id:
                    self.delete_run(twin.info.run_id)

    def _opened(self, experiment_id: str, opening: str) -> list[Run]:
        return list(self.search_runs([experiment_id], f"tags.`{Tag.OPENING}` = '{opening}'", order_by=["start_time"]))


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """call(), given up after so many seconds with TimeoutError: its own retries may go on for minutes."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]
