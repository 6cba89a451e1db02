"""The verdict on curves whose answer is known."""

import numpy as np

from analysis.elbow import calibrated


def test_calibrated_settings() -> None:
    k = np.arange(2, 21)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 19))
    assert calibrated(k, 1 / k) is None  # one seed shows no noise
    assert calibrated(k, (1 + 0.02 * noise) / k) is None
    assert calibrated(k, (1 + 0.10 * noise) / k) == "the seeds differ by 9.2 % of the error, where up to 3 % was tried"
    assert calibrated(k[:8], 1 / k[:8]) == "8 values of dim3, where 9 to 100 were tried"
    assert calibrated(k[:9], 1 / k[:9]) is None
    assert calibrated(np.arange(1, 101), np.ones((5, 100))) is None
    assert calibrated(np.arange(1, 102), np.ones(101)) == "101 values of dim3, where 9 to 100 were tried"
    assert calibrated(k, np.zeros((3, 19))) is None
