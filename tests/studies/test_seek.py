"""The seek's command line and function: answers, rounds that continue, budgets, and input that it refuses."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elbowroom.studies.execution.next_cells import Cell, Known
from elbowroom.studies.execution.progress import Progress
from elbowroom.studies.options import Options
from elbowroom.studies.scan import main as scan
from elbowroom.studies.seek import Question, main, seek
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import CURVE_PREFIX, Kind, Tag
from tests.conftest import in_this_process
from tests.studies.harness import FLAKY, Capture, Patch, Study, run_through_kills

pytestmark = pytest.mark.integration

RANK, COLUMNS = 3, 12


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with three equally strong factors and little noise: 3 latents keep 99 % of the variance, 2 keep 66 %."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((COLUMNS, RANK)))[0].T
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, rng.standard_normal((900, RANK)) @ basis + 0.03 * rng.standard_normal((900, COLUMNS)))
    return path


@pytest.fixture
def question(rows: Path) -> Question:
    base = RunConfig(dataset=str(rows), dim2=16, epochs=30, batch_size=64)
    return Question(("pca", "linear-ae"), base=base)


def options(study: Study, **more: Any) -> Options:
    places = {"tracking_uri": study.tracking_uri, "storage": study.storage, "experiment": study.experiment}
    return Options(study=study.name, workers=1, **places, **more)


def names(study: Study) -> list[str]:
    return sorted(r.info.run_name for r in study.finished())


@pytest.mark.slow
@pytest.mark.usefixtures("cells_here")
def test_a_seek_goes_on_after_a_budget_and_says_its_answers(filed: Study, question: Question, capsys: Capture) -> None:
    found = seek(replace(question, max_cells=1), options(filed, verbose=True))
    assert (found.complete, found.settled, found.cells) == (True, False, {"pca": 1, "linear-ae": 1})
    out = capsys.readouterr().out
    assert "linear-ae keep:0.90: not settled: dim3 2 (keeps 6" in out
    assert "not settled, --max-cells 1 is spent: the same command with --max-cells 2 goes on" in out
    late = seek(replace(question, timeout=1e-9), options(filed, verbose=True))
    assert (late.complete, late.settled, late.cells) == (True, False, found.cells)
    assert "not settled, --timeout is spent: the same command goes on" in capsys.readouterr().out

    found = seek(question, options(filed, verbose=True))
    assert (found.complete, found.settled) == (True, True)
    assert {model: c["keep:0.90"].choice for model, c in found.choices.items()} == {"pca": RANK, "linear-ae": RANK}
    assert found.choices["linear-ae"]["keep:0.90"].interval == (RANK, RANK)
    assert found.cells == {"pca": 4, "linear-ae": 12}  # 2 | 4 | 3, then three seeds at 1 to 4
    out, err = capsys.readouterr()
    assert re.search(
        r"linear-ae keep:0.90: dim3 2 \(keeps 6\d.?\d? %\) is too small, 4 \(keeps 99.* %\) is enough; 2 ", err
    )
    assert re.search(
        r"linear-ae keeps 90 % of the variance with dim3 3 \(2 is not enough; 95 % interval 3\); 12 cells, \d+ s\n", out
    )
    parent = filed.parent()
    assert f"linear-ae keeps 90 % of the variance with dim3 {RANK}" in parent.data.tags[Tag.DESCRIPTION]
    assert {r.data.tags[Tag.PARENT] for r in filed.runs()} == {parent.info.run_id}
    assert {r.data.tags[Tag.SOUGHT] for r in filed.runs()} == {"true"}
    curve = {m.step for m in filed.client.get_metric_history(parent.info.run_id, f"{CURVE_PREFIX}pca")}
    assert curve == {1, 2, 3, 4}


@pytest.mark.usefixtures("cells_here")
def test_a_scan_and_another_seek_take_the_cells_of_a_seek_over(
    filed: Study, question: Question, capsys: Capture
) -> None:
    question = replace(question, models=("pca",))
    assert seek(question, options(filed)).cells == {"pca": 4}
    before = names(filed)
    shared = ["--dataset", question.base.dataset, "--dim2", "16", "--epochs", "30", "--batch-size", "64"]
    given = ["--models", "pca", "--dim3", "1:4", "--study", "grid", "--workers", "1", *shared]
    assert scan([*given, *filed.command()[5:]]) == 0
    assert "nothing was left to run" in capsys.readouterr().out
    assert len(replace(filed, name="grid").runs()) == 0
    several = replace(question, rules=("keep:0.30", "keep:0.60"))
    by_rule = seek(several, options(replace(filed, name="several"))).choices["pca"]
    assert {rule: choice.choice for rule, choice in by_rule.items()} == {"keep:0.30": 1, "keep:0.60": 2}
    assert names(filed) == before
    assert len(replace(filed, name="several").runs()) == 0


@pytest.mark.usefixtures("cells_here")
def test_rank_trains_cells_without_measures_again(filed: Study, question: Question) -> None:
    plain = replace(question, models=("pca",), max_cells=1)
    assert seek(plain, options(filed)).cells == {"pca": 1}
    asked = replace(plain, max_cells=None, rules=("rank",), base=replace(question.base, measure="yes"))
    found = seek(asked, options(replace(filed, name="measured")))
    assert (found.choices["pca"]["rank"].choice, found.cells) == (RANK, {"pca": 6})  # 2 | 4 | 8, 12 | 3 | 1
    assert len(replace(filed, name="measured").runs()) == 6


@pytest.mark.usefixtures("cells_here")
def test_corrected_labels_in_the_same_file_do_not_mix_with_those_of_finished_cells(
    filed: Study, tmp_path: Path, rows: Path
) -> None:
    table, kinds = np.load(rows)[:300], np.tile([0, 1], 150)
    head = ",".join([*(f"x{i}" for i in range(COLUMNS)), "kind"])
    path = tmp_path / "mine.csv"
    base = RunConfig(dataset=str(path), label_column="kind", val_size=60)
    asked = Question(("pca",), rules=("features",), base=base, max_cells=1)
    np.savetxt(path, np.column_stack([table, kinds]), "%.6g", ",", header=head, comments="")
    assert seek(asked, options(filed)).cells == {"pca": 1}
    np.savetxt(path, np.column_stack([table, kinds[::-1]]), "%.6g", ",", header=head, comments="")
    with pytest.raises(BadInput, match="finished cells of mine have other labels; use another --experiment"):
        seek(asked, options(filed))
    assert len(filed.finished()) == 1


@pytest.mark.usefixtures("cells_here")
def test_a_round_that_was_stopped_is_completed_and_that_of_another_question_is_left(
    filed: Study, question: Question, monkeypatch: Patch
) -> None:
    ways = {(): (1, 2), (1, 2): (3, 4)}

    def choose_next(known: Mapping[str, Known], *_: Any) -> list[Cell]:
        """Go another way from a round that is not complete."""
        there = tuple(sorted(known["pca"].cells))
        return [Cell("pca", k, 0) for k in ways.get(there, (9,) if len(there) % 2 else ())]

    def stop_after(cells: int, asked: Question) -> None:
        left, shown = Counter({"cells": cells}), Progress.__call__

        def interrupt(self: Progress, *of_job: Any) -> None:
            shown(self, *of_job)
            left["cells"] -= 1
            if not left["cells"]:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Progress, "__call__", interrupt)
            with pytest.raises(KeyboardInterrupt):
                seek(asked, options(filed))

    monkeypatch.setattr("elbowroom.studies.seek.next_cells", choose_next)
    question = replace(question, models=("pca",))
    stop_after(1, question)
    stop_after(2, question)  # the second of the first round, and the first of the second
    assert seek(question, options(filed)).cells == {"pca": 4}
    assert names(filed) == [f"pca-d{k}-s0" for k in (1, 2, 3, 4)]

    filed = replace(filed, experiment="other", name="other")
    stop_after(1, question)
    seek(replace(question, rules=("keep:0.60",), max_cells=2), options(filed))
    assert names(filed)[:2] == ["pca-d1-s0", "pca-d9-s0"]


@pytest.mark.slow
@pytest.mark.usefixtures("cells_here")
def test_a_cell_that_fails_ends_the_search_of_its_model_alone(
    filed: Study, question: Question, monkeypatch: Patch, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(FLAKY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = replace(question, models=("pca", "net:flaky"), base=replace(question.base, batch_size=128, lr=0.03))
    found = seek(asked, options(filed))
    assert (found.complete, found.settled) == (False, False)
    assert [f.reason for f in found.failures] == ["no threes"] * len(found.failures) != []
    assert found.choices["pca"]["keep:0.90"].choice == RANK
    assert filed.parent().info.status == "FAILED"
    (tmp_path / "mended").touch()
    assert seek(replace(asked, max_cells=3), options(filed)).complete
    assert filed.parent().info.status == "FINISHED"


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
def test_a_seek_whose_processes_are_killed_comes_out_as_if_they_had_not_been(
    filed: Study, question: Question, monkeypatch: Patch, workers: int
) -> None:
    """It trains the same cells to the same bits, and gives the same answer."""
    question = replace(question, models=("pca", "linear-ae"), base=replace(question.base, epochs=400))
    killed = replace(filed, module="studies.seek")
    shared = ["--dataset", question.base.dataset, "--dim2", "16", "--epochs", "400", "--batch-size", "64"]
    run_through_kills(killed, ["--models", "pca,linear-ae", *shared, "--workers", str(workers)], deaths=6)
    with monkeypatch.context() as patched:
        in_this_process(patched)
        calm = replace(filed, experiment="calm", name="calm")
        answer = seek(question, replace(options(calm), workers=workers))
    killed.check_complete(sum(answer.cells.values()))
    assert (names(killed), killed.errors()) == (names(calm), calm.errors())
    assert seek(question, replace(options(killed), workers=workers)).choices == answer.choices


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--rule", "gain:0.05"], "rule gain:0.05 reads a whole curve, which studies.scan makes; allowed: keep, psnr"),
        (["--rule", "keep:2"], "rule 'keep:2': allowed: keep:N"),
        (["--rule", "features"], "rule features needs labels, and rows has none: --label-column names their column"),
        (["--rule", "generate", "--models", "pca,ae"], "rule generate: generate is for models with an ELBO"),
        (["--rule", "rank"], "rule rank reads errors of hidden entries, which runs with --measure yes have: add it"),
        (["--rule", "rank", "--models", "vae", "--measure", "yes"], "rule rank: rank is not measured for a model with"),
        (["--models", "pca,pca"], "models and rules: each may be given once"),
        (["--within", "0"], "within must be a whole number of at least 1"),
        (["--seeds", "2"], "seeds must be at least 3: fewer do not show how much trainings differ"),
        (["--timeout", "soon"], "timeout 'soon' is no time; allowed: 90s, 30m or 2h"),
        (["--models", "nested-ae"], "nested-ae: one training gives its whole curve: python -m tracking.train"),
        (["--models", "nothing"], "model 'nothing'"),
        (["--max-dim3", "0"], "max-dim3 must be a whole number of at least 1"),
        (["--max-cells", "x"], "max-cells must be a whole number of at least 1"),
    ],
)
def test_refused_in_one_line(given: list[str], reason: str, rows: Path, filed: Study, capsys: Capture) -> None:
    assert main(["--dataset", str(rows), *given, *filed.command()[5:]]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert filed.runs(Kind.STUDY) == []


def test_a_question_is_checked_where_it_is_made() -> None:
    with pytest.raises(BadInput, match="models and rules must not be empty"):
        Question(models=())
    assert Question().search.rules[0].text == "keep:0.90"
