"""The comparison of a seek with Bayesian optimisation counts what it says."""

import json
from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks import seek
from benchmarks.simulated_seek import FALLS, LEVEL, SHAPES, drawn


@pytest.mark.parametrize("kind", [*FALLS, *SHAPES])
def test_a_drawn_curve_falls_and_crosses_the_level_at_its_answer(kind: str) -> None:
    for draw in range(20):
        curve = drawn(kind, 20, np.random.default_rng(draw))
        assert (np.diff(curve) <= 0).all()
        assert (curve <= LEVEL).argmax() == (0 if kind == "never" else 19)
        assert (curve[-1] <= LEVEL) == (kind != "never")


def test_trials_count_until_the_answer_stays_right() -> None:
    assert seek.needed([9, 4, 20, *[10] * 6, 30], 11) == 4
    assert seek.needed([9, 4, 20, *[10] * 5], 11) is None


def test_a_sampler_names_the_dim3_of_its_best_trial() -> None:
    found = seek.answers(optuna.samplers.RandomSampler(seed=0), lambda k: 1 / k, 32)
    assert len(found) == seek.TRIALS
    assert found[-1] == 10


def test_the_table_has_medians_and_hits() -> None:
    line = {"name": "seek", "answer": 10, "sd": 0.01}
    lines = [{**line, "cells": cells, "near": near} for cells, near in ((15, True), (17, False))]
    lines += [{**line, "name": "TPESampler", "cells": None, "near": False}]
    assert seek.summary(lines).splitlines()[2:] == [
        "| seek | 10 | 1.0 % | 16 | 1 of 2 |",
        "| TPESampler | 10 | 1.0 % | more than 80 | 0 of 1 |",
    ]


@pytest.mark.soak
def test_the_command_compares_three_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.jsonl"
    assert seek.main(["--draws", "1", "--answers", "10", "--jsonl", str(lines)]) == 0
    found = [json.loads(line) for line in lines.read_text().splitlines()[1:]]
    assert {line["name"] for line in found} == {"seek", "TPESampler", "GPSampler"}
    assert "| GPSampler | 10 | 1.0 % |" in capsys.readouterr().out
