"""A table of any program: read, judged, refused; scores turned into errors where that is said, refused else."""

import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis import Floats
from elbowroom.analysis.report import judge_table, main
from elbowroom.analysis.runs.comparison import assemble
from elbowroom.analysis.runs.csv_table import _rises, best_score, check_falls, read_rows
from elbowroom.tracking.store.errors import BadInput


def csv(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


def written(folder: Path, error: Floats) -> str:
    lines = [f"{k},{e!r}" for k, e in enumerate(error.tolist(), 1)]
    return str(csv(folder, "\n".join(["dim3,error", *lines])))


@pytest.mark.parametrize(
    ("text", "dim3", "errors"),
    [
        ("dim3,error,seed,model\n2,4,0,a\n3,3,0,a\n3,1,1,a\n2,2,1,a\n2,9,0,b\n", [2, 3], [[4, 3], [2, 1]]),
        ("error, dim3,model\n4,2,a\n3,3,a\n2,2,a\n1,3,a\n", [2, 3], [[4, 3], [2, 1]]),  # repeated dim3 are seeds
        ("dim3,error,seed,model\n2,4,0,a\n3,3,0,a\n2,8,1,a\n", [2, 3], [[4, 3]]),
        ("dim3,error,seed,model\n2,4,0,a\n2,6,2,a\n3,3,1,a\n", [2, 3], [[5, 3]]),  # no common seed: the means
    ],
)
def test_seeds_are_rows_and_models_are_apart(
    tmp_path: Path, text: str, dim3: list[int], errors: list[list[float]]
) -> None:
    rows, note = read_rows(csv(tmp_path, text))
    found, values = assemble((row.dim3, row.seed, row.error) for row in rows if row.model == "a")
    assert (found, values.tolist(), note) == (dim3, errors, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no column dim3 and error (it is empty); needed: dim3,error"),
        ("dim3,error\n", "a header and no rows"),
        ("k,loss\n1,2\n", "no column dim3 and error (it has k, loss)"),
        ("dim3,loss\n1,2\n", "no column error (it has dim3, loss)"),
        ("dim3,error\n2\n", "line 2: error must be a number, got ''"),
        ("dim3,error\n2,nan\n", "line 2: error must be a number, got 'nan'"),
        ("dim3,error\n2,-1\n", "error must not be negative, got -1; --curve-is score reads"),
        ("dim3,error\n2.5,1\n", "line 2: dim3 must be a whole number from 0, got 2.5"),
        ("dim3,error\n2,0,5\n", "line 2: has more cells than the header"),  # a decimal comma
        ("dim3,error,error\n2,1,2\n", "has 2 columns error"),
        ("dim3,error,seed\n2,1,0.4\n", "line 2: seed must be a whole number, got 0.4"),
        ("dim3,error,seed\n2,1,0\n2,2,0\n", "line 3: dim3 2, seed 0 is there already, in line 2"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    assert main(["--curve", str(csv(tmp_path, text))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert why in line


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"dim3,error\n2,\xff\xfe\n")
    for name, why in (("none.csv", "No such file"), ("t.csv", "no CSV file in UTF-8"), ("", "Is a directory")):
        with pytest.raises(BadInput, match=why):
            read_rows(tmp_path / name)


def test_the_choice_and_the_verdict_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    k = np.arange(2, 21)
    corner = np.where(k < 8, 1 - 0.1 * (k - 2), 0.4 - 0.01 * (k - 8))
    lines = [f"{a},{b!r},corner" for a, b in zip(k.tolist(), corner.tolist(), strict=True)]
    lines += [f"{a},{1 / a!r},smooth" for a in range(2, 31)]
    lines += ["0,1,corner", "2,1,short", "3,1,short"]
    assert main(["--curve", str(csv(tmp_path, "\n".join(["dim3,error,model", *lines])))]) == 0
    out = capsys.readouterr().out
    assert "a clear elbow" in out
    assert "corner: 90 % of the variance not reached by 20, which keeps 72 %: extend the range" in out
    assert (
        "smooth keeps 90 % of the variance with dim3 10 (9 is not enough; 95 % interval 10, with the noise of " in out
    )
    assert "no verdict on an elbow: a curve of 2 dim3 can't be judged: it takes 4" in out
    assert list(tmp_path.iterdir()) == [tmp_path / "t.csv"]


def test_the_mean_rows_error_is_given_or_asked_for_and_never_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(csv(tmp_path, "\n".join(["dim3,error", *(f"{k},{1 / k!r}" for k in range(2, 21))])))
    assert main(["--curve", path]) == 0
    assert "no share of the variance without the mean row's error: give it as a row with dim3 0" in (
        capsys.readouterr().out
    )
    assert main(["--curve", path, "--rule", "unexplained:0.10"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("error keeps 90 % of the variance with dim3 10 ")
    assert "errors read as shares of the mean row's error" in out
    path = str(csv(tmp_path, "dim3,error\n2,3\n3,2\n4,1.5\n5,1\n"))
    assert main(["--curve", path, "--rule", "keep:0.90"]) == 2
    assert "an error of 3 is no share of the mean row's" in capsys.readouterr().err
    path = str(csv(tmp_path, "dim3,error\n0,0\n3,2\n4,1.5\n5,1\n"))
    assert main(["--curve", path]) == 2
    assert "the mean row's error, of dim3 0, must be positive" in capsys.readouterr().err
    path = str(csv(tmp_path, "dim3,error,model\n0,1,pca\n3,.2,pca\n0,100,ae\n3,20,ae\n"))
    assert main(["--curve", path]) == 2
    assert "the mean row's error, of dim3 0, differs between models, from 1 to 100" in capsys.readouterr().err


def test_what_the_verdict_on_a_table_leaves_out_is_said(tmp_path: Path) -> None:
    rows = [f"{k},{1 / k + seed * k % 3 / 9!r},{seed}" for k in range(2, 14) for seed in range(1 if k > 11 else 2)]
    (found,) = judge_table(csv(tmp_path, "\n".join(["dim3,error,seed", *rows])))
    assert found.note.startswith(
        "the elbow is judged without dim3 12 to 13, where seeds differ; uncalibrated: the seeds"
    )


def test_gains_of_few_dim3_are_not_told_from_noise(tmp_path: Path) -> None:
    (found,) = judge_table(written(tmp_path, 1 / np.arange(1.0, 8)), rule="gain:0.05")
    assert found.choice.missing == "gains are told from noise by 8 dim3 or more, here are 7"


def test_a_rising_error_below_the_mean_rows_is_no_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rising = [f"{k},{0.06 + 0.01 * k!r}" for k in range(1, 12)]
    assert main(["--curve", str(csv(tmp_path, "\n".join(["dim3,error", "0,1", *rising])))]) == 0
    assert capsys.readouterr().out.startswith("error keeps 90 % of the variance with dim3 1 ")


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


def test_what_rises_from_its_start() -> None:
    assert {kind: _rises(curve) for kind, curve in (RISING | FALLING).items()} == (
        dict.fromkeys(RISING, True) | dict.fromkeys(FALLING, False)
    )
    assert [kind for kind, curve in RISING.items() if _rises(curve.max() - curve)] == []
    assert [n for n in range(50) if _rises(1 + 0.05 * NOISE[n])] == []  # noise alone


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0, 0.2, 1], 1), ([-0.4, 0.1, 0.81], 1), ([0, 100], 100), ([-120, -95.5], 0), ([-3, 0], 0)],
)
def test_the_best_score(scores: list[float], best: float) -> None:
    assert best_score(scores) == (best, f"read as scores: error = {best} - score")


@pytest.mark.parametrize("scores", [[0.5, 1.01], [99, 100.5], [-5, 3]])
def test_a_score_whose_best_value_is_not_known_is_refused(scores: list[float]) -> None:
    with pytest.raises(BadInput, match=r"is not known; allowed are .* else give errors"):
        best_score(scores)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (
            EXPLAINED,
            "the curve 'ae' rises from 0.2212 at dim3 1 to 0.9933 at dim3 20: is it a score (explained variance, R² or "
            "accuracy)? --curve-is score reads error = 1 - score. If it is an error, dim3 1 errs least",
        ),
        (100 * EXPLAINED, "in percent)? --curve-is score reads error = 100 - score."),
        (100 * K, "(score without a known best value)? give errors"),
        (np.array([0.3, 0.25, 0.4, 0.55, 0.7, 0.8, 0.85, 0.88, 0.9, 0.91]), "If it is an error, dim3 2 errs"),
        (0.99905 + 0.0001 * K[:9], "error = 1 - score"),  # high, and of a small range
        (1e-63 * K[:9], "score without a known best value"),
    ],
)
def test_a_rising_curve_is_refused_with_the_flag_to_type(scores: Floats, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        check_falls("ae", list(range(1, len(scores) + 1)), scores[None], "error")
    assert said in str(raised.value)


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


def test_many_rows_without_seeds_are_read_in_seconds(tmp_path: Path) -> None:
    began = time.process_time()
    rows, _ = read_rows(csv(tmp_path, "dim3,error\n" + "2,1\n" * 60_000))
    assert rows[-1].seed == 59_999
    assert time.process_time() - began < 5
