"""The data as the processes of a study share them."""

from pathlib import Path

import numpy as np
import pytest

from tracking import material
from tracking.config import RunConfig
from tracking.material import Material


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("measured a second time")


def test_what_one_process_has_measured_the_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Material.load(RunConfig(dataset="digits"))
    alone.save(tmp_path / "shared")
    first = Material.map(tmp_path / "shared")
    assert first.intrinsic == alone.intrinsic
    assert np.array_equal(first.pca_curve, alone.pca_curve)
    monkeypatch.setattr(material, "measure", refuse)
    monkeypatch.setattr(material, "errors_by_dim3", refuse)
    second = Material.map(tmp_path / "shared")
    assert second.intrinsic == alone.intrinsic
    assert np.array_equal(second.pca_curve, alone.pca_curve)


def test_no_number_is_read_back_as_no_number(tmp_path: Path) -> None:
    alone = Material.load(RunConfig(dataset="low-rank"))  # outside [0, 1]: nothing is clipped
    alone.save(tmp_path / "shared")
    for _ in range(2):
        shared = Material.map(tmp_path / "shared").pca_curve
        assert np.isnan(shared[:, 1]).all()
        assert np.array_equal(shared[:, 0], alone.pca_curve[:, 0])


def test_what_can_not_be_left_for_the_others_is_there_all_the_same(tmp_path: Path) -> None:
    alone = Material.load(RunConfig(dataset="digits"))
    alone.save(tmp_path / "shared")
    mapped = Material.map(tmp_path / "shared")
    (tmp_path / "shared").rename(tmp_path / "gone")
    assert mapped.intrinsic == alone.intrinsic
