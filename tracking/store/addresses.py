"""Addresses of tracking stores, of runs in the UI, of artifacts, and of the cache."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

DEFAULT_STORE: Final = "sqlite:///mlflow.db"
_BUCKETS: Final = ("s3", "gs", "wasbs", "abfss")  # schemes of object stores
_PORTS: Final = {"http": 80, "https": 443}


def store_uri(typed: str | None) -> str:
    """Return the tracking URI that was typed, else that of the environment, else the default store."""
    return typed or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def run_page(experiment_id: str, run: str) -> str:
    """Return the path in the UI of a run's id, or of its id and a tab; without the layout for generative AI."""
    return f"#/experiments/{experiment_id}/runs/{run}?workflowType=machine_learning"


def children_page(experiment_id: str, run_id: str, metric: str, ascending: bool = True) -> str:
    """Return the path in the UI of the runs below a run, sorted by a metric."""
    asked = {"searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'", "orderByKey": f"metrics.`{metric}`"}
    sort = f"orderByAsc={str(ascending).lower()}"
    return f"#/experiments/{experiment_id}/runs?{urlencode(asked)}&{sort}&workflowType=machine_learning"


def view_page(experiment_id: str, view: str, mode: str) -> str:
    """Return the path in the UI of a saved view, opened as TABLE or CHART; further parameters would disable it."""
    shown = f"viewStateShareKey={view}&compareRunsMode={mode}&workflowType=machine_learning"
    return f"#/experiments/{experiment_id}/runs?{shown}"


def unclear_password(uri: str) -> str:
    """Return what is wrong with the password of a URI, without the password; empty where nothing is.

    Where it has reserved characters a library may take its end for the host, and name it in an error.
    """
    said = re.match(r"([\w+.-]+://[^:/@]*):(.*)@", uri, re.DOTALL)
    if said is None or not re.search(r"[/?#@\s]", said[2]):
        return ""
    return f"{said[1]}:***@… has / ? # @ or a space in its password; write them %2F %3F %23 %40 %20"


def elsewhere(artifact_uri: str, tracking_uri: str, *, writes: bool = False) -> str:
    """Say where the artifacts of a run are, if not in its store.

    Whoever may create an experiment may give it any artifact URI. MLflow would send the store's user and password to
    another web host, and read and write folders of this machine.

    Parameters
    ----------
    artifact_uri
        Of the run, or of its experiment.
    tracking_uri
        Of the store that gave it: a server has artifacts on itself, and a database in folders or buckets.
    writes
        Whether artifacts are written. A server may name a bucket for that.

    Returns
    -------
    str
        A phrase for an error; empty where the artifacts are in the store.
    """
    try:
        there, store = urlsplit(artifact_uri), urlsplit(tracking_uri)
        server, databricks = store.scheme in _PORTS, tracking_uri.partition(":")[0] == "databricks"
        if there.scheme in ("", "file") and there.netloc in ("", "localhost"):
            return "in a folder of this machine" if server or databricks else ""
        if databricks and there.scheme == "dbfs" and not there.netloc:
            return ""
        if server and there.scheme in ("mlflow-artifacts", *_PORTS):
            return "" if _on_server(there, store) else "on another host"
    except ValueError:
        return "at a malformed address"
    return "" if there.scheme in _BUCKETS and (writes or not (server or databricks)) else "on another host"


def _on_server(there: SplitResult, store: SplitResult) -> bool:
    """Whether an address has the host and port of the server. Raises ValueError for a malformed one."""
    if "\\" in there.netloc:  # requests takes another host from `other\\@host`
        raise ValueError
    if there.scheme == "mlflow-artifacts":
        there = there._replace(scheme=store.scheme, netloc=there.netloc or store.netloc)
    here, its = ((url.hostname, url.port or _PORTS[url.scheme]) for url in (store, there))
    return here == its


def cache_folder(name: str) -> Path:
    """Return the folder of a data set's unpacked files: under ELBOWROOM_CACHE, else ~/.cache/elbowroom."""
    root = os.environ.get("ELBOWROOM_CACHE")
    return (Path(root).expanduser() if root else Path.home() / ".cache" / "elbowroom") / name
