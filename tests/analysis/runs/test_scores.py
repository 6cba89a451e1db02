"""What is better the higher it is: turned into errors where that is said, refused with the flag to type else."""

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis import Floats
from elbowroom.analysis.report import judge_table, main
from elbowroom.analysis.runs.csv_table import _rises, best_score, check_falls
from elbowroom.tracking.store.errors import BadInput

K = np.arange(1.0, 21)
EXPLAINED = 1 - np.exp(-K / 4)
NOISE = np.random.default_rng(0).standard_normal((50, 20))

RISING = {
    "an explained variance": EXPLAINED,
    "of four dim3": EXPLAINED[:4],
    "an accuracy with noise": 0.3 + 0.5 * EXPLAINED + 0.02 * NOISE[0],
    "a score on its plateau from 4 on": np.minimum(0.2 * K, 0.8) + 0.02 * NOISE[1],
    "a score that gets worse at the end": np.where(K < 12, EXPLAINED, 1.8 - EXPLAINED),
    "percent": 100 * EXPLAINED,
    "a line": 1 + K,
}
FALLING = {
    "an error": 1 / K,
    "an error that rises again a little": 1 / K + 0.01 * K,
    "an error that rises far above its start": np.array([5, 3, 3.2, 3.5, *np.linspace(3.6, 9, 16)]),
    "a constant": np.full(20, 0.3),
    "a constant but for rounding": 0.3 + 1e-16 * K,
    "zero": np.zeros(20),
    "an error with a wild first value": np.array([1.0, 9, *(4 / K[:18])]),
}


@pytest.mark.parametrize("kind", RISING)
def test_a_curve_that_rises(kind: str) -> None:
    assert _rises(RISING[kind])
    assert not _rises(-RISING[kind] + RISING[kind].max())


@pytest.mark.parametrize("kind", FALLING)
def test_a_curve_that_does_not_rise_from_its_start(kind: str) -> None:
    assert not _rises(FALLING[kind])


def test_noise_alone_does_not_rise() -> None:
    assert [n for n in range(50) if _rises(1 + 0.05 * NOISE[n])] == []


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0, 0.2, 1], 1), ([-0.4, 0.1, 0.81], 1), ([0, 100], 100), ([-120, -95.5], 0), ([-3, 0], 0)],
)
def test_the_best_score(scores: list[float], best: float) -> None:
    assert best_score(scores) == best


@pytest.mark.parametrize("scores", [[0.5, 1.01], [99, 100.5], [-5, 3]])
def test_a_score_whose_best_value_is_not_known_is_refused(scores: list[float]) -> None:
    with pytest.raises(
        BadInput, match=r"is not known; allowed are .* else give errors, the best value minus the score"
    ):
        best_score(scores)


def test_a_rising_curve_is_refused_with_the_flag_to_type() -> None:
    def refused(error: Floats) -> str:
        with pytest.raises(BadInput) as raised:
            check_falls("ae", list(range(1, 21)), error[None], "error")
        return str(raised.value)

    assert refused(EXPLAINED) == (
        "the curve 'ae' rises from 0.2212 at dim3 1 to 0.9933 at dim3 20: is it a score (explained variance, R² or "
        "accuracy)? --curve-is score reads error = 1 - score. If it is an error, dim3 1 errs least"
    )
    assert "in percent)? --curve-is score reads error = 100 - score." in refused(100 * EXPLAINED)
    assert "(score without a known best value)? give errors" in refused(100 * K)


def written(folder: Path, error: Floats, extra: str = "") -> str:
    path = folder / "t.csv"
    lines = [f"{k:.0f},{e!r}" for k, e in zip(K.tolist(), error.tolist(), strict=True)]
    path.write_text("\n".join(["dim3,error", *lines, extra]))
    return str(path)


@pytest.mark.parametrize(("scale", "best"), [(1, 1), (100, 100)])
def test_a_table_of_scores_has_the_verdict_of_its_errors(tmp_path: Path, scale: float, best: float) -> None:
    (of_scores,) = judge_table(written(tmp_path, best - scale * np.exp(-K / 4)), curve_is="score")
    (of_errors,) = judge_table(written(tmp_path, np.exp(-K / 4)))
    assert of_scores.note == f"read as scores: error = {best} - score"
    assert of_scores.verdict is not None
    assert of_errors.verdict is not None
    assert of_scores.verdict.criteria == of_errors.verdict.criteria
    assert of_scores.verdict.rule == of_errors.verdict.rule


def test_tables_of_the_wrong_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(error: Floats, *flags: str) -> str:
        assert main(["--curve", written(tmp_path, error), *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    for more in ((), ("--out", str(tmp_path / "out"))):
        assert "--curve-is score reads error = 1 - score" in said(EXPLAINED, *more)
        assert "are they errors? Leave out --curve-is score" in said(1 / K, "--curve-is", "score", *more)
        assert "error must not be negative, got -105; --curve-is score reads" in said(-100 - 5 / K, *more)
    assert "argument --curve-is: invalid choice: 'elbo'" in said(1 / K, "--curve-is", "elbo")
    assert main(["--curve", written(tmp_path, -100 - 5 / K), "--curve-is", "score"]) == 0


def test_runs_of_others_may_have_scores(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    place = store.create_experiment("theirs")
    for k, r2 in zip(range(1, 11), EXPLAINED, strict=False):
        run_id = store.create_run(place).info.run_id
        store.log_param(run_id, "k", k)
        store.log_metric(run_id, "r2", r2)
        store.log_metric(run_id, "elbo", -100 + r2)
        store.set_terminated(run_id)
    given = ["--experiment", "theirs", "--tracking-uri", store.tracking_uri, "--no-log", "--out", "out"]

    def said(metric: str, *flags: str) -> str:
        code = main([*given, "--map", f"dim3=params.k,error=metrics.{metric}", *flags])
        out, err = capsys.readouterr()
        assert code == (2 if err else 0)
        return err or out

    assert "--curve-is score reads error = 1 - score" in said("r2")
    assert said("r2", "--curve-is", "score").startswith("read as scores: error = 1 - score\n")
    curves = Path("out/curves.csv").read_text().splitlines()
    assert [float(line.split(",")[3]) for line in curves[1:]] == pytest.approx(np.exp(-K[:10] / 4).tolist())
    assert "--map dim3=params.k,error=metrics.r2 --curve-is score" in Path("out/report.html").read_text()
    assert "its error is -99.7" in said("elbo")
    assert said("elbo", "--curve-is", "score").startswith("read as scores: error = 0 - score\n")
    assert main([*given, "--curve-is", "score"]) == 2
    assert "curve-is score: allowed with --curve or --map" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.3, 0.25, 0.4, 0.55, 0.7, 0.8, 0.85, 0.88, 0.9, 0.91], "error = 1 - score. If it is an error, dim3 2 errs"),
        ([0.99905 + 0.0001 * k for k in range(9)], "error = 1 - score"),  # high, and of a small range
        ([2, 3, 3.5, 3.8, 4], "score without a known best value"),
        ([1e-63 * k for k in range(1, 10)], "score without a known best value"),
    ],
)
def test_other_scores_are_no_errors(scores: list[float], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check_falls("a", list(range(1, len(scores) + 1)), np.array([scores]), "error")
