"""Whether a curve of error against dim3 has an elbow. Pure numpy."""

from .verdict import LEAST_POINTS, POINTS_TO_TELL, Verdict, calibrated, judge

__all__ = ["LEAST_POINTS", "POINTS_TO_TELL", "Verdict", "calibrated", "judge"]
