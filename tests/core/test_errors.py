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
    refusal,
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


@pytest.mark.parametrize(
    ("what", "reason", "text"),
    [
        ("PluginMissing: no action 'x'", "PluginMissing", "no action 'x'"),
        ("A: b: c", "A", "b: c"),
        (f"{'A' * 64}: b", "A" * 64, "b"),
        (f"{'A' * 65}: b", "PluginFailed", f"{'A' * 65}: b"),
        ("no reason: b", "PluginFailed", "no reason: b"),
        ("reason: b", "PluginFailed", "reason: b"),
        ("Reason2: b", "PluginFailed", "Reason2: b"),
        ("Reason\n: b", "PluginFailed", "Reason\n: b"),
        ("\u00c9chec: b", "PluginFailed", "\u00c9chec: b"),
        (": b", "PluginFailed", ": b"),
        ("Reason", "PluginFailed", "Reason"),
    ],
)
def test_a_refusal_is_a_reason_and_a_text(what: str, reason: str, text: str) -> None:
    """A word of a condition at its head is the reason; whatever else stands there is text, and says how to mend it."""
    assert refusal(Problem(where="ladder[0]", what=what)) == (reason, f"ladder[0]: {text}")
    assert refusal(Problem(where="w", what=what, fix="do")) == (reason, f"w: {text}; do")


def test_the_text_of_a_refusal_fits_a_condition() -> None:
    """Cut at 2,048 characters."""
    assert refusal(Problem(where="w", what="x" * 3000)) == ("PluginFailed", ("w: " + "x" * 3000)[:2048])
