"""Numbers that no JSON has, and numbers beyond any float, which only a hand-made mapping holds."""

import math

import pytest

from kubenode.core.schema import Cause, validate

RATIO = {"type": "object", "properties": {"ratio": {"type": "number", "minimum": 0, "maximum": 9}}}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_refused_once(value: float) -> None:
    """Not compared with bounds, which NaN would pass."""
    message = f"Invalid value: {value}: ratio in body is no number"
    assert validate({"ratio": value}, RATIO) == (Cause("FieldValueInvalid", message, "ratio"),)


@pytest.mark.parametrize(
    ("value", "shown", "bound"),
    [
        (1e308, "1e+308", "less than or equal to 9"),
        (-1e308, "-1e+308", "greater than or equal to 0"),
        (2.0**1023, "9e+307", "less than or equal to 9"),
    ],
)
def test_what_is_beyond_bounds_by_far_is_shown_shortly(value: float, shown: str, bound: str) -> None:
    """One digit and an exponent, of either sign."""
    (cause,) = validate({"ratio": value}, RATIO)
    assert cause.message == f"Invalid value: {shown}: ratio in body should be {bound}"
