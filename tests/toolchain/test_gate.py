import pytest

from edge_ad.bundle.manifest import Channel, CheckEntry
from edge_ad.errors import GateFailedError
from edge_ad.toolchain.datasets.formats import RecordingFormat, TrainSpan
from edge_ad.toolchain.gate import GateRecord, require_passed
from edge_ad.toolchain.parity import Verdict, describe_failures, judge_scores
from edge_ad.toolchain.report.verdicts import verdict_table
from edge_ad.toolchain.rounding import FACTOR, RankedError
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import BuildPlan

PLAN = BuildPlan(RecordingFormat((Channel("a"),), TrainSpan(rows=80)), BuildSettings(), ())


def failed(subject, reference, figure="agreement"):
    return Verdict(subject, reference, (CheckEntry(reference, figure, "-", 0.5, 0.9, False),))


def refusal(*verdicts):
    with pytest.raises(GateFailedError) as error:
        require_passed(GateRecord("", False, True, verdicts), PLAN)
    return str(error.value)


@pytest.mark.parametrize(
    ("subject", "reference", "table"),
    [
        ("tiny-float32", "full-float32", "[gate.reduction]"),
        ("tiny-int8", "tiny-float32", "[gate.quantization]"),
        ("full-int8", "full-float32", "[gate.quantization]"),
        ("full-float32", "keras", "[gate.conversion]"),
    ],
)
def test_the_margins_that_failed_are_named_and_no_others(subject, reference, table):
    text = refusal(failed(subject, reference))
    assert f"change the margins under {table} in the file" in text
    assert ("--models full" in text) == (table == "[gate.reduction]")


def test_a_score_error_has_margins_of_its_own():
    text = refusal(failed("tiny-float32", "oracle", "max_score_error"), failed("tiny-int8", "tiny-float32"))
    assert "under [gate.quantization] and max_score_error or max_oracle_error of [gate] in the" in text


class TestALimitThatFloat32Needs:
    def test_it_is_what_the_check_holds_and_it_is_explained(self):
        verdict = judge_scores("tiny-float32", "oracle", [RankedError(0.1, 0.09)], 1e-4)
        (check,) = verdict.checks
        assert (check.value, check.limit, check.passed) == (0.1, FACTOR * 0.09, True)
        text = verdict_table(GateRecord("", True, True, (verdict,)))
        assert "tiny-float32 against oracle: at the same rank of the same windows float32 arithmetic" in text
        assert "off by 0.09, so 3 times that is allowed and not the margin of 0.0001." in text

    def test_a_failure_says_so_too(self):
        verdict = judge_scores("tiny-float32", "oracle", [RankedError(0.5, 0.09)], 1e-4)
        assert not verdict.passed
        assert "float32 arithmetic alone is off by 0.09" in describe_failures([verdict])

    def test_within_the_margin_there_is_nothing_to_explain(self):
        verdict = judge_scores("tiny-float32", "oracle", [RankedError(1e-5, 1e-6)], 1e-4)
        assert verdict.passed
        assert verdict.checks[0].limit == 1e-4
        assert verdict.note == ""
