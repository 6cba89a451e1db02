"""What a run was told, held at its end against what the server has kept of it.

A server's `log-batch` answers with nothing at all, and an upload with anything: whatever stands between, a login
page or a proxy with a full disk, can swallow a metric or a file and say 200. So a run that is recorded over HTTP is
read back before it is called FINISHED. A database raises where it does not keep something, and is believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import FileInfo, Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES

from .asking import Garbled

PICTURES = "images"  # where MLflow puts what `log_image` logs, two files a picture
FILES_OF_A_PICTURE = 2
NAMED = 3  # of the things that are missing

Listing = Callable[[str | None], list[FileInfo]]


@dataclass
class Said:
    """What a run was told."""

    params: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    steps: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Of each metric."""
    inputs: set[str] = field(default_factory=set)
    """The contexts of its data sets."""
    files: dict[str, int] = field(default_factory=dict)
    """Bytes by path."""
    pictures: int = 0
    models: list[str] = field(default_factory=list)

    def check(self, client: MlflowClient, run: Run) -> None:
        """Raise Garbled where the store lacks any of it; `run` as it is there now."""
        lost = list(self._lost(client, run))
        if lost:
            more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
            raise Garbled(f"the server said that it kept {', '.join(lost[:NAMED])}{more}, and has not")

    def _lost(self, client: MlflowClient, run: Run) -> Iterator[str]:
        data, run_id = run.data, run.info.run_id
        yield from (f"param {name}" for name in sorted(self.params - set(data.params)))
        wanted = self.tags | ({MLFLOW_LOGGED_IMAGES} if self.pictures else set())
        yield from (f"tag {name}" for name in sorted(wanted - set(data.tags)))
        for name, steps in self.steps.items():
            if name not in data.metrics:
                yield f"metric {name}"
            elif len(steps) > 1:
                lacking = steps - {m.step for m in client.get_metric_history(run_id, name)}
                if lacking:
                    yield f"metric {name} at step {min(lacking)}"
        there = {tag.value for d in run.inputs.dataset_inputs for tag in d.tags} if run.inputs else set()
        yield from (f"data set {context}" for context in sorted(self.inputs - there))
        artifacts = listing(client, run.info.artifact_uri)
        yield from differing(self.files, artifacts)
        if self.pictures:
            pictures = artifacts(PICTURES)
            if len(pictures) < FILES_OF_A_PICTURE * self.pictures:
                yield f"{self.pictures} pictures"
        linked = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
        yield from (f"model {model}" for model in self.models if model not in linked)


def listing(client: MlflowClient, artifact_uri: str) -> Listing:
    """What is in a folder there, in one request; the client's own `list_artifacts` makes five of it."""
    return get_artifact_repository(artifact_uri, tracking_uri=client.tracking_uri).list_artifacts


def differing(files: Mapping[str, int], artifacts: Listing) -> Iterator[str]:
    """Those of the files, bytes by path, that are not among the artifacts, or are of another size."""
    folders = sorted({str(Path(path).parent) for path in files})
    there: dict[str, int | None] = {}
    for folder in folders:
        found = artifacts(None if folder == "." else folder)
        there |= {file.path: file.file_size for file in found if not file.is_dir}
    for path, size in files.items():
        if path not in there:
            yield f"file {path}"
        elif there[path] not in (None, size):
            yield f"file {path} ({there[path]} bytes of {size})"


def sizes(folder: Path) -> dict[str, int]:
    """The files below a folder, bytes by path."""
    return {f.relative_to(folder).as_posix(): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}
