"""A run's logged model: written, read back, and served by MLflow."""

from .load import load_reducer

__all__ = ["load_reducer"]
