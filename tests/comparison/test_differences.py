"""The tests of a comparison: against scipy on the raw numbers, closed forms, permutations and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quantum_monitor.comparison.differences import Outcome, Test, compare_groups, compare_pairs, holm, sample

Draw = Callable[[np.random.Generator, int], np.ndarray[tuple[int], np.dtype[np.float64]]]
Values = Sequence[float] | np.ndarray[Any, np.dtype[Any]]
A = [0.31, 0.42, 0.38, 0.29, 0.35, 0.41, 0.33, 0.36, 0.40]
B = [0.25, 0.33, 0.27, 0.31, 0.22, 0.30]
NORMAL: Draw = lambda rng, n: rng.normal(2.0, 3.0, n)  # noqa: E731
SKEWED: Draw = lambda rng, n: np.exp(rng.normal(0.0, 1.0, n))  # noqa: E731


def groups(a: Values, b: Values, test: Test = "auto", confidence: float = 0.95) -> Outcome:
    return compare_groups(list(a), list(b), test=test, confidence=confidence)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_welch_is_scipys_on_the_raw_numbers(confidence: float) -> None:
    found = groups(A, B, "welch", confidence)
    told = stats.ttest_ind(B, A, equal_var=False)
    interval = told.confidence_interval(confidence)
    assert found.p == pytest.approx(told.pvalue, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.difference == pytest.approx(np.mean(B) - np.mean(A))


def test_hedges_g_is_the_formula() -> None:
    effect = groups(A, B, "welch").effect
    pooled = math.sqrt((8 * np.var(A, ddof=1) + 5 * np.var(B, ddof=1)) / 13)
    assert effect is not None
    assert effect.value == pytest.approx((np.mean(B) - np.mean(A)) / pooled * (1 - 3 / (4 * 13 - 1)))
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low < effect.value < effect.high < 0


def test_mann_whitney_is_scipys_with_the_hodges_lehmann_shift() -> None:
    found = groups(A, B, "mann-whitney")
    differences = sorted(b - a for a in A for b in B)
    assert found.p == pytest.approx(stats.mannwhitneyu(B, A).pvalue, rel=1e-12)
    assert found.difference == pytest.approx(np.median(differences))
    # 54/2 - 1.96 * sqrt(54 * 16 / 12) = 10.4: the eleventh from either end is the first outside of the cut.
    assert (found.low, found.high) == pytest.approx((differences[9], differences[-10]))
    assert found.effect is not None
    wins = sum((b > a) - (b < a) for a in A for b in B)
    assert found.effect.value == pytest.approx(wins / 54)


@pytest.mark.parametrize("count", [5, 9])
def test_pairs_are_judged_by_the_t_test_on_their_differences(count: int) -> None:
    a, b = A[:count], [x - 0.03 - 0.001 * n * n for n, x in enumerate(A[:count])]
    found = compare_pairs(a, b, confidence=0.95)
    told = stats.ttest_rel(b, a)
    interval = told.confidence_interval(0.95)
    assert found.test == "paired-t"
    assert found.p == pytest.approx(told.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(told.statistic / math.sqrt(count))


def test_skewed_differences_of_pairs_are_judged_by_ranks() -> None:
    differences = [0.1, 0.2, 0.15, 0.12, 0.11, -0.05, 0.17, 0.13, 9.0]
    found = compare_pairs([1.0] * 9, [1.0 + d for d in differences], confidence=0.95)
    assert found.test == "wilcoxon"
    assert found.p == pytest.approx(stats.wilcoxon(differences).pvalue, rel=1e-9)
    assert found.effect is not None
    assert found.effect.value == pytest.approx((44 - 1) / 45)
    walsh = [(x + y) / 2 for n, x in enumerate(differences) for y in differences[n:]]
    assert found.difference == pytest.approx(np.median(walsh))


def test_the_p_values_are_those_of_a_permutation_test() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(0, 1, 12), rng.normal(1.2, 1, 12)

    def permuted(values: tuple[Any, ...], kind: Any) -> float:
        def mean(x: Any, *y: Any) -> float:
            return float(np.mean(x) - (np.mean(y[0]) if y else 0.0))

        return float(stats.permutation_test(values, mean, permutation_type=kind, n_resamples=4000, rng=rng).pvalue)

    assert 0.001 < permuted((b, a), "independent") < 0.5
    assert groups(a.tolist(), b.tolist(), "welch").p == pytest.approx(permuted((b, a), "independent"), abs=0.02)
    ranks = stats.rankdata(np.concatenate((a, b)))
    told = permuted((ranks[12:], ranks[:12]), "independent")
    assert groups(a.tolist(), b.tolist(), "mann-whitney").p == pytest.approx(told, abs=0.02)
    assert compare_pairs(a.tolist(), b.tolist(), confidence=0.95).p == pytest.approx(
        permuted((b - a,), "samples"), abs=0.02
    )


def test_auto_takes_ranks_where_the_values_do_not_look_normal_and_enough_are_there_to_tell() -> None:
    bell = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    assert groups(bell, bell + 0.5).test == "welch"
    skewed = np.exp(2 * bell)
    found = groups(skewed, bell)
    assert found.test == "mann-whitney"
    assert "Shapiro-Wilk" in found.why
    assert groups(skewed[:7], skewed[13:]).test == "welch"
    assert groups([1.0] * 8, [1.0, 2.0, 3.0]).test == "mann-whitney"  # eight times the same is not normal


def same(a: float | None, b: float | None) -> bool:
    return a is b is None or a == pytest.approx(b, rel=1e-6)


finite = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


values = st.lists(finite, min_size=1, max_size=12)


@given(values, values, st.sampled_from(["auto", "welch", "mann-whitney"]))
def test_swapping_the_groups_flips_the_signs_and_nothing_else(a: list[float], b: list[float], test: Test) -> None:
    one, other = groups(a, b, test), groups(b, a, test)
    assert one.test == other.test
    assert same(one.p, other.p)
    assert one.difference == pytest.approx(-(other.difference or 0.0), abs=1e-9)
    if one.low is not None and one.high is not None and other.low is not None and other.high is not None:
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=1e-6, abs=1e-9)
        assert one.difference is not None
        assert one.low <= one.difference <= one.high
    if one.effect is not None and other.effect is not None:
        assert one.effect.value == pytest.approx(-other.effect.value, rel=1e-6, abs=1e-9)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=14))
def test_swapping_the_sides_of_pairs_flips_the_signs(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    one, other = compare_pairs(a, b, confidence=0.95), compare_pairs(b, a, confidence=0.95)
    assert one.test == other.test
    assert same(one.p, other.p)
    assert one.difference == pytest.approx(-(other.difference or 0.0), abs=1e-9)


@pytest.mark.parametrize(
    ("draw", "n", "m", "test"),
    [(NORMAL, 12, 12, "auto"), (SKEWED, 12, 9, "auto"), (SKEWED, 5, 5, "mann-whitney"), (SKEWED, 9, 9, "paired")],
)
def test_no_more_is_found_where_there_is_nothing_than_the_level_allows(draw: Draw, n: int, m: int, test: str) -> None:
    rng = np.random.default_rng(11)
    found, covered, rounds = 0, 0, 600
    for _ in range(rounds):
        a, b = draw(rng, n), draw(rng, n if test == "paired" else m)
        outcome = compare_pairs(a, b, confidence=0.9) if test == "paired" else groups(a, b, test, 0.9)  # type: ignore[arg-type]
        assert outcome.p is not None
        assert outcome.low is not None
        assert outcome.high is not None
        found += outcome.p <= 0.1
        covered += outcome.low <= 0.0 <= outcome.high
    assert found <= 1.3 * 0.1 * rounds
    assert covered >= (1 - 1.3 * 0.1) * rounds


def test_the_intervals_cover_a_true_difference_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    for test in ("welch", "mann-whitney"):
        covered = 0
        for _ in range(300):
            found = groups(rng.normal(0, 1, 10), rng.normal(0.7, 1, 10), test, 0.9)
            covered += (found.low or 0.0) <= 0.7 <= (found.high or 0.0)
        assert covered / 300 == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(("a", "b", "test", "needed"), [
    ([1.0], [2.0], "auto", 3),
    ([1.0, 2.0], [2.0, 4.0, 5.0, 6.0], "welch", 3),
    ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], "mann-whitney", 4),
])  # fmt: skip
def test_too_few_runs_give_no_number_but_how_many_it_takes(
    a: list[float], b: list[float], test: Test, needed: int
) -> None:
    found = groups(a, b, test)
    assert (found.p, found.low, found.test, found.effect) == (None, None, None, None)
    assert found.needed == needed
    assert found.why == f"not enough runs: A has {len(a)}, B has {len(b)}, a test takes at least {needed} in each"
    assert found.difference == pytest.approx(np.mean(b) - np.mean(a))


def test_three_runs_each_are_enough_for_ranks_at_a_lower_confidence() -> None:
    assert groups([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], "mann-whitney", 0.9).p == pytest.approx(0.1)


def test_two_pairs_are_too_few() -> None:
    found = compare_pairs([1.0, 2.0], [1.5, 2.7], confidence=0.95)
    assert (found.p, found.pairs, found.needed) == (None, 2, 3)


@pytest.mark.parametrize(("a", "b", "difference", "why"), [
    ([0.3] * 5, [0.1 + 0.2] * 5, 0.0, "all runs have the same value"),
    ([100.0] * 5, [200.0] * 5, 100.0, "there is no spread"),
])  # fmt: skip
def test_values_without_spread_are_not_tested(a: list[float], b: list[float], difference: float, why: str) -> None:
    for found in (groups(a, b), groups(a, b, "welch"), groups(a, b, "mann-whitney")):
        assert found.p is None
        assert found.difference == difference
        assert why in found.why


def test_pairs_that_all_differ_alike_are_not_tested() -> None:
    found = compare_pairs([1.0, 2.0, 3.0], [1.5, 2.5, 3.5], confidence=0.95)
    assert (found.p, found.difference) == (None, 0.5)
    same = compare_pairs([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], confidence=0.95)
    assert (same.p, same.difference, same.why) == (None, 0.0, "both runs of each pair have the same value")


def test_values_beyond_what_can_be_computed_with_are_not_tested() -> None:
    found = groups([1e200, 2e200, 4e200], [1e200, 3e200, 3e200], "welch")
    assert (found.p, found.low, found.effect) == (None, None, None)
    assert "too large" in found.why


def test_holm_is_the_calculation_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, each at least as large as the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_sample_tells_mean_deviation_and_quartiles() -> None:
    found = sample([4.0, 1.0, 2.0, 3.0])
    assert found is not None
    assert found.deviation == pytest.approx(math.sqrt(5 / 3))
    assert found._replace(deviation=0.0) == (4, 2.5, 0.0, 2.5, 1.75, 3.25, 1.0, 4.0)
    assert sample([]) is None
