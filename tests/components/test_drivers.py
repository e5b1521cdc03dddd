"""The laws of our component drivers, on a fake host in any state; then the table of each."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode import components
from kubenode.components import (
    Access,
    ArtifactDriver,
    ArtifactFormat,
    ArtifactParams,
    ComponentDriver,
    ConfigState,
    Desired,
    Disruption,
    Effect,
    FileAccess,
    FileDriver,
    FileParams,
    Have,
    InstallArtifact,
    InstallPackage,
    InvalidObjectError,
    PackageDriver,
    PackageParams,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    Running,
    Seen,
    Step,
    StopUnit,
    WriteFile,
)
from kubenode.components.conformance import FakeHost
from kubenode.core.host.plan import is_at_target
from kubenode.core.model import ComponentEntry, MachineComponent, MachineComponentSpec, ObjectMeta
from kubenode.runtime.parameters import structured

UNIT, PATH = "kubelet.service", "/etc/kubelet/config.yaml"
R, S, A = Running.RUNNING, Running.STOPPED, Running.ABSENT
RESTART, STOP = RestartUnit(unit=UNIT), StopUnit(unit=UNIT)

HOSTS = st.builds(
    FakeHost,
    files=st.fixed_dictionaries({}, optional={PATH: st.sampled_from([b"new\n", b"old\n", b""])}),
    units=st.fixed_dictionaries({}, optional={UNIT: st.sampled_from(["active", "inactive", "failed", "reloading"])}),
    packages=st.fixed_dictionaries({}, optional={"kubelet": st.sampled_from(["1.1", "1.2", "1.3"])}),
    artifacts=st.fixed_dictionaries({}, optional={"/usr/local/bin/kubelet": st.sampled_from(["1" * 64, "2" * 64, ""])}),
)  # fmt: skip
UNITS = st.sampled_from([None, UNIT])
PACKAGES = st.builds(
    lambda unit, state: (PackageDriver(), Desired(version="1.2", params=PackageParams(package="kubelet", unit=unit), state=state)),
    UNITS, st.sampled_from(Running),
)  # fmt: skip
FILES = st.builds(
    lambda unit, state: (FileDriver(), Desired(version="1.2", params=FileParams(path=PATH, content="new\n", unit=unit), state=state)),
    UNITS, st.sampled_from([R, S]),
)  # fmt: skip
ARTIFACT = ArtifactParams(
    path="/usr/local/bin/kubelet", url="https://x/kubelet?token=s3cr3t", sha256="2" * 64
)
ARTIFACTS = st.builds(
    lambda unit, state: (ArtifactDriver(), Desired(version="1.2", params=attrs.evolve(ARTIFACT, unit=unit), state=state)),
    UNITS, st.sampled_from(Running),
)  # fmt: skip
CASES: st.SearchStrategy[tuple[ComponentDriver[Any], Desired[Any]]] = PACKAGES | FILES | ARTIFACTS


def at_target(want: Desired[Any], have: Have) -> bool:
    """Judge as the agent does."""
    spec = MachineComponentSpec(version=want.version, driver="any")
    component = MachineComponent(metadata=ObjectMeta(name="c"), spec=spec)
    return is_at_target(
        ComponentEntry(set="s", component="c", revision="1", state=want.state), component, have
    )


def found(host: FakeHost, driver: ComponentDriver[Any], want: Desired[Any]) -> Have:
    """Ask a driver what it finds on a host."""
    return driver.judge(want, host.look(driver.probes(want)))


@given(case=CASES, host=HOSTS)
def test_plan_is_empty_after_its_own_steps(
    case: tuple[ComponentDriver[Any], Desired[Any]], host: FakeHost
) -> None:
    """From any state the steps lead to the target, and at the target there is nothing to do."""
    driver, want = case
    before = found(host, driver, want)
    steps = driver.plan(want, before)
    assert bool(steps) is not at_target(want, before)
    host.apply(*steps)
    after = found(host, driver, want)
    assert at_target(want, after)
    assert driver.plan(want, after) == ()


@given(case=CASES, host=HOSTS, cut=st.integers(0, 3))
def test_killed_between_two_steps_a_new_plan_finishes(
    case: tuple[ComponentDriver[Any], Desired[Any]], host: FakeHost, cut: int
) -> None:
    """After any prefix of the steps the host does not look well unless it is, and a new plan mends it."""
    driver, want = case
    host.apply(*driver.plan(want, found(host, driver, want))[:cut])
    host.apply(*driver.plan(want, found(host, driver, want)))
    assert at_target(want, found(host, driver, want))


@given(case=CASES, host=HOSTS)
def test_probes_cover_what_judge_reads(
    case: tuple[ComponentDriver[Any], Desired[Any]], host: FakeHost
) -> None:
    """Told of the whole host, judge finds the same as told of its probes only."""
    driver, want = case
    held = {name: host.held.get(name, False) for name in host.packages}
    whole = Seen(
        files=host.files, units=host.units, packages=host.packages, artifacts=host.artifacts, held=held
    )  # fmt: skip
    assert driver.judge(want, whole) == found(host, driver, want)


@given(case=CASES, host=HOSTS)
def test_a_driver_is_pure(case: tuple[ComponentDriver[Any], Desired[Any]], host: FakeHost) -> None:
    """Asked twice it answers the same, and it changes nothing."""
    driver, want = case
    before = host.copy()
    have = found(host, driver, want)
    assert (found(host, driver, want), driver.probes(want)) == (have, driver.probes(want))
    assert driver.plan(want, have) == driver.plan(want, have)
    assert host == before


def have(version: str, state: Running, config: ConfigState = ConfigState.CURRENT) -> Have:
    """Make what was found."""
    return Have(version=version, config=config, state=state)


@pytest.mark.parametrize(
    ("unit", "state"),
    [("active", R), ("reloading", R), ("inactive", S), ("failed", S), ("activating", S), ("", S)],
)
def test_a_unit_runs_when_it_does_its_work(unit: str, state: Running) -> None:
    """Active and reloading units run; one that is coming up does not yet; an unknown one does not."""
    seen = Seen(packages={"kubelet": "1.2"}, held={"kubelet": True}, units={UNIT: unit} if unit else {})
    want = Desired(version="1.2", params=PackageParams(package="kubelet", unit=UNIT))
    assert PackageDriver().judge(want, seen) == have("1.2", state)


@pytest.mark.parametrize(
    ("state", "found", "steps"),
    [
        (R, have("1.2", R), ()),
        (R, have("1.2", S), (RESTART,)),
        (
            R,
            have("1.2", R, ConfigState.DRIFTED),
            (InstallPackage(package="kubelet", version="1.2", then=None),),
        ),
        (
            R,
            have("1.2", S, ConfigState.DRIFTED),
            (InstallPackage(package="kubelet", version="1.2", then=None), RESTART),
        ),
        (R, have("1.1", R), (InstallPackage(package="kubelet", version="1.2", then=RESTART),)),
        (R, have("", A), (InstallPackage(package="kubelet", version="1.2", then=RESTART),)),
        (S, have("1.2", S), ()),
        (S, have("1.2", R), (STOP,)),
        (S, have("1.1", S), (InstallPackage(package="kubelet", version="1.2", then=None), STOP)),
        (A, have("1.1", R), (STOP, RemovePackage(package="kubelet"))),
        (A, have("1.1", S), (RemovePackage(package="kubelet"),)),
        (A, have("", A), ()),
    ],
)
def test_the_steps_of_a_package(state: Running, found: Have, steps: tuple[Step, ...]) -> None:
    """The restart belongs to the installation; what should stop is stopped after it and before a removal."""
    want = Desired(version="1.2", params=PackageParams(package="kubelet", unit=UNIT), state=state)
    assert PackageDriver().plan(want, found) == steps


@pytest.mark.parametrize(
    ("state", "found", "steps"),
    [
        (R, have("1", R), ()),
        (R, have("1", S), (RESTART,)),
        (R, have("", R, ConfigState.DRIFTED), (WriteFile(path=PATH, content=b"\xc3\xa9", then=RESTART),)),
        (R, have("", A, ConfigState.UNKNOWN), (WriteFile(path=PATH, content=b"\xc3\xa9", then=RESTART),)),
        (S, have("1", R), (STOP,)),
        (S, have("", R, ConfigState.DRIFTED), (WriteFile(path=PATH, content=b"\xc3\xa9", then=None), STOP)),
        (S, have("", S, ConfigState.DRIFTED), (WriteFile(path=PATH, content=b"\xc3\xa9", then=None),)),
        (A, have("", A, ConfigState.UNKNOWN), ()),
    ],
)
def test_the_steps_of_a_file(state: Running, found: Have, steps: tuple[Step, ...]) -> None:
    """The restart belongs to the write, and the text is written as UTF-8."""
    want = Desired(version="1", params=FileParams(path=PATH, content="é", unit=UNIT), state=state)
    assert FileDriver().plan(want, found) == steps


def installs(then: RestartUnit | None) -> InstallArtifact:
    """Install the artifact that is wanted."""
    return InstallArtifact(path=ARTIFACT.path, url=ARTIFACT.url, sha256=ARTIFACT.sha256, then=then)


@pytest.mark.parametrize(
    ("state", "found", "steps"),
    [
        (R, have("1.2", R), ()),
        (R, have("1.2", S), (RESTART,)),
        (R, have("sha256:111111111111", R), (installs(RESTART),)),
        (R, have("", A, ConfigState.UNKNOWN), (installs(RESTART),)),
        (S, have("1.2", R), (STOP,)),
        (S, have("", R), (installs(None), STOP)),
        (S, have("", S), (installs(None),)),
        (S, have("", A, ConfigState.UNKNOWN), (installs(None), STOP)),
        (A, have("1.2", R), (STOP, RemoveArtifact(path=ARTIFACT.path))),
        (A, have("", S), (RemoveArtifact(path=ARTIFACT.path),)),
        (A, have("", A, ConfigState.UNKNOWN), ()),
    ],
)
def test_the_steps_of_an_artifact(state: Running, found: Have, steps: tuple[Step, ...]) -> None:
    """The restart belongs to the installation; what should stop is stopped after it and before a removal."""
    want = Desired(version="1.2", params=attrs.evolve(ARTIFACT, unit=UNIT), state=state)
    assert ArtifactDriver().plan(want, found) == steps


@pytest.mark.parametrize(
    ("mark", "version"), [("2" * 64, "1.2"), ("1" * 64, f"sha256:{'1' * 12}"), ("2" * 64 + ":/", f"sha256:{'2' * 12}"), ("", "")]
)  # fmt: skip
def test_an_artifact_is_judged_by_its_bytes(mark: str, version: str) -> None:
    """Another one is named by its digest, one that is not whole has no version; the same bytes unpacked are another one."""
    seen = Seen(artifacts={ARTIFACT.path: mark})
    assert ArtifactDriver().judge(Desired(version="1.2", params=ARTIFACT), seen) == have(version, R)


def test_all_of_an_artifact_is_in_its_step() -> None:
    """Also what is only for a tar."""
    params = attrs.evolve(ARTIFACT, format=ArtifactFormat.TAR, member="bin/kubelet")
    (step,) = ArtifactDriver().plan(Desired(version="1", params=params), have("", A, ConfigState.UNKNOWN))
    assert step == attrs.evolve(installs(None), format=ArtifactFormat.TAR, member="bin/kubelet")
    assert isinstance(step, InstallArtifact)
    assert step.mark == params.mark == "2" * 64 + ":/bin/kubelet"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "https://me:s3cr3t@x/y"}, "url: it is no plain http or https URL"),
        ({"url": "ftp://x/s3cr3t"}, "url: it is no plain http or https URL"),
        ({"url": "https://x/y#s3cr3t"}, "url: it is no plain http or https URL"),
        ({"sha256": "A" * 64}, "sha256: 'AAAA"),
        ({"path": "bin/x"}, "is not a plain absolute path"),
        ({"member": "../x", "format": "tar"}, "is not the plain path of a member"),
        ({"member": "x"}, "a binary has no members; write format: tar"),
        ({"format": "zip"}, "must be one of binary, tar @ $.format"),
        ({"unit": "a b"}, "is not the name of a unit"),
    ],
)
def test_wrong_parameters_of_an_artifact_are_refused(given: dict[str, str], says: str) -> None:
    """As they are read from an object; what may be a token is not repeated."""
    raw = {"path": ARTIFACT.path, "url": ARTIFACT.url, "sha256": ARTIFACT.sha256}
    assert structured(raw, ArtifactParams, "spec.parameters") == ARTIFACT
    with pytest.raises(InvalidObjectError) as raised:
        structured({**raw, **given}, ArtifactParams, "spec.parameters")
    assert says in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_a_url_is_not_shown() -> None:
    """It may hold a token."""
    assert "s3cr3t" not in repr((ARTIFACT, installs(None), Desired(version="1", params=ARTIFACT)))


@pytest.mark.parametrize(
    ("path", "unit", "found", "steps"),
    [
        (PATH, None, have("1", R), (RemoveFile(path=PATH, content=b"x", then=None),)),
        (PATH, UNIT, have("1", R), (RemoveFile(path=PATH, content=b"x", then=RESTART),)),
        (PATH, UNIT, have("1", S), (RemoveFile(path=PATH, content=b"x", then=None),)),
        (f"/etc/systemd/system/{UNIT}", UNIT, have("1", R), (STOP, RemoveFile(path=f"/etc/systemd/system/{UNIT}", content=b"x", then=None))),
        (PATH, UNIT, have("", A, ConfigState.UNKNOWN), ()),
    ],
)  # fmt: skip
def test_absent_removes_a_file(path: str, unit: str | None, found: Have, steps: tuple[Step, ...]) -> None:
    """What reads it goes on without it, unless it is the unit's own."""
    want = Desired(version="1", params=FileParams(path=path, content="x", unit=unit), state=A)
    assert FileDriver().plan(want, found) == steps


def test_a_file_that_somebody_has_changed_is_not_removed() -> None:
    """It is not what was written; the driver says so."""
    want = Desired(version="1", params=FileParams(path=PATH, content=""), state=A)
    with pytest.raises(InvalidObjectError, match=f"{PATH} has another content than was written"):
        FileDriver().plan(want, have("", R, ConfigState.DRIFTED))


@pytest.mark.parametrize(
    ("effect", "disruption", "then"),
    [
        (None, Disruption.NONE, RESTART),
        (Effect.NONE, Disruption.NONE, None),
        (Effect.RELOAD, Disruption.NONE, ReloadUnit(unit=UNIT)),
        (Effect.RESTART, Disruption.RESTART, RESTART),
        (Effect.DRAIN, Disruption.DRAIN, RESTART),
        (Effect.DRAIN, Disruption.REBOOT, RESTART),
        (Effect.REBOOT, Disruption.REBOOT, None),
    ],
)
def test_the_effect_of_a_file(effect: Effect | None, disruption: Disruption, then: Step | None) -> None:
    """What loads it is part of the write; who drains and reboots is not the driver."""
    params = FileParams(
        path=PATH, content="x", unit=UNIT, effect=effect, mode="0640", owner="kube", group="adm"
    )
    want = Desired(version="1", params=params, disruption=disruption)
    (step,) = FileDriver().plan(want, have("", R, ConfigState.DRIFTED))
    assert step == WriteFile(path=PATH, content=b"x", then=then, mode=0o640, owner="kube", group="adm")
    starts = FileDriver().plan(want, have("", S, ConfigState.DRIFTED))
    assert starts == ((step,) if then is not None else (step, RESTART))


@pytest.mark.parametrize(
    ("effect", "disruption"),
    [
        (Effect.DRAIN, Disruption.NONE),
        (Effect.DRAIN, Disruption.RESTART),
        (Effect.REBOOT, Disruption.RESTART),
        (Effect.REBOOT, Disruption.DRAIN),
    ],
)
def test_an_effect_that_its_class_does_not_allow_is_refused(effect: Effect, disruption: Disruption) -> None:
    """Nobody would drain the node, or give a permit; so also where it is at target already."""
    want = Desired(
        version="1", params=FileParams(path=PATH, content="x", effect=effect), disruption=disruption
    )
    for found in (have("", A, ConfigState.UNKNOWN), have("1", R)):
        with pytest.raises(InvalidObjectError, match=rf"write spec\.disruption: {effect.value}"):
            FileDriver().plan(want, found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mode": "4755"}, "mode: it is no mode such as"),
        ({"mode": "rw-"}, "is no mode such as"),
        ({"mode": "0888"}, "is no mode such as"),
        ({"owner": "a b"}, "is not the name of a user or a group"),
        ({"owner": "-x"}, "is not the name of a user or a group"),
        ({"group": "0"}, "is not the name of a user or a group"),
        ({"effect": "reload"}, "reload of which unit"),
        ({"effect": "restart"}, "restart of which unit"),
        ({"effect": "hope"}, "must be one of none, reload, restart, drain, reboot @ $.effect"),
    ],
)
def test_wrong_parameters_of_a_file_are_refused(given: dict[str, str], says: str) -> None:
    """As they are read from an object."""
    with pytest.raises(InvalidObjectError) as raised:
        structured({"path": PATH, "content": "", **given}, FileParams, "spec.parameters")
    assert says in str(raised.value)


def test_what_is_refused_may_be_a_secret() -> None:
    """A token without quotes, or in the field beside: the kind is named, and not the value."""
    for wrong in (
        {"content": 48151623},
        {"mode": "48151623"},
        {"effect": "48151623"},
        {"unit": ["48151623"]},
    ):
        with pytest.raises(InvalidObjectError) as raised:
            structured({"path": PATH, "content": "", **wrong}, FileParams, "spec.parameters")
        assert "48151623" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "found", "config"),
    [
        ({}, Access(mode=0o600, owner="a", group="b"), ConfigState.CURRENT),
        ({"mode": "640"}, Access(mode=0o640, owner="a", group="b"), ConfigState.CURRENT),
        ({"mode": "0640"}, Access(mode=0o644), ConfigState.DRIFTED),
        ({"owner": "a"}, Access(mode=0o600, owner="a"), ConfigState.CURRENT),
        ({"owner": "a"}, Access(), ConfigState.DRIFTED),
        ({"group": "b"}, Access(owner="a"), ConfigState.DRIFTED),
        ({"group": "b"}, None, ConfigState.DRIFTED),
        ({}, None, ConfigState.CURRENT),
    ],
)
def test_whose_a_file_is(given: dict[str, str], found: Access | None, config: ConfigState) -> None:
    """Is configuration, as far as it is said."""
    want = Desired(version="1", params=FileParams(path=PATH, content="x", **given))
    assert (FileAccess(PATH) in FileDriver().probes(want)) is bool(given)
    seen = Seen(files={PATH: b"x"}, access={} if found is None else {PATH: found})
    assert FileDriver().judge(want, seen) == have("1", R, config)


@pytest.mark.parametrize("unit", ["", "-x.service", "a b", "a/b", "a\n", "a\0", "$(x)", "u" * 256])
def test_what_is_no_unit_is_refused(unit: str) -> None:
    """It could be an option, a path or two words."""
    with pytest.raises(ValueError, match="is not the name of a unit"):
        PackageParams(package="kubelet", unit=unit)
    with pytest.raises(ValueError, match="is not the name of a unit"):
        FileParams(path=PATH, content="", unit=unit)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "etc/x",
        "./x",
        "/etc/../x",
        "/etc/./x",
        "/etc//x",
        "/etc/",
        "/a\0",
        "/a\n",
        "/a\x7f",
        "/" + "a" * 4096,
    ],
)
def test_what_is_no_plain_path_is_refused(path: str) -> None:
    """It could leave its root, or be another file than it reads."""
    with pytest.raises(ValueError, match="is not a plain absolute path"):
        FileParams(path=path, content="")


@pytest.mark.parametrize("package", ["", "-y", "a b", "a=1", "a/b", "a\n", "../x", "p" * 129])
def test_what_is_no_package_is_refused(package: str) -> None:
    """It could be an option, a version or a path."""
    with pytest.raises(ValueError, match="is not the name of a package"):
        PackageParams(package=package)


def test_good_names_pass() -> None:
    """Names as they are met on real hosts."""
    for unit in ("kubelet.service", "getty@tty1.service", r"dev-disk-by\x2dlabel.mount"):
        assert PackageParams(package="libstdc++6", unit=unit).unit == unit
    assert FileParams(path="/etc/a b/..c", content="").path == "/etc/a b/..c"


def test_the_hook_gives_our_drivers() -> None:
    """Each under its own name, with an attrs class of parameters."""
    drivers = list(components.register_components())
    assert [driver.name for driver in drivers] == [
        "package",
        "file",
        "unit",
        "artifact",
        "kernel",
        "containerd",
        "kubelet",
        "kubenode-agent",
    ]
    assert all(attrs.has(driver.params) for driver in drivers)
