"""The content of a tracking server, read from its database and its disk, not through the server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run

from elbowroom.tracking.store.names import Tag

TIMED = ("fit_seconds", "samples_per_second", "measure_seconds")
OF_ITS_OWN = (Tag.DESCRIPTION, Tag.WORKER, Tag.TRIAL)  # tags that differ from run to run


Kept = dict[str, Any]
"""The content of a run that is the same in each run, with the files of its complete models."""


@dataclass(frozen=True)
class Truth:
    """The folder of a server and its address."""

    folder: Path
    server: str

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder}/mlflow.db")

    def runs(self, experiment: str) -> list[Run]:
        """The runs of an experiment."""
        found = self.client.get_experiment_by_name(experiment)
        return [] if found is None else list(self.client.search_runs([found.experiment_id]))

    def kept(self, run: Run) -> Kept:
        """The content of a run."""
        run_id = run.info.run_id
        histories = {key: self.client.get_metric_history(run_id, key) for key in run.data.metrics}
        models = self.client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
        return {
            "status": run.info.status,
            "params": run.data.params,
            "tags": {k: "" if k in OF_ITS_OWN else v for k, v in run.data.tags.items() if k != Tag.OPENING},
            "metrics": {
                key: sorted((m.step, None if key in TIMED else m.value) for m in history)
                for key, history in histories.items()
            },
            "inputs": sorted((d.dataset.digest, d.tags[0].value) for d in run.inputs.dataset_inputs),
            "artifacts": self._files(f"{run.info.experiment_id}/{run_id}/artifacts"),
            "models": [
                self._files(f"{run.info.experiment_id}/models/{m.model_id}/artifacts")
                for m in models
                if m.status == LoggedModelStatus.READY
            ],
        }

    def _files(self, path: str) -> dict[str, int | None]:
        """Sizes by path; the name of a picture without its time and random part."""
        folder = self.folder / "artifacts" / path
        files: dict[str, Any] = {}
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                name = re.sub(r"\+timestamp\+\d+\+[-0-9a-f]{36}", "", file.relative_to(folder).as_posix())
                assert name not in files, f"{name} is there twice"
                files[name] = None if name in ("MLmodel", "conda.yaml") else file.stat().st_size
        return files
