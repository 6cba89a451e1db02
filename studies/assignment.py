"""Answer the course assignment by measurement: `python -m studies.assignment`, and `--full` for numbers to quote.

Runs what is missing of a scan with PCA, autoencoder and VAE, repeats and measures the cells at the dim3 it shows,
and writes `assignment.html` from the store. The same command again continues. Exit codes as of `studies.scan`.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import mlflow

from analysis.assignment import Wanted, write
from analysis.errors import BadInput as Unanswerable
from analysis.errors import Failed
from analysis.place import opened, output_folder
from tracking.cli import Parser, command, use_store
from tracking.config import BadInput

from .means import UNSET, add_means, add_switch, means_of, whole
from .scan import run_space
from .spaces import PRESETS, Space, parse_range

MODELS = ("pca", "ae", "vae")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    again = "what ran ended KILLED; the same command again goes on where this one stopped"
    return command(lambda: _assignment(arguments), killed=again)


def parser() -> Parser:
    """How much to run, what to show, and where to write."""
    made = Parser("studies.assignment", "Run what the course assignment asks for, and answer it from the store.")
    what = made.add_argument_group("what to run")
    add_switch(what, "--full", "three seeds and 12 epochs everywhere, the preset assignment: about an hour")
    what.add_argument("--preset", default=UNSET, metavar="NAME", help=f"a grid by name: {', '.join(PRESETS)}")
    what.add_argument("--show", default="2,10", metavar="2,10", help="the dim3 to repeat, measure and show")
    what.add_argument("--repeats", default="3", metavar="N", help="seeds of the models that are shown")
    add_means(made)
    add_switch(made, "--dry-run", "stop after the table of costs")
    made.add_argument("--out", default="reports", metavar="DIR", help="where to write assignment.html")
    made.add_store()
    return made


def space_of(given: argparse.Namespace) -> tuple[Space, str]:
    """The grid, and the study's default name: that of the scan with the same preset, whose cells serve here."""
    if given.full == "yes" and given.preset not in (UNSET, "assignment"):
        raise BadInput(f"full is the preset assignment, and {given.preset!r} was asked for; allowed: one of them")
    name = "assignment" if given.full == "yes" else "quick" if given.preset == UNSET else given.preset
    if name not in PRESETS:
        raise BadInput(f"unknown preset {name!r}; allowed: {', '.join(PRESETS)}")
    preset, shown = PRESETS[name], parse_range(given.show)
    dim3 = {model: preset.dim3.get(model, preset.dim3["pca"]) for model in MODELS}
    for model, values in dim3.items():
        for k in shown:
            if k not in values:
                raise BadInput(f"show {k}: not among the dim3 of {model}; allowed: {', '.join(map(str, values))}")
    return replace(preset, dim3=dim3, measured=shown, repeats=whole("repeats", given.repeats)), name


def _assignment(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    invocation = os.environ.pop("MLFLOW_RUN_ID", None)  # a worker that inherited it would continue that run
    space, default_name = space_of(given)
    try:
        out = output_folder(Path(given.out))
        code = run_space(space, means_of(given, default_name), invocation, dry_run=given.dry_run == "yes")
        if given.dry_run == "no":
            client, experiment = opened(mlflow.get_tracking_uri(), given.experiment)
            wanted = Wanted(space.base.dataset, space.base.epochs, space.measured)
            print(f"\n{write(client, experiment, out, wanted)}")
    except Unanswerable as error:
        raise BadInput(str(error)) from error
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
