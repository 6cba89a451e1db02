"""The data that the processes of a study share."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import prepared_data
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.errors import BadInput


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("measured a second time")


def test_processes_share_what_one_has_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = PreparedData.load(RunConfig(dataset="digits"))
    alone.save(tmp_path / "shared")
    first = PreparedData.map(tmp_path / "shared")
    assert first.intrinsic == alone.intrinsic
    for computed, again in zip(first.probes, alone.probes, strict=True):
        assert np.array_equal(computed, again)
    monkeypatch.setattr(prepared_data, "measure", refuse)
    monkeypatch.setattr(prepared_data, "neighbour_hits", refuse)
    mapped = PreparedData.map(tmp_path / "shared")
    assert mapped.intrinsic == alone.intrinsic
    assert mapped.probes.test.tolist() == alone.probes.test.tolist()
    assert (mapped.probes.test.dtype, len(mapped.probes.val)) == (np.int8, 149)


def test_a_result_is_returned_though_it_can_not_be_shared(tmp_path: Path) -> None:
    alone = PreparedData.load(RunConfig(dataset="digits"))
    alone.save(tmp_path / "shared")
    mapped = PreparedData.map(tmp_path / "shared")
    (tmp_path / "shared").rename(tmp_path / "gone")
    assert mapped.intrinsic == alone.intrinsic


def test_a_users_model_gets_float32_or_the_data_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 4))
    config = RunConfig(model="tests.tracking.own:Keep", dim3=2, dataset=str(tmp_path / "x.npy"))
    np.save(config.dataset, x)
    prepared = prepare(config)
    assert prepared.split.x_train.dtype == prepared.data.x_test.dtype == np.float32
    assert prepared.prepared_data.digests == PreparedData.load(config).digests
    for wide in (1, 1e7):  # a wide column beside it must not hide the loss
        np.save(config.dataset, x * np.array([wide, 1, 1, 1]) + np.array([0, 0, 1e6, 0]))
        with pytest.raises(BadInput, match="x: column 3 lies so far from 0 that 32 bits"):
            prepare(config)
    factory = replace(config, model="tests.tracking.own:factory", epochs=1)  # keeps the type it was fitted on
    assert prepare(factory).model.fit(prepare(factory).split.x_train) is not None
    np.save(config.dataset, x + np.array([0, 0, 1e9, 0]))
    with pytest.raises(BadInput, match="x: column 3 lies so far from 0 that 32 bits"):
        prepare(config)
    assert prepare(replace(config, model="ae")).split.x_train.dtype == np.float64


def test_shared_files_are_readable_by_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        PreparedData.load(RunConfig(dataset="digits")).save(tmp_path / "shared")
        mapped = PreparedData.map(tmp_path / "shared")
        assert mapped.intrinsic is not mapped.probes is not None
    finally:
        os.umask(before)
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "shared").iterdir()}
    assert set(modes) == {"x.npy", "y.npy", "x_test.npy", "y_test.npy", "facts.json", "intrinsic.json", "probes.json"}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o700


def test_the_first_edition_takes_the_unit_interval_for_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", 0.1 * np.random.default_rng(0).random((60, 4)))
    config = RunConfig(model="ae", dim3=2, epochs=1, dataset=str(tmp_path / "x.npy"))
    outputs = []
    for edition in (1, 2):
        prepared = prepare(replace(config, edition=edition))
        outputs.append(prepared.model.fit(prepared.split.x_train).facts()["output"])
    assert outputs == ["sigmoid", "linear"]
