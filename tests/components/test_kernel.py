"""The kernel driver: files for the next boot, and what runs now."""

from typing import Any

import attrs
import pytest

from kubenode.components import (
    CheckAnswer,
    ConfigState,
    Desired,
    Exec,
    Have,
    InvalidObjectError,
    KernelDriver,
    KernelParams,
    RemoveFile,
    Running,
    Seen,
    SetKernel,
    conformance,
)
from kubenode.runtime.parameters import structured

RAW = {
    "name": "kubernetes",
    "sysctl": {
        "net.ipv4.ip_forward": "1",
        "kernel/pid_max": "4194304",
        "net.ipv4.tcp_rmem": "4096 131072 6291456",
    },
    "modules": ["overlay", "br-netfilter"],
}
PARAMS = structured(RAW, KernelParams, "spec.parameters")
WANT = Desired(version="1", params=PARAMS)
MODULES, SYSCTL = "/etc/modules-load.d/kubernetes.conf", "/etc/sysctl.d/90-kubernetes.conf"
RIGHT = {
    MODULES: b"overlay\nbr-netfilter\n",
    SYSCTL: b"kernel/pid_max = 4194304\nnet.ipv4.ip_forward = 1\nnet.ipv4.tcp_rmem = 4096 131072 6291456\n",
    "/proc/sys/net/ipv4/ip_forward": b"1\n",
    "/proc/sys/kernel/pid_max": b"4194304\n",
    "/proc/sys/net/ipv4/tcp_rmem": b"4096\t131072\t6291456\n",
    "/sys/module/overlay/initstate": b"live\n",
    "/sys/module/br_netfilter/initstate": b"live\n",
}
CURRENT = Have(version="1", config=ConfigState.CURRENT, state=Running.RUNNING)
DRIFTED = Have(version="", config=ConfigState.DRIFTED, state=Running.RUNNING)
ABSENT = Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)

test_kernel = conformance.component(
    KernelDriver(), want=WANT,
    other=Desired(version="2", params=attrs.evolve(PARAMS, sysctl={**PARAMS.sysctl, "net.ipv4.ip_forward": "0"})),
)  # fmt: skip
test_modules_alone = conformance.component(
    KernelDriver(), want=Desired(version="1", params=KernelParams(name="k", modules=("overlay",)))
)
test_settings_alone = conformance.component(
    KernelDriver(), want=Desired(version="1", params=KernelParams(name="k", sysctl={"vm.swappiness": "0"}))
)


def judged(files: dict[str, bytes], **more: Any) -> Have:
    """Judge a host with these files."""
    return KernelDriver().judge(WANT, Seen(files=files, **more))


def test_what_is_right_is_current() -> None:
    """Numbers are compared without what stands between them."""
    assert judged(RIGHT) == CURRENT
    assert KernelDriver().plan(WANT, CURRENT) == ()


@pytest.mark.parametrize("path", RIGHT)
def test_each_part_counts(path: str) -> None:
    """Changed or lost, for the next boot or now."""
    assert judged({**RIGHT, path: b"coming"}) == DRIFTED
    assert judged({one: content for one, content in RIGHT.items() if one != path}) == DRIFTED


def test_without_its_files_it_was_never_installed() -> None:
    """Whatever the kernel is like."""
    assert (
        judged({path: content for path, content in RIGHT.items() if path.startswith(("/proc", "/sys"))})
        == ABSENT
    )


@pytest.mark.parametrize(
    ("said", "have"), [("(builtin)\n", CURRENT), ("/lib/modules/6.1/overlay.ko\n", DRIFTED), ("", DRIFTED)]
)
def test_what_is_built_in_is_loaded(said: str, have: Have) -> None:
    """The kernel lists no state of it; modinfo knows."""
    files = {path: content for path, content in RIGHT.items() if "overlay" not in path}
    asked = Exec(("modinfo", "--field=filename", "--", "overlay"))
    assert judged(files, answers={asked: CheckAnswer(code=0, text=said)}) == have
    assert asked in KernelDriver().probes(WANT)


def test_all_is_one_step() -> None:
    """Else a boot in the middle would leave nobody who knows what was before."""
    settings = (
        ("kernel/pid_max", "4194304"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.tcp_rmem", "4096 131072 6291456"),
    )
    step = SetKernel(name="kubernetes", modules=("overlay", "br-netfilter"), sysctl=settings)
    assert KernelDriver().plan(WANT, ABSENT) == KernelDriver().plan(WANT, DRIFTED) == (step,)
    assert step.files == {MODULES: RIGHT[MODULES], SYSCTL: RIGHT[SYSCTL]}


def test_absent_removes_its_files() -> None:
    """As they were written; what somebody has changed stays, and that is said. What is lost already is no matter."""
    want, driver = attrs.evolve(WANT, state=Running.ABSENT), KernelDriver()
    assert driver.plan(want, ABSENT) == ()
    both = tuple(RemoveFile(path=path, content=RIGHT[path], then=None) for path in (MODULES, SYSCTL))
    assert driver.plan(want, driver.judge(want, Seen(files={MODULES: RIGHT[MODULES]}))) == both
    found = driver.judge(want, Seen(files={**RIGHT, SYSCTL: b"vm.swappiness = 1\n"}))
    with pytest.raises(InvalidObjectError, match=r"90-kubernetes\.conf has another content than was written"):
        driver.plan(want, found)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "../x"}, "is no name of small letters"),
        ({"name": "k" * 64}, "is no name of small letters"),
        ({"sysctl": {"vm": "1"}}, "'vm' is no setting such as"),
        ({"sysctl": {"vm/../../x": "1"}}, "is no setting such as"),
        ({"sysctl": {"vm.swap piness": "1"}}, "is no setting such as"),
        ({"sysctl": {"vm.swappiness": ""}}, "the value of vm.swappiness is empty"),
        ({"sysctl": {"vm.swappiness": "1\nkernel.panic = 1"}}, "has more than one line"),
        ({"sysctl": {"vm.swappiness": 1}}, "must be text"),
        ({"modules": ["-r"]}, "'-r' is no module such as"),
        ({"modules": ["a b"]}, "is no module such as"),
        ({"modules": [], "sysctl": {}}, "there is neither a setting nor a module"),
    ],
)
def test_wrong_parameters_are_refused(given: dict[str, Any], says: str) -> None:
    """As they are read from an object."""
    with pytest.raises(InvalidObjectError) as raised:
        structured({**RAW, **given}, KernelParams, "spec.parameters")
    assert says in str(raised.value)
