"""The answer of a rule as Markdown and as metrics."""

from dataclasses import replace

from elbowroom.analysis.elbow import Verdict
from elbowroom.analysis.purposes import Rule
from elbowroom.analysis.purposes.choice import Choice
from elbowroom.analysis.reporting.answer import answer_lines, answer_metrics

KEEP = Choice(9, 8, (8, None), True, 0.91, 3, 100, "", purpose="keep", rule="keep:0.90")
CLEAR = Verdict("clear", 7, (6, 8), 7, "", {}, 20.0, None, "")
CHOICES = {
    "ae": KEEP,
    "a|b <i>": replace(KEEP, choice=None, below=12, interval=(None, None), reached=False, value=0.79),
    "vae": replace(KEEP, choice=None, missing="no rows", interval=None, value=None),
}
VERDICTS = {"ae": CLEAR, "vae": replace(CLEAR, kind="exhausted", dim3=None, interval=None)}


def test_the_lines_begin_with_a_short_sentence_and_go_on_with_a_table() -> None:
    assert answer_lines("digits", Rule.parse("keep:0.90"), CHOICES, VERDICTS) == [
        r"digits: ae 9, a\|b &lt;i\> not reached, vae no answer (dim3 to keep 90 % of the variance)",
        "",
        "| model | dim3 | 95 % interval | elbow |",
        "|:--|:--|:--|:--|",
        "| ae | 9 | 8 to … | 7 (6 to 8) |",
        r"| a\|b &lt;i\> | not reached |  |  |",
        "| vae | no answer |  | none, still falls |",
    ]


def test_the_metrics_are_the_choice_the_elbow_and_the_share_kept() -> None:
    assert answer_metrics(CHOICES, VERDICTS) == {
        "choice/ae": 9.0,
        "elbow/ae": 7.0,
        "kept/ae": 0.91,
        "kept/a_b _i_": 0.79,
    }
    assert answer_metrics({"ae": replace(KEEP, purpose="psnr", value=31.0)}, {}) == {"choice/ae": 9.0}
