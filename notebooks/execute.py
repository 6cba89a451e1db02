"""Run the notebooks beside this file from top to bottom and store what they print and draw.

`python notebooks/execute.py` runs all, `python notebooks/execute.py vae` one. The text is that of the .py files, and
nothing that differs between two equal runs is stored but the outputs: no times, no versions.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
NAMES = sorted(file.stem for file in HERE.glob("*.ipynb"))
SECONDS = 1800  # for one cell; beside other jobs a training takes many times as long


def executed(name: str) -> NotebookNode:
    """The notebook of that name after a run. Raises nbclient's CellExecutionError where a cell does."""
    notebook = jupytext.read(HERE / f"{name}.py")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{name}-{number:02}"
    NotebookClient(
        notebook,
        timeout=SECONDS,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(HERE)}},
        extra_arguments=["--log-level=ERROR"],
    ).execute()
    notebook.metadata.pop("language_info", None)  # the version of Python
    return notebook


def main(names: list[str]) -> None:
    """Execute these notebooks in place, or all."""
    for name in names or NAMES:
        began = time.perf_counter()
        jupytext.write(executed(name), HERE / f"{name}.ipynb")
        print(f"{name}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
