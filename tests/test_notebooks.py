"""The notebooks: the same as their text, run from top to bottom, and what they print holds on another machine."""

import ast
import re
from importlib import import_module
from pathlib import Path

import jupytext
import pytest
from mlflow import MlflowClient
from nbformat import NotebookNode

from notebooks.execute import HERE, NAMES, executed

pytestmark = pytest.mark.integration

MOST_BYTES = 1_500_000
# A person's or a build's folder, on any system; the addresses of documentation are none.
FOLDER = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|tmp|mnt|opt|var)/|[A-Z]:\\\\")


def stored(name: str) -> NotebookNode:
    return jupytext.read(HERE / f"{name}.ipynb")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def numbers(notebook: NotebookNode) -> dict[str, float]:
    """Return the output of the last cell: a name and a number on each line."""
    outputs = code_cells(notebook)[-1].outputs
    lines = "".join(o.text for o in outputs if o.output_type == "stream").splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines)}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_and_its_text_say_the_same(name: str) -> None:
    notebook, text = stored(name), jupytext.read(HERE / f"{name}.py")
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in text.cells]
    for each in (notebook, text):
        assert each.metadata["jupytext"]["formats"] == "ipynb,py:percent"
        assert each.metadata["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_what_it_imports_is_there(name: str) -> None:
    tree = ast.parse((HERE / f"{name}.py").read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "elbowroom" in str(node.module)]
    missing = [
        alias.name for n in imported for alias in n.names if not hasattr(import_module(str(n.module)), alias.name)
    ]
    assert len(imported) > 5
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_came_from_one_run_without_a_fault_and_is_small_and_nobodys(name: str) -> None:
    notebook = stored(name)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {o.output_type for o in outputs} <= {"stream", "execute_result", "display_data"}
    assert {o.name for o in outputs if o.output_type == "stream"} == {"stdout"}
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert (HERE / f"{name}.ipynb").stat().st_size < MOST_BYTES
    texts = [o.text if o.output_type == "stream" else str(o.get("data", {}).get("text/plain", "")) for o in outputs]
    assert [text for text in texts if FOLDER.search(text)] == []
    assert set(notebook.metadata) == {"jupytext", "kernelspec"}  # no versions
    assert [cell.metadata for cell in notebook.cells if "execution" in cell.metadata] == []  # no times


def hold_autoencoders(n: dict[str, float]) -> None:
    """Relations that every machine's numbers have."""
    assert n["worst_ae_mse"] < n["pca_mse"] < n["mean_mse"] < n["confused_mse"]
    assert n["ae_dim3_10_mse"] < n["worst_ae_mse"]
    assert n["worth_of_ae_2"] > 2
    assert n["worth_of_ae_10"] > 10
    assert n["pca_again_degrees"] < 1e-6
    assert n["pca_other_disparity"] < 1e-6
    assert n["least_affine_between_seeds"] > 0.05
    assert n["least_shared_between_seeds"] > 5 * n["shared_by_chance"]


def hold_vae(n: dict[str, float]) -> None:
    """Relations that every machine's numbers have."""
    assert n["ae_mse"] < n["mean_mse"]
    assert n["vae_mse"] < n["mean_mse"]
    assert n["vae_units_in_use"] == 2
    assert n["collapsed_units_in_use"] == 0
    assert n["collapsed_mse"] == pytest.approx(n["mean_mse"], rel=0.05)
    assert n["mmd_null"] < n["mmd_vae_draws"] < n["mmd_ae_codes"] / 3
    assert n["vae_pushed_by_3_mse"] < n["ae_pushed_by_3_mse"]
    assert max(n["recall_vae_samples"], n["recall_vae_reconstructions"]) < 0.1 < n["recall_real"]


HOLD = {"autoencoders": hold_autoencoders, "vae": hold_vae}


@pytest.mark.parametrize("name", NAMES)
def test_stored_numbers_hold(name: str) -> None:
    HOLD[name](numbers(stored(name)))


@pytest.mark.soak
@pytest.mark.mnist
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(
    name: str, store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    # Else the artifacts would go to a folder of the checkout, where the kernel works.
    experiment = store.create_experiment("notebooks", artifact_location=(tmp_path / "artifacts").as_uri())
    notebook = executed(name)
    HOLD[name](numbers(notebook))
    assert {run.info.status for run in store.search_runs([experiment])} == {"FINISHED"}
