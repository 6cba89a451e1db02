"""Data sets: where they come from, how they are read, split and shared between processes."""

from .datasets import load_dataset
from .files.tables import save_frame

__all__ = ["load_dataset", "save_frame"]
