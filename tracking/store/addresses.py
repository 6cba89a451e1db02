"""Addresses of stores, runs and files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit


def run_page(experiment_id: str, run_id: str, tab: str = "") -> str:
    """Where the UI shows a run, behind its address. Without the query it shows its side for generative AI around it."""
    return f"#/experiments/{experiment_id}/runs/{run_id}{tab}?workflowType=machine_learning"


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


def cache_folder(name: str) -> Path:
    """Where a data set's unpacked files are kept: under ELBOWROOM_CACHE, else ~/.cache/elbowroom."""
    root = os.environ.get("ELBOWROOM_CACHE")
    return (Path(root).expanduser() if root else Path.home() / ".cache" / "elbowroom") / name


DEFAULT_STORE = "sqlite:///mlflow.db"
