"""Set the tracking URI, the environment and noisy loggers for one call, and restore them after it.

MLflow and the databases below it know one tracking URI, one environment and one set of loggers a process. A command
line has the process for itself; a function that is called from a notebook has not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

LOUD = {"optuna": logging.WARNING, "alembic": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}
"""Loggers that tell each step of a migration, or each line of SQL of an error that is raised as well."""
URI = "MLFLOW_TRACKING_URI"


@contextmanager
def borrowed(tracking_uri: str | None = None, experiment: str | None = None) -> Iterator[None]:
    """Use this store and experiment while the block runs, and leave the process as it was.

    None: the store in use, and the experiment that the environment names. Given back are MLflow's tracking URI, its
    variables of the environment, and the levels of `LOUD`. They are the process's: no two at once in its threads.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    uri, levels = _given_uri(), {name: logging.getLogger(name).level for name in LOUD}
    try:
        for name, level in LOUD.items():
            logging.getLogger(name).setLevel(level)
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # of each run that ends
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one a file, of thousands of small ones
        os.environ.setdefault("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")  # files would go to the host that one names
        if tracking_uri is not None:
            mlflow.set_tracking_uri(tracking_uri)
        if experiment is not None:
            os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
            os.environ["MLFLOW_EXPERIMENT_NAME"] = experiment
        yield
    finally:
        mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]  # None: nobody set one
        for name in [n for n in os.environ if n.startswith("MLFLOW_") and n not in environment]:
            del os.environ[name]
        os.environ.update(environment)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _given_uri() -> str | None:
    """The tracking URI that somebody gave by a call; None where the environment or a default decides."""
    named = os.environ.pop(URI, None)
    try:
        return mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    finally:
        if named is not None:
            os.environ[URI] = named
