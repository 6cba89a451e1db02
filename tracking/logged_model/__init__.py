"""The logged model: how it is written to a run, read back, and served by MLflow."""

from .log import load_reducer

__all__ = ["load_reducer"]
