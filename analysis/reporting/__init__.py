"""The report as functions, and what it writes back into MLflow."""

from .experiment import Report, report, report_table

__all__ = ["Report", "report", "report_table"]
