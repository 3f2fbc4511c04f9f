import pytest

from vaeworks import data
from vaeworks.data import Options
from vaeworks.errors import DataError


def test_public_names_exist_and_are_all_listed() -> None:
    assert sorted(data.__all__) == data.__all__
    assert all(hasattr(data, name) for name in data.__all__)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 7}, "7 x 7"),
        ({"size": (28, 257)}, "28 x 257"),
        ({"binarisation": "soft"}, "'soft' is unknown: choose one of none, threshold, dynamic, static"),
        ({"split": "dev"}, "'dev' is unknown: choose one of train, validation, test, all"),
        ({"validation": 1.0}, "validation=1.0"),
        ({"test": -0.1}, "test=-0.1"),
        ({"test": float("nan")}, "test=nan"),
        ({"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_a_value_out_of_range_is_named_with_the_cure(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match="choose") as caught:
        Options(**wrong)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_size_is_a_side_or_height_and_width() -> None:
    assert Options(size=32).target() == (32, 32)
    assert Options(size=(20, 28)).target() == (20, 28)
