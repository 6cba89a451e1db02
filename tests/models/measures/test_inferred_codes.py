"""Codes that are inferred from some of a row's entries."""

import numpy as np

from elbowroom.models.measures.inferred_codes import _derivatives


def test_a_code_far_away_has_derivatives() -> None:
    """A step of 0.01 is less than the rounding of 1e9 in float32."""
    slope = np.array([[2.0, 0.0, -1.0], [0.0, 4.0, 1.0]], dtype=np.float32)
    z, reach = np.array([[1e9, 1.0]], dtype=np.float32), np.full(2, 0.01, dtype=np.float32)
    base = z @ slope
    found = _derivatives(lambda codes, rows: codes.astype(np.float64) @ slope, z, np.arange(1), base, reach)
    np.testing.assert_allclose(found[0, 0], slope[0], rtol=0.3, atol=1e-6)
