"""Rules as text, and the contract of a choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbowroom.analysis.findings.curve_evidence import CurveEvidence
from elbowroom.analysis.purposes import PURPOSES, Rule, choose, no_choice
from elbowroom.analysis.purposes.choice import step
from elbowroom.tracking.store.errors import BadInput

LIMITS = {name: purpose.limits for name, purpose in PURPOSES.items() if purpose.limits is not None}


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    name = draw(st.sampled_from(sorted(LIMITS)))
    return Rule(name, draw(st.floats(*LIMITS[name], exclude_min=True, exclude_max=True)))


@pytest.mark.property
@given(rules())
def test_the_text_of_a_rule_is_read_back(rule: Rule) -> None:
    assert Rule.parse(rule.text) == rule


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("keep", "keep:0.90"), ("keep:0.9", "keep:0.90"), ("keep:0.975", "keep:0.975"), ("psnr", "psnr:30"),
        ("keep:0.9999999", "keep:0.9999999"), ("unexplained:0.03", "keep:0.97"), ("generate:0.50", "generate:0.5"),
        ("rank", "rank"),
    ],
)  # fmt: skip
def test_the_text_is_short(given: str, text: str) -> None:
    assert Rule.parse(given).text == text


@pytest.mark.parametrize("text", ["keep:1", "unexplained:1e-13", "keep:nan", "psnr:x", "rank:3", "unexplained:inf"])
def test_no_rule_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=f"rule '{text}': allowed: "):
        Rule.parse(text)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("keep:0.07", "keep 7 % of the variance"),
        ("features:0.01", "classify by neighbours within 1 point of the best"),
        ("features:0.02", "classify by neighbours within 2 points of the best"),
        ("generate:0.5", "come within 0.5 nat of the best scanned ELBO"),
        ("generate:2", "come within 2 nats of the best scanned ELBO"),
        ("rank", "predict hidden entries best"),
        ("gain:0.05", "come to where one more lowers the error by less than 5 %"),
        ("elbow", "reach the clear elbow"),
    ],
)
def test_the_words_follow_dim3_to(rule: str, words: str) -> None:
    assert Rule.parse(rule).words == words


def test_a_place_of_the_curve_is_nothing_to_use() -> None:
    assert {name: Rule(name, 0.5).head for name in PURPOSES if not PURPOSES[name].serves} == {
        "gain": "by gain:0.5",
        "elbow": "by elbow",
    }
    assert Rule.parse("keep").head == "to use"


def test_below_is_the_last_dim3_that_is_not_enough_and_nothing_where_a_place_is_not_found() -> None:
    k = np.arange(1, 21)
    evidence = CurveEvidence("ae", {int(d): np.array([1 / d]) for d in k}, (k.tolist(), (1 / k)[None]), 1.0)
    found = {text: choose(Rule.parse(text), evidence) for text in ("keep:0.90", "keep:0.99999", "elbow", "gain:0.01")}
    assert {text: (c.choice, c.below, c.rule) for text, c in found.items()} == {
        "keep:0.90": (10, 9, "keep:0.90"),
        "keep:0.99999": (None, 20, "keep:0.99999"),
        "elbow": (None, None, "elbow"),
        "gain:0.01": (None, None, "gain:0.01"),
    }


def test_a_reason_has_no_label() -> None:
    found = no_choice(Rule.parse("rank"), "ae", "not measured")
    assert (found.missing, found.sentence) == ("not measured", "ae: not measured")


def test_of_dim3_1_there_is_no_smaller_one_to_scan() -> None:
    assert step(1, None, may_do=False) == ""
    assert step(2, None, may_do=False) == "no smaller one was scanned"
    assert step(4, 1, may_do=False) == "1 is not enough, 2 to 3 not scanned"
