"""Groups over the steps: aligned, thinned, with gaps where there are gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from quantum_monitor.comparison import Comparison, compare_runs
from quantum_monitor.comparison.courses import POINTS, Course
from tests.comparison.comparison_runs import INF, NAN, write_run


def loss_of(comparison: Comparison) -> Course:
    (found,) = [course for course in comparison.courses if course.field == "loss"]
    return found


def test_medians_quartiles_and_intervals_are_those_of_the_values_at_each_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1.0, 0.1, (5, 20)), rng.normal(0.8, 0.3, (4, 20))
    for name, losses in (("a", a), ("b", b)):
        for n, values in enumerate(losses):
            write_run(tmp_path / name / f"{n}", values.tolist())
    found = loss_of(compare_runs(tmp_path / "a", tmp_path / "b"))
    assert found.step.tolist() == list(range(20))
    assert (found.runs, found.by_step, found.paired) == ((5, 4), True, False)
    for band, values in ((found.a, a), (found.b, b)):
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        np.testing.assert_allclose([band.low, band.median, band.high], [low, median, high])
    told = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [told.low, told.high])


def test_runs_of_other_steps_meet_at_common_ones_and_only_where_all_of_them_are(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "0", [10.0, 20.0, 30.0], steps=[10, 20, 30])
    write_run(tmp_path / "b" / "0", [0.0, 40.0], steps=[5, 25])
    comparison = compare_runs(tmp_path / "a", tmp_path / "b")
    found = loss_of(comparison)
    assert found.step.tolist() == [10, 20, 25]
    assert found.a.median.tolist() == pytest.approx([10, 20, 25])
    assert found.b.median.tolist() == pytest.approx([10, 30, 40])
    # Means over the steps 10 to 25, by the areas: 17.5 and 25.
    assert [side.members[0].values["loss_over_steps"] for side in (comparison.a, comparison.b)] == pytest.approx(
        [17.5, 25]
    )


def test_a_short_run_that_ends_the_comparison_early_is_said(tmp_path: Path) -> None:
    for name, values in (("a", 10), ("b", 3)):
        write_run(tmp_path / name / "0", [1.0] * values)
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert loss_of(found).step.tolist() == [0, 1, 2]
    assert "loss: compared from step 0 to 2, where all runs are; the longest reach from 0 to 9" in found.notes


def test_runs_without_a_common_step_have_no_course(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "0", [1.0, 2.0], steps=[0, 1])
    write_run(tmp_path / "b" / "0", [1.0, 2.0], steps=[5, 6])
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert found.courses == ()
    assert "loss: the runs share no step" in found.notes


@pytest.mark.parametrize("steps", [[None, None, None], [0, 1, 0]])
def test_without_steps_in_order_the_number_of_the_value_takes_their_place(
    tmp_path: Path, steps: list[int | None]
) -> None:
    write_run(tmp_path / "a" / "0", [1.0, 2.0, 3.0], steps=steps)
    write_run(tmp_path / "b" / "0", [1.0, 2.0], steps=[7, 9])
    found = loss_of(compare_runs(tmp_path / "a", tmp_path / "b"))
    assert not found.by_step
    assert found.step.tolist() == [0, 1]


def test_one_run_without_steps_in_order_puts_all_by_the_number_of_the_value_which_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "0", [1.0, 2.0, 3.0])
    write_run(tmp_path / "b" / "0", [1.0, 2.0, 3.0], steps=[10, 20, 5])
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert "loss: 1 of 2 runs have no steps in order: all are compared by the number of the value" in found.notes


def test_of_several_values_at_a_step_the_last_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "0", [1.0, 5.0, 2.0], steps=[0, 0, 1])
    write_run(tmp_path / "b" / "0", [1.0, 2.0], steps=[0, 1])
    assert loss_of(compare_runs(tmp_path / "a", tmp_path / "b")).a.median.tolist() == [5, 2]


def test_nan_is_a_gap_and_the_other_runs_go_on(tmp_path: Path) -> None:
    for n, losses in enumerate(([1.0, 2.0, 3.0], [1.0, NAN, 3.0], [1.0, 4.0, INF])):
        write_run(tmp_path / "a" / f"{n}", losses)
    write_run(tmp_path / "b" / "0", [1.0, NAN, 3.0])
    found = loss_of(compare_runs(tmp_path / "a", tmp_path / "b"))
    assert found.a.runs.tolist() == [3, 2, 2]
    assert found.a.median.tolist() == pytest.approx([1.0, 3.0, 3.0])
    np.testing.assert_array_equal(np.isnan(found.b.median), [False, True, False])
    assert np.isnan(found.low).all()  # one run in B


def test_many_steps_become_means_of_spans_that_lose_no_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    curves = rng.normal(0, 1, (2, 5001))
    curves[1, 2500] = 1000.0
    for n, losses in enumerate(curves):
        write_run(tmp_path / "ab"[n] / "0", losses.tolist())
    comparison = compare_runs(tmp_path / "a", tmp_path / "b")
    found = loss_of(comparison)
    assert len(found.step) == POINTS
    for band, losses, side in ((found.a, curves[0], comparison.a), (found.b, curves[1], comparison.b)):
        area = (losses.sum() - (losses[0] + losses[-1]) / 2) / 5000
        assert side.members[0].values["loss_over_steps"] == pytest.approx(area)
        assert band.median.mean() == pytest.approx(area)
    assert found.b.median.max() > 30  # a spike is in the mean of its span


def test_a_nan_among_many_steps_breaks_its_span_only(tmp_path: Path) -> None:
    losses = [1.0] * 4000
    losses[1000] = NAN
    write_run(tmp_path / "a" / "0", losses)
    write_run(tmp_path / "b" / "0", [1.0] * 4000)
    found = loss_of(compare_runs(tmp_path / "a", tmp_path / "b"))
    assert np.flatnonzero(np.isnan(found.a.median)).tolist() == [int(1000 / 3999 * POINTS)]
    assert not np.isnan(found.b.median).any()


def test_pairs_are_compared_step_by_step_within_themselves(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(0, 5, (6, 10))
    b = a + rng.normal(1.0, 0.1, (6, 10))
    for name, losses in (("a", a), ("b", b)):
        for seed, values in enumerate(losses):
            write_run(tmp_path / name / f"{seed}", values.tolist(), params={"seed": seed})
    found = loss_of(compare_runs(tmp_path / "a", tmp_path / "b"))
    told = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert found.paired
    np.testing.assert_allclose([found.low, found.high], [told.low, told.high], rtol=1e-6)


def test_runs_that_all_begin_alike_differ_by_nothing_there(tmp_path: Path) -> None:
    for name, end in (("a", 0.1), ("b", 0.2)):
        for n in range(3):
            write_run(tmp_path / name / f"{n}", [1.0, end + 0.01 * n])
    found = loss_of(compare_runs(tmp_path / "a", tmp_path / "b"))
    assert (found.low[0], found.difference[0], found.high[0]) == (0, 0, 0)
    assert found.low[1] > 0
