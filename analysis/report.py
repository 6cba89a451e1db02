"""The answer from a tracking store, or from a table: `python -m analysis.report --experiment NAME --out DIR`.

With `--curve FILE.csv` it judges any table of errors against dim3, from any program, and needs no store. From Python:
`analysis.reporting.report`, and `judge_table` here, which takes no seconds to import. Exit codes: 0 done;
1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from elbowroom.tracking.cli import UNSET, Parser, command
from elbowroom.tracking.store.terminal import say
from elbowroom.tracking.store.text import clean, ranges

from .elbow import Verdict, calibrated
from .findings.curve_evidence import CurveEvidence
from .purposes import DEFAULT_RULE, Rule, allowed, choose
from .purposes.choice import Choice
from .runs.comparison import assemble
from .runs.csv_table import CurveIs, check_falls, mean_row, read_rows


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "analysis.report",
        "How many latent dimensions, and is an autoencoder worth it over PCA? Read from a tracking store.",
    )
    made.add_argument("--curve", default=UNSET, metavar="FILE.csv", help="judge this table: dim3,error[,seed][,model]")
    made.add_argument(
        "--curve-is",
        default="error",
        choices=get_args(CurveIs),
        help="error: lower is better; score: higher is better, in 0 to 1, 0 to 100, or at most 0",
    )
    made.add_argument(
        "--rule",
        default=UNSET,
        metavar="RULE",
        help=f"the rule that chooses dim3; default: {DEFAULT_RULE}; allowed: {allowed()}".replace("%", "%%"),
    )
    made.add_argument(
        "--choose",
        default=UNSET,
        metavar="dim3=12",
        help="register this cell in place of the chosen one: dim3=12, or model=vae,dim3=12",
    )
    made.add_argument(
        "--map",
        default=UNSET,
        metavar="A=B",
        help="read the runs of another program: dim3=params.k,error=metrics.loss,…; "
        "settings=params.lr: a curve for each value",
    )
    where = "where to write; default: reports; with --curve no files"
    made.add_argument("--out", default=UNSET, metavar="DIR", help=where)
    made.add_store(read=True)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return command(lambda: _report(arguments), killed="nothing was written")


def _report(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    rule = None if given.rule == UNSET else Rule.parse(given.rule).text
    if given.curve != UNSET and given.out == UNSET:
        text = "\n".join(judged.text for judged in judge_table(given.curve, rule=rule, curve_is=given.curve_is))
    else:
        # Not at the top: MLflow and matplotlib take seconds, and a table's verdict needs neither.
        text = str(importlib.import_module("elbowroom.analysis.reporting.experiment").run_command(given))
    say(text)
    return 0


class Judged(NamedTuple):
    """The choice and the verdict on one model's curve in a table; note says how its numbers were read.

    The verdict is None where there are too few points; why says so.
    """

    model: str
    choice: Choice
    verdict: Verdict | None
    why: str
    note: str = ""

    @property
    def text(self) -> str:
        """The choice, the verdict, its reason, and the answers of other criteria, a line each."""
        lines = [clean(self.choice.sentence, 500)]
        if self.verdict is None:
            lines.append(f"  no verdict on an elbow: {self.why}")
        else:
            criteria = ", ".join(f"{name} {'-' if k is None else k}" for name, k in self.verdict.criteria.items())
            if self.choice.purpose != "elbow":
                lines.append(f"  {clean(self.verdict.sentence(self.model), 500)}")
            lines += [f"  why: {self.verdict.reason}", f"  others: {criteria}"]
        return "\n".join([*lines, *([f"  note: {self.note}"] if self.note else [])])


def judge_table(path: Path | str, *, rule: str | None = None, curve_is: CurveIs = "error") -> list[Judged]:
    """Judge the curve of each model in a CSV file.

    Parameters
    ----------
    path
        A file with the columns dim3,error[,seed][,model]. A row with dim3 0 has the error of the mean row.
    rule
        For the choice of dim3; None for the default. With a rule of shares, errors of a table without a row with dim3
        0 are read as shares of the mean row's error.
    curve_is
        Whether the column error has errors or scores.

    Returns
    -------
    list of Judged
        One for each model, in the order of the file.

    Raises
    ------
    BadInput
        Where the file can't be read, an error curve rises, or a score curve falls.
    """
    asked = None if rule is None else Rule.parse(rule)
    rows, note = read_rows(Path(path), curve_is)
    base, more = mean_row(rows, asked)
    found = []
    for model in dict.fromkeys(row.model for row in rows if row.dim3):
        mine = [row for row in rows if row.model == model and row.dim3]
        curve = assemble((row.dim3, row.seed, row.error) for row in mine)
        if base is None or max(row.error for row in mine) >= base:  # a score is better than that of the mean row
            check_falls(model, *curve, curve_is)
        by_dim3 = {k: np.array([row.error for row in mine if row.dim3 == k]) for k in sorted({r.dim3 for r in mine})}
        evidence = CurveEvidence(model, by_dim3, curve, base)
        choice = choose(asked or Rule.parse(DEFAULT_RULE), evidence)
        left = [k for k in by_dim3 if k not in curve[0]]
        apart = f"the elbow is judged without dim3 {ranges(left)}, where seeds differ" if left else ""
        verdict, why = evidence.judged
        beyond = calibrated(*curve) if verdict else None
        notes = (note, more, apart, f"uncalibrated: {beyond}" if beyond else "")
        found.append(Judged(model, choice, verdict, why, "; ".join(text for text in notes if text)))
    return found


if __name__ == "__main__":
    sys.exit(main())
