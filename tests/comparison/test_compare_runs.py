"""compare_runs on real stores: what counts, what is said, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from quantum_monitor import QuantumMonitor
from quantum_monitor.comparison import Comparison, Difference, compare_runs, select_runs
from quantum_monitor.comparison.words import answer, sentence
from quantum_monitor.record import Record
from quantum_monitor.store.reader import StoredRun
from tests.comparison.comparison_runs import INF, NAN, STEPS, execution, write_group, write_run

GOOD = [0.10, 0.12, 0.11, 0.13, 0.09]
BAD = [0.20, 0.24, 0.21, 0.23, 0.22]


def one(comparison: Comparison, key: str) -> Difference:
    (found,) = [d for d in comparison.differences if d.metric.key == key]
    return found


def said(comparison: Comparison, key: str) -> str:
    return sentence(one(comparison, key), comparison)


def test_a_group_that_ends_lower_is_better_and_the_sentence_says_how(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "bad", BAD), write_group(tmp_path / "good", GOOD)
    found = compare_runs(a, b, metrics=["final_loss"])
    told = stats.ttest_ind(GOOD, BAD, equal_var=False)
    assert one(found, "final_loss").outcome.p == pytest.approx(told.pvalue)
    assert one(found, "final_loss").verdict == "better"
    assert said(found, "final_loss").startswith("B is lower by 0.11 (95 % CI 0.08694 to 0.1331), which is better; p ")
    assert said(found, "final_loss").endswith("(Welch, the only test)")
    assert answer(found) == "B is better in final_loss."
    assert answer(compare_runs(b, a, metrics=["final_loss"])) == "B is worse in final_loss."


def test_no_difference_is_never_claimed_only_that_none_was_shown(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", [x + 0.001 for x in reversed(GOOD)])
    found = compare_runs(a, b, metrics=["final_loss"])
    assert one(found, "final_loss").verdict == "not shown"
    assert said(found, "final_loss").startswith("no difference was shown, p = ")
    assert answer(found) == "No difference was shown, in 1 metric."


def test_one_run_against_one_shows_both_values_and_no_test(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "x" / "a", [1.0, 0.5]), write_run(tmp_path / "x" / "b", [1.0, 0.25])
    found = compare_runs(a, b)
    d = one(found, "final_loss")
    assert (d.a and d.a.mean, d.b and d.b.mean, d.outcome.difference, d.outcome.p) == (0.5, 0.25, -0.25, None)
    assert said(found, "final_loss") == (
        "not enough runs: A has 1, B has 1, a test takes at least 3 in each; B is lower by 0.25"
    )
    assert found.tests == 0
    assert answer(found) == "Not enough runs to show anything."


def test_runs_with_the_same_seeds_are_paired_whatever_their_order(tmp_path: Path) -> None:
    shift = [0.010, 0.012, 0.008, 0.011, 0.009]
    a = write_group(tmp_path / "a", BAD, seeds=[1, 2, 3, 4, 5])
    b = write_group(tmp_path / "b", [x - s for x, s in zip(BAD, shift, strict=True)][::-1], seeds=["5", 4, 3, 2, 1])
    found = compare_runs(a, b, metrics=["final_loss"])
    assert found.pairs == 5
    assert one(found, "final_loss").outcome.test == "paired-t"
    assert one(found, "final_loss").outcome.p == pytest.approx(stats.ttest_1samp(shift, 0).pvalue, rel=1e-6)
    assert one(compare_runs(a, b, test="welch", metrics=["final_loss"]), "final_loss").verdict == "not shown"


@pytest.mark.parametrize(("seeds", "pairs"), [
    ([1, 1, 2, 3, 4], 3),   # two runs have one seed: neither is paired
    ([1, 2, 7, 8, 9], 0),   # too few match
    ([1, 2, 3, 8, 9], 3),
    ([1, 2, 3, 6, 7, 8, 9], 0),  # less than half of the larger group
    ([None] * 5, 0),
])  # fmt: skip
def test_only_seeds_that_match_one_to_one_make_pairs(tmp_path: Path, seeds: list[int | None], pairs: int) -> None:
    a = write_group(tmp_path / "a", GOOD, seeds=[1, 2, 3, 4, 5])
    b = write_group(tmp_path / "b", (BAD * 2)[: len(seeds)], seeds=seeds)
    assert compare_runs(a, b).pairs == pairs


def test_asking_for_pairs_without_seeds_is_refused(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD)
    with pytest.raises(ValueError, match="same parameter or tag 'seed'"):
        compare_runs(a, b, test="paired")


def test_runs_that_failed_were_killed_or_go_on_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD)
    write_run(b / "broke", [9.0], status="failed")
    write_run(b / "gone", [9.0], status="running", writer={"pid": 1, "started": "never", "host": "elsewhere"})
    write_run(b / "stopped", [0.22], status="stopped")
    found = compare_runs(a, b)
    assert len(found.b.members) == 6
    assert dict(found.b.left_out)["broke"] == "failed"
    assert found.b.reasons.split(", ")[0] == "1 failed"
    assert any("1 stopped of 6 runs" in note for note in found.notes)
    assert len(compare_runs(a, b, include=["failed", "killed", "running"]).b.members) == 8
    with pytest.raises(ValueError, match="holds no run that has ended well: 1 failed"):
        compare_runs(a, b / "broke")


def test_a_run_that_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD)
    (b / "run-0" / "run.json").write_text("{")
    (b / "run-1" / "records.db").write_bytes(b"no database" * 1000)
    found = compare_runs(a, b)
    assert found.b.reasons == "2 unreadable"
    assert len(found.b.members) == 3


def test_runs_that_end_in_nan_count_with_their_last_finite_value_and_it_is_said(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD[:3])
    write_run(b / "nan", [0.5, 0.26, NAN, INF])
    write_run(b / "never", [NAN, NAN])
    found = compare_runs(a, b, metrics=["final_loss", "loss_over_steps"])
    ends = one(found, "final_loss").b
    assert ends is not None
    assert (ends.runs, ends.mean, ends.highest) == pytest.approx((4, np.mean([*BAD[:3], 0.26]), 0.26))
    assert "final_loss: 1 of 5 runs of B end in NaN or infinity; the last finite value counts" in found.notes
    assert "final_loss: 1 of 5 runs of B do not have it" in found.notes
    assert "loss_over_steps: 2 of 5 runs of B do not have it" in found.notes
    assert "loss: 1 of 9 runs have NaN or infinity on the way: they have no mean over the steps" in found.notes


def test_costs_are_compared_by_currency_and_kind_and_times_by_execution(tmp_path: Path) -> None:
    for name, price in (("a", 1.0), ("b", 2.0)):
        for n in range(3):
            records = [execution(0.1 * n, price + 0.1 * n), execution(0.3, price), execution(0.2, 5.0, currency="EUR")]
            write_run(tmp_path / name / f"{n}", [1.0], records=records)
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    dollars = one(found, "cost:USD:reported")
    assert (dollars.metric.unit, dollars.metric.better, dollars.verdict) == ("USD", "lower", "worse")
    assert dollars.outcome.difference == pytest.approx(2.0)
    assert one(found, "cost:EUR:reported").outcome.why == "all runs have the same value"
    assert [m.values["executions"] for m in found.a.members] == [3.0] * 3
    assert [m.values["mean_execution_time"] for m in found.a.members] == pytest.approx([0.5 / 3, 0.6 / 3, 0.7 / 3])


def test_the_step_that_reaches_an_aim_is_compared_unless_a_run_never_got_there(tmp_path: Path) -> None:
    for name, steps in (("a", (3, 4, 6)), ("b", (10, 13, 14))):
        for step in steps:
            write_run(tmp_path / name / f"{step}", [1.0] * step + [0.01] * (20 - step))
    found = compare_runs(tmp_path / "a", tmp_path / "b", metrics=["final_loss"], aims={"loss": 0.5})
    assert [m.values["steps_to_loss"] for m in found.a.members] == [3.0, 4.0, 6.0]
    assert one(found, "steps_to_loss").verdict == "worse"
    assert one(found, "steps_to_loss").metric.title == "Step at which the loss reaches 0.5"
    write_run(tmp_path / "a" / "never", [1.0] * 20)
    biased = compare_runs(tmp_path / "a", tmp_path / "b", metrics=["final_loss"], aims={"loss": 0.5})
    assert one(biased, "steps_to_loss").outcome.p is None
    assert "never reached 0.5 (1 of 4 in A, 0 of 3 in B)" in said(biased, "steps_to_loss")
    with pytest.raises(ValueError, match="aims: 'price'"):
        compare_runs(tmp_path / "a", tmp_path / "b", aims={"price": 1.0})


def test_p_values_are_adjusted_over_all_that_were_tested(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for name, shift in (("a", 0.0), ("b", 0.8)):
        for n in range(6):
            own = {"x": rng.normal(shift), "y": rng.normal(), "z": 1.0}
            write_run(tmp_path / name / f"{n}", [rng.normal(shift)], records=[Record("custom", 101.0, None, own)])
    found = compare_runs(tmp_path / "a", tmp_path / "b", metrics=["final_loss", "custom:*"])
    raw = {d.metric.key: d.outcome.p for d in found.differences if d.outcome.p is not None}
    assert (found.tests, set(raw)) == (3, {"final_loss", "custom:x", "custom:y"})
    ordered = sorted(raw.values())
    by_hand = np.minimum(1.0, np.maximum.accumulate([3 * ordered[0], 2 * ordered[1], ordered[2]]))
    assert sorted(d.adjusted for d in found.differences if d.adjusted is not None) == pytest.approx(by_hand)
    assert one(found, "custom:x").metric.better is None


def test_a_metric_that_passes_only_before_the_adjustment_is_named_and_how_to_ask_for_it(tmp_path: Path) -> None:
    for name, ends in (("a", BAD), ("b", [0.193, 0.203, 0.183, 0.213, 0.178])):
        for n, end in enumerate(ends):
            own = {f"same-{k}": float((n + k) % 5) for k in range(6)}
            write_run(tmp_path / name / f"{n}", [end], records=[Record("custom", 101.0, None, own)])
    found = compare_runs(tmp_path / "a", tmp_path / "b", metrics=["final_loss", "custom:*"])
    d = one(found, "final_loss")
    assert d.outcome.p is not None
    assert d.adjusted is not None
    assert d.outcome.p < 0.05 < d.adjusted
    (note,) = [note for note in found.notes if "adjustment" in note]
    assert note == (
        "final_loss: p is at most 0.05 before the adjustment over 7 metrics and above it after; a question decided "
        "before looking at the results can be asked alone, with --metric NAME (metrics=[...] in Python)"
    )
    assert note in found.to_text()
    assert note in found.to_html()
    alone = compare_runs(tmp_path / "a", tmp_path / "b", metrics=["final_loss"])
    assert one(alone, "final_loss").verdict == "better"
    assert alone.notes == ()


def test_parameters_that_differ_between_and_within_groups_are_named(tmp_path: Path) -> None:
    for name, rates in (("a", (0.1, 0.1, 0.1)), ("b", (0.1, 0.2, 0.2))):
        for n, rate in enumerate(rates):
            params = {"optimizer": {"name": name, "rate": rate}, "same": 1, "seed": n}
            write_run(tmp_path / name / f"{n}", [1.0], params=params)
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert [(s.name, s.a, s.b, s.mixed) for s in found.settings] == [
        ("optimizer.name", (("a", 3),), (("b", 3),), False),
        ("optimizer.rate", (("0.1", 3),), (("0.2", 2), ("0.1", 1)), True),
    ]


def test_runs_are_found_by_name_pattern_experiment_id_parameter_and_tag(tmp_path: Path) -> None:
    write_run(tmp_path / "h2" / "adam-1", [1.0], params={"optimizer": "adam", "layers": 2}, tags={"paper": "yes"})
    write_run(tmp_path / "h2" / "odd[1]", [1.0], params={"optimizer": "spsa"}, tags={"a=b": "c"})
    write_run(tmp_path / "lih" / "adam-2", [1.0])

    def names(*wanted: str) -> list[str]:
        return sorted(run.directory.name for run in select_runs(tmp_path, *wanted))

    assert names("adam-*") == ["adam-1", "adam-2"]
    assert names("odd[1]") == ["odd[1]"]
    assert names("lih") == names("lih/adam-2") == names("lih/*") == ["adam-2"]
    assert names("optimizer=adam") == names("layers=2") == names("paper=y*") == ["adam-1"]
    assert names("optimizer=*", "lih") == ["adam-1", "adam-2", "odd[1]"]
    assert names("adam") == ["adam-1", "adam-2"]  # the beginning of an id
    assert names("nothing", "") == []


def test_groups_can_be_opened_runs_and_lists(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD)
    listed = compare_runs(
        [StoredRun(run) for run in sorted(a.iterdir())], [b / "run-0", str(b)], metrics=["final_loss"]
    )
    assert listed.differences == compare_runs(a, b, metrics=["final_loss"]).differences
    assert listed.a.name == "run-0, run-1, run-2, run-3, run-4"


def test_what_cannot_be_compared_is_refused_with_a_reason(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD)
    with pytest.raises(ValueError, match="run-1: in both groups"):
        compare_runs(a / "run-1", a)
    with pytest.raises(ValueError, match="no run has 'lose'; they have final_loss, best_loss"):
        compare_runs(a, b, metrics=["lose"])
    with pytest.raises(ValueError, match="confidence: 95"):
        compare_runs(a, b, confidence=95)
    with pytest.raises(ValueError, match="test: 'student'"):
        compare_runs(a, b, test="student")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="include: 'all'"):
        compare_runs(a, b, include=["all"])
    with pytest.raises(FileNotFoundError, match="holds no runs"):
        compare_runs(a, tmp_path / "nowhere")


def test_the_metrics_of_a_monitored_training_are_there(new_monitor: Callable[..., QuantumMonitor]) -> None:
    monitor = new_monitor()
    for name in ("one", "two"):
        with monitor.start_run(name):
            for step in range(3):
                monitor.log_training_step(1.0 / (step + 1), np.ones(3), np.ones(3), step)
                monitor.log_quantum_state(np.array([1, 0, 0, 1]) / np.sqrt(2), step, np.array([1, 0, 0, 0]))
            monitor.log_metrics({"accuracy": 0.9})
            monitor.log_circuit_execution({"gates": []}, 0.1, queue_time=2.0, cost=0.3, backend_info="aer")
    storage = monitor.storage_path
    found = compare_runs(select_runs(storage, "one"), select_runs(storage, "two"))
    values = found.a.members[0].values
    assert values.keys() >= {d.metric.key for d in found.differences}
    assert {d.metric.key for d in found.differences} == {
        "final_loss", "best_loss", "final_fidelity", "best_fidelity", "final_entanglement_entropy", "steps", "duration",
        "executions", "mean_execution_time", "mean_queue_time", "cost:USD:reported", "custom:accuracy",
        "loss_over_steps", "fidelity_over_steps",
    }  # fmt: skip
    assert (values["final_fidelity"], values["steps"], values["final_gradient_norm"]) == pytest.approx((0.5, 3, 3**0.5))
    assert {d.metric.key for d in compare_runs(found.a.members[0].run, found.b.members[0].run, metrics=["grad_norm"])
            .differences} == {"final_gradient_norm", "gradient_norm_over_steps"}  # fmt: skip


def test_a_name_is_not_taken_for_the_beginning_of_the_id_of_another_run(tmp_path: Path) -> None:
    write_run(tmp_path / "x" / "1", [1.0], name="b", run_id="a0")
    write_run(tmp_path / "x" / "2", [1.0], name="a", run_id="b0")
    assert [run.info["name"] for run in select_runs(tmp_path, "a")] == ["a"]
    assert [run.info["name"] for run in select_runs(tmp_path, "a0")] == ["b"]


def test_a_number_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    write_run(tmp_path / "x" / "1", [1.0], params={"rate": 1e-5, "layers": 2, "warm": True})
    assert [len(select_runs(tmp_path, text)) for text in ("rate=1e-5", "rate=0.00001", "layers=2.0")] == [1, 1, 1]
    assert [len(select_runs(tmp_path, text)) for text in ("rate=1e-6", "warm=1", "layers=many")] == [0, 0, 0]


def test_runs_without_a_partner_are_in_no_test_which_is_said(tmp_path: Path) -> None:
    a = write_group(tmp_path / "a", GOOD, seeds=[1, 2, 3, 4, 5])
    b = write_group(tmp_path / "b", [*BAD, 9.0], seeds=[1, 2, 3, 4, 8, 9])
    found = compare_runs(a, b, metrics=["final_loss"])
    assert found.pairing == (
        "4 pairs with the same seed; no partner, so in the columns A and B but in no test: 1 of A, 2 of B"
    )
    assert one(found, "final_loss").outcome.difference == pytest.approx(np.mean(BAD[:4]) - np.mean(GOOD[:4]))


def test_a_difference_that_ranks_show_has_a_direction_where_its_median_is_0(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", [1.0] * 20), write_group(tmp_path / "b", [1.0] * 12 + [0.5] * 8)
    found = compare_runs(a, b, metrics=["final_loss"])
    shown = one(found, "final_loss")
    assert shown.outcome.p == pytest.approx(stats.mannwhitneyu([1.0] * 12 + [0.5] * 8, [1.0] * 20).pvalue)
    assert (shown.outcome.difference, shown.verdict) == (0.0, "better")
    assert said(found, "final_loss") == (
        "B is lower more often than higher, which is better, by 0 in the median (95 % CI -0.5 to 0); "
        "p = 0.0019 (Mann-Whitney, the only test)"
    )
    assert one(compare_runs(b, a, metrics=["final_loss"]), "final_loss").verdict == "worse"


def test_metrics_that_the_same_runs_lack_share_a_sentence(tmp_path: Path) -> None:
    a, b = write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD)
    write_run(b / "empty", [])
    found = compare_runs(a, b, metrics=["loss", "duration"])
    assert found.notes == ("final_loss, best_loss, loss_over_steps: 1 of 6 runs of B do not have it",)


def test_nothing_is_found_between_halves_of_the_same_runs_more_often_than_the_level(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    runs = []
    for n in range(12):
        own = {name: rng.normal() for name in "uvwxyz"}
        directory = write_run(tmp_path / "all" / f"{n}", [rng.normal()], records=[Record("custom", 101.0, None, own)])
        runs.append(StoredRun(directory))
    found, rounds = 0, 60
    for _ in range(rounds):
        order = rng.permutation(12)
        comparison = compare_runs([runs[n] for n in order[:6]], [runs[n] for n in order[6:]],
                                  metrics=["custom:*"], confidence=0.8)  # fmt: skip
        found += any(d.verdict in {"lower", "higher"} for d in comparison.differences)
    assert found <= 1.3 * 0.2 * rounds


def test_the_loss_of_the_written_runs_ends_where_it_was_told_to(tmp_path: Path) -> None:
    found = compare_runs(write_group(tmp_path / "a", GOOD), write_group(tmp_path / "b", BAD))
    assert [m.values["final_loss"] for m in found.a.members] == GOOD
    assert [m.values["steps"] for m in found.a.members] == [STEPS] * 5
    assert {m.values["duration"] for m in found.a.members} == {10.0}
