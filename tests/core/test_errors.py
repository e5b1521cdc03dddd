"""What errors carry and say."""

from datetime import timedelta

import pytest

from kubenode.core.errors import (
    ApiError,
    NotInstalled,
    PluginError,
    Problem,
    ProviderError,
    Retry,
    Unreachable,
)


def test_a_plugin_error_counts_and_names_every_problem() -> None:
    """One line each, under a head in the right number."""
    one, two = (
        Problem(where="rack", what="is a class", fix="make one"),
        Problem(where="chrony", what="is late"),
    )
    assert str(PluginError((one,))).splitlines()[0] == "1 plugin problem"
    assert str(PluginError((one, two))) == f"2 plugin problems\n  {one}\n  {two}"
    assert PluginError((one, two)).problems == (one, two)


def test_an_api_error_knows_the_servers_answer() -> None:
    """The status as it came, its code, and the pause that was asked for."""
    error = ApiError(
        "no", status={"code": 429, "reason": "TooManyRequests"}, retry_after=timedelta(seconds=3)
    )
    assert (error.code, error.retry_after, str(error)) == (429, timedelta(seconds=3), "no")
    assert ApiError("lost").code == 0
    assert ApiError("lost").status == {}
    assert ApiError.retry is Retry.NEVER
    assert Unreachable.retry is Retry.BACKOFF


@pytest.mark.parametrize("pause", [None, timedelta(minutes=1)])
def test_a_provider_error_knows_the_pause(pause: timedelta | None) -> None:
    """None when the cloud asked for none."""
    assert ProviderError("throttled", retry_after=pause).retry_after == pause
    assert str(ProviderError("throttled")) == "throttled"


def test_what_is_not_installed_is_named_line_by_line() -> None:
    """Each with what installs it."""
    one, two = (
        Problem(where="CRD machines", what="is missing", fix="kubenode install"),
        Problem(where="b", what="c"),
    )
    assert str(NotInstalled((one, two))) == f"{one}\n{two}"
    assert "kubenode install" in str(NotInstalled((one,)))
    assert NotInstalled((one, two)).problems == (one, two)
