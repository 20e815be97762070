"""The difference of two samples: which test fits, what it says, and when there is too little to say anything.

Tests and distributions are those of `scipy.stats`. Signs are those of B minus A.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from quantum_monitor.store.reader import Numbers

Test = Literal["auto", "welch", "mann-whitney", "paired"]
TESTS: tuple[str, ...] = get_args(Test)

FEWEST = 3
JUDGED_FROM = 8
"""From so many values on Shapiro-Wilk is asked: below, it finds next to nothing."""
NORMALITY = 0.05

_ROUNDING = 1e-12


class Sample(NamedTuple):
    """What the values of a group amount to; the deviation is NaN for one value."""

    runs: int
    mean: float
    deviation: float
    median: float
    low_quartile: float
    high_quartile: float
    lowest: float
    highest: float


class Effect(NamedTuple):
    """The size of a difference without units; the interval is None where there is none."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What is known of the difference of two samples.

    Attributes:
        difference: B minus A: of the means, after a rank test the Hodges-Lehmann estimate of the shift.
        test: ``welch``, ``mann-whitney``, ``paired-t`` or ``wilcoxon``; None where nothing was tested.
        why: why this test, or why none.
        p: of the test, two-sided, not corrected for the number of tests.
        low: lower end of the confidence interval of the difference; ``high`` its upper end.
        effect: the size of the effect.
        pairs: how many pairs were tested; None where the groups were.
        needed: how many runs in each group, or pairs, a test takes; None where there are enough.
    """

    difference: float | None
    test: str | None = None
    why: str = ""
    p: float | None = None
    low: float | None = None
    high: float | None = None
    effect: Effect | None = None
    pairs: int | None = None
    needed: int | None = None

    @property
    def direction(self) -> int:
        """1 where B is higher, -1 where it is lower, else 0.

        Where most values are the same a rank test may find a difference whose shift is 0: then the effect tells.
        """
        size = self.difference or (self.effect.value if self.effect else 0.0)
        return (size > 0) - (size < 0)


def sample(values: Sequence[float]) -> Sample | None:
    """What values amount to; None without any."""
    if not values:
        return None
    numbers = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
        low, median, high = (float(q) for q in np.quantile(numbers, (0.25, 0.5, 0.75)))
        mean = float((numbers / len(numbers)).sum())
    return Sample(len(numbers), mean, deviation, median, low, high, float(numbers.min()), float(numbers.max()))


def compare_groups(a: Sequence[float], b: Sequence[float], *, test: Test, confidence: float) -> Outcome:
    """The difference of two groups of runs that are independent of each other.

    Args:
        a: values of group A, finite.
        b: values of group B, finite.
        test: ``auto``, ``welch`` or ``mann-whitney``.
        confidence: of the interval, between 0 and 1; 1 minus it is the level of the test.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not len(first) or not len(second):
        return Outcome(None, why="no run of A has it" if not len(first) else "no run of B has it")
    difference = float(_mean(second) - _mean(first))
    if min(len(first), len(second)) < FEWEST:
        return Outcome(difference, why=_too_few(len(first), len(second), FEWEST), needed=FEWEST)
    if _constant(first) and _constant(second):
        same = _constant(np.concatenate((first, second)))
        return Outcome(0.0 if same else difference, why=_SAME if same else _NO_SPREAD)
    chosen, why = (test, "as asked for") if test != "auto" else _by_normality(first, second)
    if chosen == "mann-whitney" and 2 / math.comb(len(first) + len(second), len(first)) > _level(confidence):
        needed = next(n for n in range(FEWEST, 1000) if 2 / math.comb(2 * n, n) <= _level(confidence))
        return Outcome(difference, why=_too_few(len(first), len(second), needed), needed=needed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of nearly equal values: their result is the best there is
        made = _mann_whitney if chosen == "mann-whitney" else _welch
        return _finite(made(first, second, confidence, why))


def compare_pairs(a: Sequence[float], b: Sequence[float], *, confidence: float) -> Outcome:
    """The difference within pairs of runs: ``b[i] - a[i]``; as of `compare_groups`."""
    from scipy import stats

    differences = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    count = len(differences)
    if not count:
        return Outcome(None, why="no pair of runs has it", pairs=0, needed=FEWEST)
    difference = float(_mean(differences))
    if count < FEWEST:
        word = "pair has" if count == 1 else "pairs have"
        why = f"not enough runs: {count} {word} it, a test takes at least {FEWEST}"
        return Outcome(difference, why=why, pairs=count, needed=FEWEST)
    scale = float(np.abs(np.concatenate((a, b))).max())
    if float(np.ptp(differences)) <= _ROUNDING * scale:
        same = abs(difference) <= _ROUNDING * scale
        return Outcome(0.0 if same else difference, why=_SAME_IN_PAIRS if same else _NO_SPREAD, pairs=count)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        told = f"{count} pairs by seed"
        nonzero = differences[differences != 0.0]
        if count < JUDGED_FROM:
            return _finite(_paired_t(differences, confidence, f"{told}, too few to judge their shape"))
        normality = float(stats.shapiro(differences).pvalue)
        if normality >= NORMALITY or 2.0 ** (1 - len(nonzero)) > _level(confidence):
            return _finite(_paired_t(differences, confidence, f"{told}; {_shape(normality)}"))
        return _finite(_wilcoxon(differences, nonzero, confidence, f"{told}; {_shape(normality)}"))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order, after Holm (1979): valid however the tests depend on each other."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def least_p(outcome: Outcome, a: int, b: int) -> float:
    """The smallest p-value that the test of an outcome can give for so many runs; 0 where there is no such limit."""
    if outcome.test == "mann-whitney":
        return 2.0 / math.comb(a + b, a)
    return 2.0 ** (1 - (outcome.pairs or 0)) if outcome.test == "wilcoxon" else 0.0


_SAME = "all runs have the same value"
_SAME_IN_PAIRS = "both runs of each pair have the same value"
_NO_SPREAD = "the difference is the same in all runs: there is no spread to test against"


def _level(confidence: float) -> float:
    return (1.0 - confidence) * (1.0 + 1e-9)  # 1 - 0.95 is a little less than 0.05


def _too_few(a: int, b: int, needed: int) -> str:
    return f"not enough runs: A has {a}, B has {b}, a test takes at least {needed} in each"


def _shape(p: float) -> str:
    said = "do not look normal" if p < NORMALITY else "look normal enough"
    return f"their differences {said} (Shapiro-Wilk p = {p:.2g})"


def _by_normality(a: Numbers, b: Numbers) -> tuple[str, str]:
    """The test of two groups, and why."""
    from scipy import stats

    judged = [values for values in (a, b) if len(values) >= JUDGED_FROM]
    if not judged:
        return "welch", f"fewer than {JUDGED_FROM} runs in each group, too few to judge their shape"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of values that are all the same, which are not normal, and of very many
        p = min(0.0 if _constant(values) else float(stats.shapiro(values).pvalue) for values in judged)
    if p < NORMALITY:
        return "mann-whitney", f"the values do not look normal (Shapiro-Wilk p = {p:.2g})"
    return "welch", f"the values look normal enough (Shapiro-Wilk p = {p:.2g})"


def _welch(a: Numbers, b: Numbers, confidence: float, why: str) -> Outcome:
    from scipy import stats

    found = stats.ttest_ind(b, a, equal_var=False)
    shares = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / (len(a) - 1) + shares[1] ** 2 / (len(b) - 1))
    difference = float(_mean(b) - _mean(a))
    low, high = stats.t.interval(confidence, freedom, loc=difference, scale=math.sqrt(sum(shares)))
    effect = _hedges(a, b, difference, confidence)
    return Outcome(difference, "welch", why, float(found.pvalue), float(low), float(high), effect)


def _hedges(a: Numbers, b: Numbers, difference: float, confidence: float) -> Effect:
    """Hedges' g with the standard deviation of both groups pooled; interval after Hedges and Olkin (1985)."""
    from scipy import stats

    n, m = len(a), len(b)
    pooled = math.sqrt(((n - 1) * a.var(ddof=1) + (m - 1) * b.var(ddof=1)) / (n + m - 2))
    g = difference / pooled * (1.0 - 3.0 / (4.0 * (n + m - 2) - 1.0))
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt((n + m) / (n * m) + g * g / (2.0 * (n + m)))
    return Effect("Hedges' g", g, g - reach, g + reach)


def _mann_whitney(a: Numbers, b: Numbers, confidence: float, why: str) -> Outcome:
    """The interval is the one of Hodges and Lehmann: the differences of all pairs, cut at both ends."""
    from scipy import stats

    n, m = len(a), len(b)
    found = stats.mannwhitneyu(b, a, alternative="two-sided")
    differences = np.sort(np.subtract.outer(b, a), axis=None)
    low, high = _cut(differences, n * m / 2, math.sqrt(n * m * (n + m + 1) / 12), confidence)
    effect = Effect("Cliff's delta", 2.0 * float(found.statistic) / (n * m) - 1.0)
    return Outcome(float(np.median(differences)), "mann-whitney", why, float(found.pvalue), low, high, effect)


def _paired_t(differences: Numbers, confidence: float, why: str) -> Outcome:
    from scipy import stats

    n = len(differences)
    found = stats.ttest_1samp(differences, 0.0)
    difference, deviation = float(_mean(differences)), float(differences.std(ddof=1))
    low, high = stats.t.interval(confidence, n - 1, loc=difference, scale=deviation / math.sqrt(n))
    size = difference / deviation
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt(1.0 / n + size * size / (2.0 * n))
    effect = Effect("d_z", size, size - reach, size + reach)
    return Outcome(difference, "paired-t", why, float(found.pvalue), float(low), float(high), effect, n)


def _wilcoxon(differences: Numbers, nonzero: Numbers, confidence: float, why: str) -> Outcome:
    """The interval is the one of Hodges and Lehmann: the means of all pairs of differences, cut at both ends."""
    from scipy import stats

    n = len(differences)
    found = stats.wilcoxon(nonzero, alternative="two-sided")
    walsh = np.sort((np.add.outer(differences, differences) / 2.0)[np.triu_indices(n)])
    low, high = _cut(walsh, n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24), confidence)
    ranks = stats.rankdata(np.abs(nonzero))
    effect = Effect("rank-biserial r", float((ranks * np.sign(nonzero)).sum() / ranks.sum()))
    return Outcome(float(np.median(walsh)), "wilcoxon", why, float(found.pvalue), low, high, effect, n)


def _cut(ordered: Numbers, mean: float, deviation: float, confidence: float) -> tuple[float, float]:
    """The confidence interval that belongs to a rank statistic of that mean and deviation."""
    from scipy import stats

    cut = max(1, math.floor(mean - float(stats.norm.ppf(0.5 + confidence / 2)) * deviation))
    return float(ordered[cut - 1]), float(ordered[len(ordered) - cut])


def _finite(outcome: Outcome) -> Outcome:
    """The outcome; without a test where the values are too large to compute with."""
    if all(number is not None and math.isfinite(number) for number in (outcome.p, outcome.low, outcome.high)):
        return outcome
    known = outcome.difference if outcome.difference is not None and math.isfinite(outcome.difference) else None
    return Outcome(known, why="the values are too large or too close together to compute with", pairs=outcome.pairs)


def _mean(values: Numbers) -> float:
    return float((values / len(values)).sum())  # divided first: a sum of large numbers overflows


def _constant(values: Numbers) -> bool:
    """Whether values differ by no more than rounding."""
    with np.errstate(over="ignore"):
        return bool(np.ptp(values) <= _ROUNDING * np.abs(values).max())
