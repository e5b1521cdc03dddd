"""The freeze switch: which scopes it covers, and that it ends by both clocks."""

from datetime import UTC, datetime, timedelta

import pytest

from kubenode.core.health.freeze import frozen, thaws
from kubenode.core.model import Freeze, Now, ObjectMeta, RiskPolicy, RiskPolicySpec, Scope

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000
NOW = Now(wall=START, elapsed=7 * SECOND)
HOUR = timedelta(hours=1)


def policy(*freezes: Freeze) -> RiskPolicy:
    """Make a policy that only freezes."""
    return RiskPolicy(metadata=ObjectMeta(name="p"), spec=RiskPolicySpec(freeze=freezes))


def freeze(scope: Scope, name: str = "", until: datetime | None = None, reason: str = "power work") -> Freeze:
    """Make a freeze."""
    return Freeze(scope=scope, name=name, until=until, reason=reason)


@pytest.mark.parametrize(
    ("scope", "name", "zone", "sets", "expected"),
    [
        (Scope.CLUSTER, "", "b", ("x",), True),
        (Scope.CLUSTER, "", "", (), True),
        (Scope.ZONE, "b", "b", (), True),
        (Scope.ZONE, "b", "c", ("b",), False),
        (Scope.ZONE, "", "", (), True),
        (Scope.ZONE, "", "b", (), False),
        (Scope.SET, "x", "b", ("w", "x"), True),
        (Scope.SET, "x", "x", (), False),
    ],
)
def test_scope(scope: Scope, name: str, zone: str, sets: tuple[str, ...], expected: bool) -> None:
    """A freeze covers its scope and nothing beside it."""
    assert (frozen(zone, sets, [policy(freeze(scope, name))], NOW) is not None) is expected


def test_note_says_where_until_when_and_why() -> None:
    """Who waits reads the reason that a person gave."""
    note = frozen("b", (), [policy(freeze(Scope.ZONE, "b", START + HOUR))], NOW)
    assert note is not None
    assert (note.code, note.scope, note.frees_at) == ("Frozen", "zone b", 3607 * SECOND)
    assert note.text == "zone b: frozen until 2026-01-01T01:00:00+00:00: power work"
    endless = frozen("b", (), [policy(freeze(Scope.CLUSTER))], NOW)
    assert endless is not None
    assert (endless.text, endless.frees_at) == ("cluster: frozen until a person ends it: power work", None)


def test_ends_at_its_stamp() -> None:
    """It holds until exactly the stamp, and one without a zone is read as UTC."""
    naive = (START + HOUR).replace(tzinfo=None)
    for until in (START + HOUR, naive):
        policies = [policy(freeze(Scope.CLUSTER, until=until))]
        seen = thaws(policies, NOW, {})
        assert list(seen.values()) == [3607 * SECOND]
        before = Now(wall=START + HOUR - timedelta(microseconds=1), elapsed=3607 * SECOND - 1000)
        assert frozen("b", (), policies, before, seen) is not None
        at = Now(wall=START + HOUR, elapsed=3607 * SECOND)
        assert frozen("b", (), policies, at, seen) is None
        assert thaws(policies, at, seen) == {}


def test_wall_clock_that_jumps_ends_nothing_early() -> None:
    """A jump ahead does not thaw what this process has seen frozen, and a jump back keeps it frozen for longer."""
    policies = [policy(freeze(Scope.CLUSTER, until=START + HOUR))]
    seen = thaws(policies, NOW, {})
    ahead = Now(wall=START + timedelta(days=1), elapsed=NOW.elapsed + SECOND)
    note = frozen("b", (), policies, ahead, seen)
    assert note is not None
    assert note.frees_at == 3607 * SECOND
    behind = Now(wall=START - HOUR, elapsed=3607 * SECOND)
    note = frozen("b", (), policies, behind, seen)
    assert note is not None
    assert note.frees_at == next(iter(thaws(policies, behind, seen).values())) == (3607 + 7200) * SECOND


def test_of_several_freezes_the_last_to_end_is_named() -> None:
    """One that a person must end outlasts every stamp, wherever it stands."""
    short, long, endless = (
        policy(freeze(Scope.CLUSTER, until=until, reason=reason))
        for until, reason in ((START + HOUR, "short"), (START + 2 * HOUR, "long"), (None, "endless"))
    )
    for policies, reason in (([short, long], "long"), ([long, short], "long"), ([endless, long], "endless")):
        note = frozen("b", (), policies, NOW)
        assert note is not None
        assert note.text.endswith(reason)
