"""The component kit passes what is sound, and finds each planted fault with the words that mend it."""

from typing import Any

import attrs
import pytest

from kubenode.components import (
    ArtifactDriver,
    ArtifactFormat,
    ArtifactParams,
    ConfigState,
    Desired,
    FileDriver,
    FileParams,
    Have,
    InstallArtifact,
    InstallPackage,
    PackageDriver,
    PackageParams,
    Probe,
    ReadFile,
    RemoveArtifact,
    RemovePackage,
    RestartUnit,
    Running,
    Seen,
    SetKernel,
    Step,
    StopUnit,
    UnitState,
    WriteFile,
    conformance,
)
from kubenode.components.conformance import FakeHost
from kubenode.remedies import Reboot
from tests.third_party.kit import broken, laws
from tests.third_party.kubenode_chrony.kubenode_chrony import CONF, UNIT, Chrony, ChronyParams

WANT = Desired(version="4.5", params=ChronyParams(text="pool a\n"))
OTHER = Desired(version="4.4", params=ChronyParams(text="pool b\n"))
KUBELET_1, KUBELET_2 = (
    ArtifactParams(
        path="/usr/local/bin/kubelet", url=f"https://x/{one}", sha256=one * 64, unit="kubelet.service"
    )
    for one in "12"
)
KUBELET = PackageParams(package="kubelet", unit="kubelet.service")
TOOLS = PackageParams(package="tools")
CONFIG = FileParams(path="/etc/x/config.yaml", content="a: é\n", unit="x.service")

test_package = conformance.component(
    PackageDriver(), want=Desired(version="1.2", params=KUBELET), other=Desired(version="1.1", params=KUBELET)
)
test_package_without_a_unit = conformance.component(
    PackageDriver(), want=Desired(version="1.2", params=TOOLS)
)
test_file = conformance.component(
    FileDriver(), want=Desired(version="2", params=CONFIG),
    other=Desired(version="1", params=attrs.evolve(CONFIG, content="a: 1\n")),
)  # fmt: skip
test_file_without_a_unit = conformance.component(
    FileDriver(), want=Desired(version="2", params=attrs.evolve(CONFIG, unit=None))
)
test_artifact = conformance.component(
    ArtifactDriver(),
    want=Desired(version="1.2", params=KUBELET_2),
    other=Desired(version="1.1", params=KUBELET_1),
)
test_artifact_without_a_unit = conformance.component(
    ArtifactDriver(),
    want=Desired(
        version="1.2",
        params=attrs.evolve(KUBELET_1, unit=None, format=ArtifactFormat.TAR, member="bin/kubelet"),
    ),
    other=Desired(version="1.1", params=attrs.evolve(KUBELET_1, unit=None, format=ArtifactFormat.TAR)),
)
test_chrony = conformance.component(Chrony(), want=WANT, other=OTHER)


def test_what_does_not_apply_is_told() -> None:
    """Without `other` nothing can change to anything, and the test's id says so."""
    shown = laws(conformance.component(Chrony(), want=WANT))
    assert [name for name in shown if "(" in name] == [
        "other-changes-to-want-and-back (not applicable: no other=)"
    ]


def test_a_fake_host_does_steps() -> None:
    """With `then`; a unit is stale when what it loaded is no longer there."""
    host = FakeHost()
    restart = RestartUnit(unit="x.service")
    host.apply(
        WriteFile(path="/a", content=b"1", then=restart), InstallPackage(package="p", version="1", then=None)
    )
    assert (host.active(), host.stale()) == ({"x.service"}, {"x.service"})
    host.apply(restart)
    assert host.stale() == frozenset()
    host.apply(RemovePackage(package="p"), StopUnit(unit="x.service"))
    assert host == FakeHost(files={"/a": b"1"}, units={"x.service": "inactive"})
    host.apply(InstallArtifact(path="/b", url="https://x/b", sha256="0" * 64, then=restart))
    assert (host.artifacts, host.stale()) == ({"/b": "0" * 64}, frozenset())
    host.apply(RemoveArtifact(path="/b"))
    assert (host.artifacts, host.stale()) == ({}, {"x.service"})


class BadParams(Chrony):
    """Has no class of parameters."""

    params: Any = None


class Generator(Chrony):
    """Gives its steps one by one."""

    def plan(self, want: Any, have: Have, /) -> Any:
        """Yield."""
        yield from super().plan(want, have)


class Counts(Chrony):
    """Answers otherwise the second time."""

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Count."""
        self.asked += 1
        return attrs.evolve(super().judge(want, seen), version=str(self.asked))


class Tidies(Chrony):
    """Takes out of what it is given."""

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Take the file out."""
        have = super().judge(want, seen)
        if isinstance(seen.files, dict):
            seen.files.clear()
        return have


class Peeks(Chrony):
    """Reads a file that it did not ask for."""

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Read."""
        seen.files.get("/etc/chrony/keys")
        return super().judge(want, seen)


class Brackets(Chrony):
    """Takes it that everything is there."""

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Read with brackets."""
        return attrs.evolve(super().judge(want, seen), version=seen.units[UNIT])


class Bool(Chrony):
    """Judges with a yes or no."""

    def judge(self, want: Any, seen: Seen, /) -> Any:
        """Say yes."""
        return True


class OneProbe(Chrony):
    """Gives a probe, and no tuple."""

    def probes(self, want: Any, /) -> Any:
        """Give one."""
        return [ReadFile(CONF), UnitState(UNIT)]


class Shell(Chrony):
    """Hopes for a shell."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Name two things at once."""
        steps = super().plan(want, have)
        return (*steps, RestartUnit(unit=f"{UNIT} && reboot")) if steps else ()


class Relative(Chrony):
    """Writes beside where it should."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Name a path that leads elsewhere."""
        return (WriteFile(path="/etc/../tmp/x", content=b"", then=None),)


class Str(Chrony):
    """Writes text, and not bytes."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Write text."""
        text: Any = "pool a"
        return (WriteFile(path=CONF, content=text, then=None),)


class Reboots(Chrony):
    """Reboots, as only a remedy may."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Reboot after a change."""
        steps = super().plan(want, have)
        return (*steps, Reboot()) if steps else ()


class Restless(Chrony):
    """Has always something to do."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Restart in any case."""
        return (*super().plan(want, have), RestartUnit(unit=UNIT)) if want.state is Running.RUNNING else ()


class Elsewhere(Chrony):
    """Never says that it is done."""

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Give a version of its own."""
        return attrs.evolve(super().judge(want, seen), version="chrony")


class Trusting(Chrony):
    """Takes any file for the right one."""

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Look whether it is there, and not what is in it."""
        have = super().judge(want, seen)
        there = have.state is not Running.ABSENT
        return attrs.evolve(have, version=want.version, config=ConfigState.CURRENT) if there else have


class TwoSteps(Chrony):
    """Writes, then restarts: two steps."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Take the restart out of the write."""
        steps = super().plan(want, have)
        if steps and isinstance(steps[0], WriteFile) and steps[0].then is not None:
            return (attrs.evolve(steps[0], then=None), steps[0].then)
        return steps


MARK = "/etc/chrony/done"


class Marker(Chrony):
    """Marks first that it is done, and believes the mark."""

    def probes(self, want: Any, /) -> tuple[Probe, ...]:
        """Look at the mark too."""
        return (*super().probes(want), ReadFile(MARK))

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Believe the mark."""
        if seen.files.get(MARK) == want.params.text.encode() and CONF not in seen.files:
            return Have(version=want.version, config=ConfigState.CURRENT, state=want.state)
        return super().judge(want, seen)

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Mark, then do."""
        mark = WriteFile(path=MARK, content=want.params.text.encode(), then=None)
        steps = super().plan(want, have)
        return (mark, *steps) if steps and have.config is not ConfigState.CURRENT else steps


class Fetches(Chrony):
    """Fetches what it cannot compare, and shows what it must not."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Name a URL with a password."""
        url = "https://me:secret@x/y"
        return (InstallArtifact(path="/usr/bin/x", url=url, sha256="0" * 64, then=None),)


class Undigested(Chrony):
    """Fetches what it cannot compare."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Give no digest."""
        return (InstallArtifact(path="/usr/bin/x", url="https://x/y", sha256="latest", then=None),)


class Kernels(Chrony):
    """Sets the kernel by what a shell would have to take apart."""

    step = SetKernel(name="k")

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Give the step."""
        return (self.step,)


class BadModule(Kernels):
    """Names two modules at once."""

    step = SetKernel(name="k", modules=("overlay br_netfilter",))


class BadSetting(Kernels):
    """Gives two lines."""

    step = SetKernel(name="k", sysctl=(("vm.swappiness", "1\nkernel.panic = 1"),))


class BadFile(Kernels):
    """Writes elsewhere."""

    step = SetKernel(name="../k", modules=("overlay",))


class Stays(Chrony):
    """Does not hear of Absent."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Do nothing for Absent."""
        return () if want.state is Running.ABSENT else super().plan(want, have)


class Eager(Chrony):
    """Stops what is not there."""

    def plan(self, want: Any, have: Have, /) -> tuple[Step, ...]:
        """Stop in any case."""
        return (StopUnit(unit=UNIT),) if want.state is Running.ABSENT else super().plan(want, have)


class Fixed(Chrony):
    """Writes what it once was told."""

    def judge(self, want: Any, seen: Seen, /) -> Have:
        """Judge by the presence alone, for another version than the first."""
        have = super().judge(want, seen)
        there = have.state is not Running.ABSENT and want.version == OTHER.version
        return attrs.evolve(have, version=want.version, config=ConfigState.CURRENT) if there else have


@pytest.mark.parametrize(
    ("fault", "law", "words"),
    [
        (BadParams, "name-params-and-plain-functions", "BadParams.params is None; set it to the class of the parameters"),
        (Generator, "name-params-and-plain-functions", "Generator.plan is a generator; return its answer"),
        (Counts, "probes-judge-and-plan-are-pure", "for the same; keep no state and read no clock"),
        (Tidies, "probes-judge-and-plan-are-pure", "judge() changed what it was given; make a new value"),
        (Peeks, "judge-reads-what-probes-ask", "judge() reads '/etc/chrony/keys', which probes() does not ask for; add ReadFile('/etc/chrony/keys')"),
        (Brackets, "judge-reads-what-probes-ask", "judge() raised KeyError: 'chrony.service' on FakeHost(files={}, units={}, packages={}, artifacts={}); what is not there has no entry, so use .get()"),
        (Bool, "judge-reads-what-probes-ask", "judge() returned a bool; return Have("),
        (OneProbe, "judge-reads-what-probes-ask", "return a tuple of ReadFile, UnitState, PackageVersion and the like"),
        (Shell, "steps-name-one-thing-each", "RestartUnit.unit is 'chrony.service && reboot'; write one unit"),
        (Relative, "steps-name-one-thing-each", "WriteFile.path is '/etc/../tmp/x'; write one absolute path"),
        (Str, "steps-name-one-thing-each", "WriteFile.content is a str; write bytes"),
        (Fetches, "steps-name-one-thing-each", "InstallArtifact.url is of another form; write one http or https URL"),
        (Undigested, "steps-name-one-thing-each", "InstallArtifact.sha256 is 'latest'; write 64 small hexadecimal digits"),
        (BadModule, "steps-name-one-thing-each", "SetKernel.modules has 'overlay br_netfilter'; write one module"),
        (BadSetting, "steps-name-one-thing-each", "SetKernel.sysctl has 'vm.swappiness'; write one setting, such as net.ipv4.ip_forward, and one line"),
        (BadFile, "steps-name-one-thing-each", "SetKernel.name is '../k'; write the plain name of a file, without .conf"),
        (Reboots, "plan-is-empty-after-its-own-steps", "plan() gave a Reboot; a component does not reboot, a remedy does"),
        (Restless, "plan-is-empty-after-its-own-steps", "plan() is not empty after its own steps, from FakeHost(files={}, units={}, packages={}, artifacts={})"),
        (Elsewhere, "plan-is-empty-after-its-own-steps", "where Running.RUNNING of version '4.5' is wanted; plan() has to lead there"),
        (Trusting, "plan-repairs-what-was-changed", "plan() does nothing about file /etc/chrony/chrony.conf b'changed by hand\\n' where b'pool a\\n' is wanted"),
        (Marker, "plan-finishes-what-was-interrupted", "when killed after step 1 of"),
        (TwoSteps, "restart-is-in-then", "chrony.service runs with what was there before when killed after step 1 of"),
        (Stays, "absent-removes", "after the steps for Absent judge() says Running.RUNNING, and there is chrony.service, /etc/chrony/chrony.conf left"),
        (Eager, "absent-removes", "plan() for Absent gives (StopUnit(unit='chrony.service'),) on an empty host"),
        (Fixed, "other-changes-to-want-and-back", "leaves file /etc/chrony/chrony.conf b'pool a\\n' where b'pool b\\n' is wanted"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(fault: type[Chrony], law: str, words: str) -> None:
    """One law is broken, and its text says by what and what to write."""
    kit = conformance.component(fault(), want=WANT, other=OTHER)
    assert words in broken(kit, law)
