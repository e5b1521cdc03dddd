"""The driver of units: its laws, and the table of what is done about which file, enablement and running state."""

from typing import Any

import attrs
import pytest

from kubenode.components import (
    ConfigState,
    Desired,
    Disruption,
    Effect,
    EnableUnit,
    Have,
    InvalidObjectError,
    ReloadUnit,
    RemoveFile,
    RestartUnit,
    Running,
    Seen,
    Step,
    StopUnit,
    UnitDriver,
    UnitParams,
    WriteFile,
    conformance,
)
from kubenode.runtime.parameters import structured

UNIT = "app.service"
OWN, FIRST, SECOND = (
    f"/etc/systemd/system/{one}" for one in (UNIT, f"{UNIT}.d/10-a.conf", f"{UNIT}.d/50-b.conf")
)
PARAMS = UnitParams(unit=UNIT, content="own", drop_ins={"50-b": "b", "10-a": "a"}, enabled=True)
FOREIGN = UnitParams(unit=UNIT, drop_ins={"10-a": "a"})
FILES = {OWN: b"own", FIRST: b"a", SECOND: b"b"}
R, S, A = Running.RUNNING, Running.STOPPED, Running.ABSENT
C, D, U = ConfigState.CURRENT, ConfigState.DRIFTED, ConfigState.UNKNOWN
RESTART, STOP, ENABLE = RestartUnit(unit=UNIT), StopUnit(unit=UNIT), EnableUnit(unit=UNIT, enabled=True)

test_unit = conformance.component(
    UnitDriver(), want=Desired(version="2", params=PARAMS),
    other=Desired(version="1", params=attrs.evolve(PARAMS, content="old", enabled=False)),
)  # fmt: skip
test_unit_of_somebody_else = conformance.component(UnitDriver(), want=Desired(version="1", params=FOREIGN))
test_unit_that_is_only_enabled = conformance.component(
    UnitDriver(), want=Desired(version="1", params=UnitParams(unit=UNIT, enabled=True))
)
test_unit_that_reloads = conformance.component(
    UnitDriver(), want=Desired(version="1", params=attrs.evolve(PARAMS, effect=Effect.RELOAD))
)


def writes(then: Any) -> tuple[Step, ...]:
    """All its files."""
    return tuple(WriteFile(path=path, content=content, then=then) for path, content in FILES.items())


@pytest.mark.parametrize(
    ("state", "found", "steps"),
    [
        (R, Have(version="2", config=C, state=R), ()),
        (R, Have(version="2", config=C, state=S), (RESTART,)),
        (R, Have(version="2", config=D, state=R), (ENABLE,)),
        (R, Have(version="2", config=D, state=S), (ENABLE, RESTART)),
        (R, Have(version="", config=D, state=R), (*writes(RESTART), ENABLE)),
        (R, Have(version="", config=U, state=A), (*writes(RESTART), ENABLE)),
        (S, Have(version="2", config=C, state=R), (STOP,)),
        (S, Have(version="", config=D, state=S), (*writes(None), ENABLE)),
        (S, Have(version="", config=U, state=A), (*writes(None), ENABLE, STOP)),
        (A, Have(version="", config=U, state=A), ()),
        (
            A,
            Have(version="2", config=C, state=R),
            (STOP, EnableUnit(unit=UNIT, enabled=False), *(RemoveFile(path=p, content=c, then=None) for p, c in FILES.items())),
        ),
    ],
)  # fmt: skip
def test_the_steps(state: Running, found: Have, steps: tuple[Step, ...]) -> None:
    """Files, then whether it starts at boot, then what it does; the restart belongs to the files."""
    assert UnitDriver().plan(Desired(version="2", params=PARAMS, state=state), found) == steps


def test_what_reloads_is_started_by_a_step_of_its_own() -> None:
    """Unless it runs."""
    want = Desired(version="2", params=attrs.evolve(PARAMS, effect=Effect.RELOAD, enabled=None))
    loads = writes(ReloadUnit(unit=UNIT))
    assert UnitDriver().plan(want, Have(version="", config=D, state=R)) == loads
    assert UnitDriver().plan(want, Have(version="", config=D, state=S)) == (*loads, RESTART)


@pytest.mark.parametrize(
    ("params", "seen", "have"),
    [
        (PARAMS, Seen(files=FILES, units={UNIT: "active"}, enabled={UNIT: "enabled"}), Have(version="2", config=C, state=R)),
        (PARAMS, Seen(files=FILES, units={UNIT: "active"}, enabled={UNIT: "disabled"}), Have(version="2", config=D, state=R)),
        (PARAMS, Seen(files={**FILES, FIRST: b"x"}, units={UNIT: "failed"}, enabled={UNIT: "enabled"}), Have(version="", config=D, state=S)),
        (PARAMS, Seen(files={OWN: b"own"}, units={UNIT: "active"}, enabled={UNIT: "enabled"}), Have(version="", config=D, state=R)),
        (PARAMS, Seen(files={FIRST: b"a"}, units={UNIT: "active"}), Have(version="", config=U, state=A)),
        (attrs.evolve(PARAMS, enabled=False), Seen(files=FILES, units={UNIT: "active"}, enabled={UNIT: "enabled"}), Have(version="2", config=D, state=R)),
        (attrs.evolve(PARAMS, enabled=None), Seen(files=FILES, units={UNIT: "active"}), Have(version="2", config=C, state=R)),
        (FOREIGN, Seen(), Have(version="", config=U, state=A)),
        (FOREIGN, Seen(units={UNIT: "active"}), Have(version="", config=D, state=R)),
        (FOREIGN, Seen(files={FIRST: b"a"}, units={UNIT: "inactive"}), Have(version="2", config=C, state=S)),
    ],
)  # fmt: skip
def test_it_is_judged_by_file_enablement_and_state(params: UnitParams, seen: Seen, have: Have) -> None:
    """A unit whose own file is not there is not there, whatever still runs; one of a package is what systemd knows."""
    assert UnitDriver().judge(Desired(version="2", params=params), seen) == have


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (Seen(units={UNIT: "inactive"}), A),
        (Seen(units={UNIT: "active"}), R),
        (Seen(units={UNIT: "inactive"}, files={FIRST: b"a"}), S),
        (Seen(units={UNIT: "inactive"}, enabled={UNIT: "enabled"}), S),
    ],
)
def test_what_is_gone(seen: Seen, state: Running) -> None:
    """Neither file nor run nor start at boot is left."""
    params = attrs.evolve(FOREIGN, enabled=True)
    found = UnitDriver().judge(Desired(version="2", params=params, state=A), seen)
    assert (found.state, bool(UnitDriver().plan(Desired(version="2", params=params, state=A), found))) == (
        state,
        state is not A,
    )


def test_what_somebody_has_changed_is_not_removed() -> None:
    """None of its files is then."""
    want = Desired(version="2", params=PARAMS, state=A)
    found = UnitDriver().judge(want, Seen(files={**FILES, SECOND: b"mine"}))
    with pytest.raises(
        InvalidObjectError, match=r"a file of app\.service has another content than was written"
    ):
        UnitDriver().plan(want, found)


def test_an_effect_that_its_class_does_not_allow_is_refused() -> None:
    """Nobody would drain the node."""
    params = attrs.evolve(PARAMS, effect=Effect.DRAIN)
    want = Desired(version="2", params=params, disruption=Disruption.RESTART)
    with pytest.raises(InvalidObjectError, match=r"write spec\.disruption: drain"):
        UnitDriver().plan(want, Have(version="2", config=C, state=R))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"unit": "a b"}, "is not the name of a unit"),
        ({"unit": None}, "must be text, not null @ $.unit"),
        ({"drop_ins": {"../x": ""}}, "is no name of small letters"),
        ({"drop_ins": {"a" * 64: ""}}, "is no name of small letters"),
        ({"enabled": "yes"}, "must be true or false"),
    ],
)
def test_wrong_parameters_are_refused(given: dict[str, Any], says: str) -> None:
    """As they are read from an object."""
    with pytest.raises(InvalidObjectError) as raised:
        structured({"unit": UNIT, **given}, UnitParams, "spec.parameters")
    assert says in str(raised.value)
