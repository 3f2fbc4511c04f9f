"""Every schedule: a weight in [0, 1] for any progress, the full weight at the end."""

import pytest

from vaeworks.objectives import ELBO, SCHEDULES, Constant, Cyclical, LinearWarmUp

CASES: dict[str, list[dict[str, object]]] = {
    "constant": [{}],
    "linear": [{}, {"fraction": 0.5, "start": 0.2}, {"fraction": 1.0}],
    "cyclical": [{}, {"cycles": 1, "rise": 1.0}, {"cycles": 7, "rise": 0.1}],
}
law = pytest.mark.parametrize(("name", "knobs"), [(name, knobs) for name, all_ in CASES.items() for knobs in all_])


def test_every_schedule_is_under_law() -> None:
    assert set(CASES) == set(SCHEDULES)


@law
def test_weight_stays_between_zero_and_one_and_ends_at_one(name: str, knobs: dict[str, object]) -> None:
    schedule = SCHEDULES[name](**knobs)
    weights = [schedule(step / 997) for step in range(998)]
    assert all(isinstance(weight, float) and 0 <= weight <= 1 for weight in weights)
    assert schedule(1.0) == 1


@law
def test_the_objective_hands_it_on(name: str, knobs: dict[str, object]) -> None:
    schedule = SCHEDULES[name](**knobs)
    assert ELBO(schedule=schedule).weight(0.05) == schedule(0.05)


def test_constant() -> None:
    assert {Constant()(progress) for progress in (0.0, 0.3, 1.0)} == {1.0}


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.2), (0.25, 0.6), (0.5, 1.0), (0.9, 1.0)])
def test_linear_rises_then_holds(progress: float, weight: float) -> None:
    assert LinearWarmUp(fraction=0.5, start=0.2)(progress) == pytest.approx(weight)


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.0625, 0.5), (0.125, 1.0), (0.2, 1.0), (0.25, 0.0), (0.3125, 0.5), (0.999, 1.0)])
def test_cyclical_rises_holds_and_starts_again(progress: float, weight: float) -> None:
    assert Cyclical(cycles=4, rise=0.5)(progress) == pytest.approx(weight)
