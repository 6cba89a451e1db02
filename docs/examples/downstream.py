"""A program on top of the packages: every public function once, with its types. `mypy --strict` passes on it.

python docs/examples/downstream.py    # on scikit-learn's digits; leaves mlflow.db, optuna.db and reports/ here
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from elbowroom.analysis.assignment import Report as AssignmentReport
from elbowroom.analysis.elbow import Verdict, judge
from elbowroom.analysis.report import Judged, judge_table
from elbowroom.analysis.reporting import report, report_table
from elbowroom.analysis.reporting.experiment import Report
from elbowroom.models import Reducer
from elbowroom.studies.assignment import Answer, answer, assignment_grid
from elbowroom.studies.grid import Grid
from elbowroom.studies.options import Options
from elbowroom.studies.oracles import Finding, ask
from elbowroom.studies.scan import Estimate, ScanResult, estimate, scan
from elbowroom.studies.tune import Search, TuneResult, tune
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.estimator import LatentTransformer
from elbowroom.tracking.logged_model import load_reducer
from elbowroom.tracking.run import RunResult, execute
from elbowroom.tracking.store.errors import BadInput

BASE = RunConfig(model="ae", dataset="digits", dim2=16, dim3=2, epochs=2, batch_size=64)


def codes(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """As a transformer."""
    transformer = LatentTransformer("ae", dim3=3, dim2=16, epochs=2, random_state=0).fit(rows)
    score: float = transformer.score(rows)
    names: npt.NDArray[np.object_] = transformer.get_feature_names_out()
    print(f"{', '.join(map(str, names))}: score {score:.3f}, samples {transformer.sample(2).shape}")
    return transformer.inverse_transform(transformer.transform(rows))


def run_and_load() -> Reducer:
    """One run, and its model back."""
    done: RunResult = execute(BASE, on_epoch=lambda epoch: print(f"epoch {epoch.number} of {epoch.total}"))
    error: float = done.metrics["test/mse"]
    print(f"run {done.run_id}: {error:.4f}")
    return load_reducer(done.run_id)


def study() -> Mapping[str, Verdict]:
    """What it would cost, the curves, and the report."""
    grid = Grid.of(["pca", "ae"], range(2, 7), seeds=1, base=BASE)
    cost: Estimate = estimate(grid)
    print(f"{cost.left} cells to run on {cost.workers} workers")
    found: ScanResult = scan(grid, Options(verbose=True))
    for point in found.points:
        print(point.model, point.dim3, point.mean)
    for failure in found.failures:
        print(failure.name, failure.reason)
    written: Report = report(rule="unexplained:0.10", log=False)
    print(written.page, [comparison.name for comparison in written.findings.comparisons])
    return found.verdicts


def tuned() -> RunConfig:
    """The best of a few trials."""
    found: TuneResult = tune(Search.of(BASE, dim3=2, trials=2))
    return found.best[0].config


def table(path: Path) -> int | None:
    """The choice for a curve from anywhere."""
    path.write_text("dim3,error\n" + "\n".join(f"{k},{1 / k}" for k in range(1, 13)))
    judged: list[Judged] = judge_table(path)
    page: Path = report_table(path, out="reports/table").page
    verdict: Verdict = judge(np.arange(1, 13), [[1 / k for k in range(1, 13)]])
    assert judged[0].verdict is not None
    assert judged[0].verdict.choice == verdict.choice
    print(page, judged[0].text)
    return verdict.choice


def the_rest() -> list[str]:
    """The assignment's page, and what theory knows."""
    page: Answer = answer(assignment_grid("digits", show=(2,), repeats=2))
    there: AssignmentReport = page.report
    findings: dict[str, Finding] = ask()
    return [str(there.page), *(f"{name}: {finding.says}" for name, finding in findings.items())]


def main() -> None:
    """All of it but the last, which takes minutes."""
    rows = np.random.default_rng(0).random((100, 6))
    assert codes(rows).shape == rows.shape
    print(run_and_load().parameter_count(), {name: verdict.kind for name, verdict in study().items()})
    print(tuned(), table(Path("curve.csv")))
    try:
        RunConfig(epochs=0)
    except BadInput as error:
        print(error)


if __name__ == "__main__":
    main()
