"""The assignment's page: its sections, its numbers, and what it makes of runs that lack something or lie."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis import assignment
from elbowroom.analysis.figures.assignment import figures_of
from elbowroom.analysis.latent_space.answers import Shelf, _spread, answer, measured
from elbowroom.analysis.pages import assignment as page_text
from elbowroom.analysis.runs.comparison import compare
from elbowroom.analysis.runs.query import read
from elbowroom.tracking.store.names import Artifact, Kind, Metric, Source, Tag, sample_artifact
from tests.analysis.example_runs import log
from tests.analysis.latent_space.test_answers import CODES, METRICS, N, log_measured

pytestmark = pytest.mark.integration

RNG = np.random.default_rng(1)
PICTURES = {
    Artifact.ORIGINALS: RNG.random((16, 64)),
    Artifact.RECONSTRUCTIONS: RNG.random((16, 64)),
    Artifact.DRAWS: RNG.random((3, 36, 64)),
    Artifact.PLANE: RNG.random((15, 15, 64)),
    Artifact.PLANE_TICKS: np.tile(np.linspace(-2, 2, 15), (2, 1)),
    Artifact.INTERPOLATIONS: RNG.random((5, 11, 64)),
    **{
        sample_artifact(source, kind): RNG.random(50 if kind == "nearest_mse" else (16, 64))
        for source in Source
        for kind in ("samples", "nearest", "nearest_mse")
    },
}
VAE = {
    Artifact.CODES_SAMPLED: CODES.astype(np.float32),
    Artifact.CODES_SD: np.full((N, 2), 0.3, np.float32),
    Artifact.KL_BY_DIM: np.array([0.5, 2.0]),
}
PCA = {
    Artifact.CODES_REFIT: (CODES * [1, -1]).astype(np.float32),
    Artifact.SPECTRUM: np.linspace(9, 0.1, 64),
    Artifact.PCA_CURVE: np.tile(np.linspace(0.9, 0, 65)[:, None], 2),
}
REFIT = {Metric.REFIT_DEGREES: 0, Metric.OTHER_DEGREES: 1e-9, Metric.FLIPPED: 1, Metric.RANDOMIZED_DEGREES: 0.5}


def log_all(client: MlflowClient, folder: Path, *, model_of: Mapping[str, str] | None = None) -> None:
    """A PCA run and two each of an autoencoder and a VAE at dim3 2, measured, and a curve beside them."""
    names = {"pca": "pca", "ae": "ae", "vae": "vae"} | dict(model_of or {})
    shape = {Tag.IMAGE_SHAPE: "8x8"}
    solved = shape | {Tag.AUTO_SOLVER: "covariance_eigh"}
    log_measured(client, folder, model=names["pca"], test=0.4, arrays=PICTURES | PCA, metrics=REFIT, tags=solved)
    active = {Metric.SAMPLED_MSE: 0.3}
    for seed in range(2):
        given: dict[str, Any] = {"seed": seed, "tags": shape}
        log_measured(client, folder, model=names["ae"], test=0.2, arrays=PICTURES, **given)
        log_measured(client, folder, model=names["vae"], test=0.25, arrays=PICTURES | VAE, metrics=active, **given)
    few = {name: PICTURES[name] for name in (Artifact.ORIGINALS, Artifact.RECONSTRUCTIONS)}
    for dim3 in range(3, 8):
        for model in names.values():
            log(client, model=model, dim3=dim3, error=1 / dim3, test=1 / dim3, arrays=few, folder=folder, tags=shape)


def write_page(store: MlflowClient, out: Path, **asked: Any) -> None:
    """Write the page without logging it."""
    assignment.report(experiment="e", tracking_uri=store.tracking_uri, out=out, log=False, **asked)


def test_the_page_has_four_sections_with_figures_and_is_logged_and_the_same_again(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_all(store, tmp_path / "arrays")
    first, second = tmp_path / "first", tmp_path / "second"
    given = ["--experiment", "e", "--show", "2", "--tracking-uri", store.tracking_uri]
    assert assignment.main([*given, "--out", str(first)]) == 0
    assert "logged as run" in capsys.readouterr().out
    place = store.get_experiment_by_name("e").experiment_id
    (run,) = store.search_runs([place], f"tags.`{Tag.KIND}` = '{Kind.ANALYSIS}'")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "assignment")
    assert assignment.main([*given, "--out", str(second), "--no-log"]) == 0
    assert "logged" not in capsys.readouterr().out
    page = (first / "assignment.html").read_text()
    figures = sorted(path.name for path in (first / "assignment-figures").iterdir())
    assert [name.removesuffix(".png")[3:] for name in figures] == [
        "error", "equivalent", "pictures",
        "came-pca-scikit-learn", "came-pca-another-exact-solver",
        "aligned-pca-another-exact-solver", "plane-pca-scikit-learn", "codes-pca",
        "came-ae-seed-0", "came-ae-seed-1", "aligned-ae-seed-1",
        "plane-ae-seed-0", "plane-ae-seed-1", "codes-ae", "posterior-ae", "prior-ae",
        "came-vae-seed-0", "came-vae-seed-1", "aligned-vae-seed-1",
        "plane-vae-seed-0", "posterior-vae", "prior-vae",
        "samples-PCA-equation-2-2", "interpolations-pca-2",
        "samples-AE-N-0-I-2", "samples-AE-mixture-2", "interpolations-ae-2",
        "samples-VAE-N-0-I-2", "interpolations-vae-2", "draw-0-vae-2", "draw-1-vae-2", "draw-2-vae-2",
        "distances-2", "robustness", "kl",
    ]  # fmt: skip
    assert len(set(re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)', page))) <= len(figures)
    assert page.count("<img ") >= len(figures)
    assert page.count('<div class="opening">') == 4
    assert "PCA run twice gives the same subspace" in page
    assert "<td>0.500 [0.500, 0.500]</td>" in page  # the autoencoder's .2 over .4
    assert "Missing or unusable" not in page
    assert not re.search(r"https?://(?!127|www.w3.org/2000/svg)", page)
    live = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])  # type: ignore[index]
    assert {name: [m["label"] for m in view["models"]] for name, view in live.items()} == {
        name: ["pca", "ae", "vae"] for name in ("c1-codes", "c1-pictures")
    }
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]  # type: ignore[index]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    for name in ("assignment.html", "assignment.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    found = json.loads((first / "assignment.json").read_text())
    assert found["answers"]["health"][0]["kl_by_dim"] == [[2.0, 0.5]] * 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--show", "²"], "error: show '²': allowed are whole numbers from 1, like 2,10"),
        (["--show", "3"], "error: experiment 'e' has no finished run with --measure at dim3 3"),
        (["--experiment", "none"], "error: no experiment 'none'"),
        (["--tracking-uri", "sqlite:///gone.db"], "error: tracking URI sqlite:///gone.db: there is no such file"),
        (["--out", "file"], "error: out file: can't be written"),
    ],
)
def test_bad_input_is_one_line(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    (tmp_path / "file").touch()
    log_measured(store, tmp_path / "arrays")
    assert assignment.main(["--experiment", "e", "--tracking-uri", store.tracking_uri, *more]) == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_what_is_missing_is_on_the_page_and_the_rest_goes_on(store: MlflowClient, tmp_path: Path) -> None:
    log_measured(store, tmp_path / "arrays", labels=None)  # no pictures at all, no labels, one run
    write_page(store, tmp_path, show=(2, 10))
    page = (tmp_path / "assignment.html").read_text()
    assert "ae has 1 measured run at dim3 2: it takes two to compare." in page
    assert "ae at dim3 10 was not measured" in page
    assert "measure/draws.npy is" not in page  # that of a VAE alone is looked for
    assert "measure/plane.npy is not in the store" in page
    assert "no labels" in page
    assert "1. The autoencoder" in page


def test_the_wanted_comparison_is_taken_and_the_others_are_named(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment, "figures_of", lambda *_: {})
    log_all(store, tmp_path / "arrays")
    log_measured(store, tmp_path / "arrays", tags={Tag.DATASET: "iris", Tag.DIGEST: "d-iris"})
    other = log(store, model="ae", dim3=2, error=0.1, epochs=3, metrics=METRICS)
    write_page(store, tmp_path, show=(2,), epochs=3)
    assert other in json.loads((tmp_path / "assignment.json").read_text())["runs"]
    write_page(store, tmp_path, show=(2,))
    page = (tmp_path / "assignment.html").read_text()
    for name in ("iris, 20 epochs", "digits, 3 epochs"):
        assert f"{name} was measured too, and is not on this page" in page


def test_the_ratio_to_pca_is_the_reports(store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings that differ by 0.1 each way at 3 dim3: t at 3 degrees of freedom, 3.182, times 0.1; and no rounding."""
    monkeypatch.setattr(assignment, "figures_of", lambda *_: {})
    for dim3 in (2, 3, 4, 5):
        log_measured(store, tmp_path / "arrays", model="pca", dim3=dim3, test=0.4 if dim3 < 5 else 1e-15)
        for seed, test in enumerate((0.36, 0.44) if dim3 < 5 else (1e-4,)):
            log_measured(store, tmp_path / "arrays", model="ae", dim3=dim3, test=test, seed=seed)
    write_page(store, tmp_path, show=(2, 5))
    page = (tmp_path / "assignment.html").read_text()
    errors = r"<td>ae</td><td>(\d)</td><td>[^<]*\[[^<]*</td><td>([^<]*)</td>"
    assert re.findall(errors, page)[-2:] == [("2", "1.00 [0.727, 1.37]"), ("5", "–")]


def test_nothing_measured_is_a_dash() -> None:
    assert page_text._plus_minus(None) == page_text._estimate(None) == page_text._fixed(None) == "–"
    assert page_text._sharpness(_spread([0.3]), None) == "–"
    assert page_text._sharpness(_spread([0.3]), _spread([0.6])) == "50.0 %"


def test_a_page_of_one_dimension_and_of_collapsed_models(store: MlflowClient, tmp_path: Path) -> None:
    flat = PICTURES | {Artifact.PLANE: RNG.random((1, 15, 64)), Artifact.PLANE_TICKS: np.linspace(-2, 2, 15)[None]}
    for seed in range(2):
        line = CODES[:, :1] * (-1) ** seed
        log_measured(store, tmp_path / "arrays", seed=seed, dim3=1, codes=line, arrays=flat)
        collapsed = {Artifact.CODES_SAMPLED: RNG.standard_normal((N, 1)), Artifact.KL_BY_DIM: np.zeros(1, np.float32)}
        log_measured(
            store, tmp_path / "arrays", model="vae", seed=seed, dim3=1, codes=np.zeros((N, 1)),
            arrays=flat | collapsed, metrics={Metric.SAMPLED_MSE: 0.1},
        )  # fmt: skip
    write_page(store, tmp_path, show=(1,))
    page = (tmp_path / "assignment.html").read_text()
    for said in ("no latent carries anything", "The VAE collapsed at dim3 1", "infinite: codes lie in fewer"):
        assert said in page
    assert len(list((tmp_path / "assignment-figures").iterdir())) >= 8


def test_arrays_that_are_not_what_they_should_be_are_named(store: MlflowClient, tmp_path: Path) -> None:
    lies = PICTURES | VAE | {
        Artifact.DRAWS: RNG.random((7, 36, 64)),
        Artifact.PLANE_TICKS: RNG.random((5, 3)),
        Artifact.ROBUSTNESS: RNG.random((4, 9)),
        Artifact.LABELS: np.full(N, 2**60),
        sample_artifact(Source.OWN): np.array([["text"]]),
    }  # fmt: skip
    tags = {Tag.IMAGE_SHAPE: "8xhigh", "elbowroom.model.beta": "much"}
    for seed in range(2):
        run_id = log_measured(
            store, tmp_path / "arrays", model="vae", seed=seed, arrays=lies, tags=tags,
            metrics={Metric.SAMPLED_MSE: 0.3},
        )  # fmt: skip
        store.log_param(run_id, "dim1", "many")
    write_page(store, tmp_path, show=(2,))
    page = (tmp_path / "assignment.html").read_text()
    assert "figure planes vae: the arrays do not fit it" in page
    assert "measure/samples_own.npy is unusable" in page
    assert "no labels" in page
    assert "1. The autoencoder" in page


def test_codes_of_many_dimensions_are_drawn_on_one_plane(store: MlflowClient, tmp_path: Path) -> None:
    codes = RNG.standard_normal((N, 4)) * [1, 4, 2, 3]
    turned = codes @ np.linalg.qr(RNG.standard_normal((4, 4)))[0]
    for seed, z in enumerate((codes, turned, codes)):
        log_measured(store, tmp_path / "arrays", seed=seed, dim3=4, codes=z)
    (comparison,) = compare(read(store, "e").cells)
    shelf = Shelf()
    figures = figures_of(measured(comparison, (4,)), answer(comparison, (4,), shelf), shelf)
    first, second = (figures[f"aligned ae seed {seed}"].figure.axes[0] for seed in (1, 2))  # type: ignore[union-attr]
    dots = [panel.collections[0].get_offsets().data for panel in (first, second)]
    np.testing.assert_allclose(*dots, atol=1e-4)  # turned back, and not mirrored by the projection
    assert (first.get_xlim(), first.get_ylim()) == (second.get_xlim(), second.get_ylim())
    assert first.get_xlabel() == "principal axis 1"
