"""Has a curve of error against dim3 an elbow? Pure numpy."""

from .verdict import Verdict, judge

__all__ = ["Verdict", "judge"]
