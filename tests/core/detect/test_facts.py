"""The health of services: how it is judged, and when it is told."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.detect.decide import DetectSnapshot, DetectState, decide
from kubenode.core.detect.facts import ILL_AFTER, SERVICES, Facts, ailment
from kubenode.core.detect.rules import BUILT_IN
from tests.core.detect.test_decide import LATER, NOW, shown

KUBELET, CONTAINERD = SERVICES
ILL = Facts(ailing={KUBELET.condition: "kubelet.service has failed", CONTAINERD.condition: ""})
WELL = Facts(ailing={KUBELET.condition: "", CONTAINERD.condition: ""})


def looked(
    *facts: Facts, state: DetectState | None = None, now: m.Now = NOW, boot: str = "b1"
) -> DetectState:
    """Give the state after so many looks."""
    held = state if state is not None else DetectState()
    for one in facts:
        status = decide(
            DetectSnapshot(state=held, facts=one, boot_id=boot, now=now), BUILT_IN, SERVICES
        ).status
        assert status is not None
        held = status
    return held


def kubelet(state: DetectState) -> m.Switch:
    """What is told of the kubelet."""
    return shown(state, "KubeletUnhealthy").status


def test_the_services_are_those_of_every_node() -> None:
    """By the names that node-problem-detector has; three looks."""
    assert ILL_AFTER == 3
    assert [(one.condition, one.unit, bool(one.url), bool(one.socket)) for one in SERVICES] == [
        ("KubeletUnhealthy", "kubelet.service", True, False),
        ("ContainerRuntimeUnhealthy", "containerd.service", False, True),
    ]


@pytest.mark.parametrize(
    ("state", "answers", "said"),
    [
        ("active", True, ""), ("active", False, "kubelet.service is active, and http://127.0.0.1:10248/healthz does not answer"),
        ("failed", False, "kubelet.service has failed"), ("failed", True, "kubelet.service has failed"),
        ("inactive", False, ""), (None, False, ""), ("activating", False, ""),
    ],
)  # fmt: skip
def test_how_a_service_is_ill(state: str | None, answers: bool, said: str) -> None:
    """Failed, or up without an answer; one that somebody has stopped, and one that is not there, are not."""
    assert ailment(KUBELET, state, answers=answers) == said


def test_how_a_socket_is_ill() -> None:
    """The one that does not answer is named."""
    assert "/run/containerd/containerd.sock does not answer" in ailment(CONTAINERD, "active", answers=False)


def test_three_looks_make_it_ill_and_one_makes_it_well() -> None:
    """One that is being restarted is not ill."""
    assert kubelet(looked(ILL, ILL)) is m.Switch.FALSE
    ill = looked(ILL, ILL, ILL)
    told = shown(ill, "KubeletUnhealthy")
    assert (told.status, told.reason, told.message) == (
        m.Switch.TRUE,
        "KubeletUnhealthy",
        "kubelet.service has failed",
    )
    assert shown(ill, "ContainerRuntimeUnhealthy").status is m.Switch.FALSE
    well = looked(WELL, state=ill, now=LATER)
    assert (kubelet(well), shown(well, "KubeletUnhealthy").reason) == (m.Switch.FALSE, "NoFault")
    assert shown(well, "KubeletUnhealthy").last_transition_time == LATER.wall
    assert kubelet(looked(ILL, ILL, state=well)) is m.Switch.FALSE


def test_while_it_is_ill_nothing_changes() -> None:
    """Neither its words nor what is kept: such a host is at rest."""
    ill = looked(ILL, ILL, ILL)
    other = attrs.evolve(ILL, ailing={**ILL.ailing, KUBELET.condition: "it is worse"})
    assert looked(other, ILL, state=ill, now=LATER) == ill


def test_what_was_not_looked_at_stays() -> None:
    """Ill as well as well; and how often it was."""
    ill = looked(ILL, ILL, ILL)
    assert looked(Facts(), Facts(), state=ill, now=LATER) == ill
    assert kubelet(looked(ILL, ILL, Facts(), Facts())) is m.Switch.FALSE
    assert kubelet(looked(ILL, ILL, Facts(), ILL)) is m.Switch.TRUE


def test_a_boot_begins_anew() -> None:
    """The kubelet of a host that has just booted is not ill yet."""
    ill = looked(ILL, ILL, ILL)
    assert kubelet(looked(ILL, state=ill, boot="b2")) is m.Switch.FALSE


def test_the_order_of_conditions() -> None:
    """The rules', the services', then what was missed."""
    assert [one.type for one in looked(WELL).conditions] == [
        "KernelDeadlock", "ReadonlyFilesystem", "KubeletUnhealthy", "ContainerRuntimeUnhealthy", "LogFlood",
    ]  # fmt: skip


def test_an_illness_that_nobody_counted_is_over() -> None:
    """A condition that stands without a count, as in a file that was cut, is not believed."""
    state = attrs.evolve(looked(ILL, ILL, ILL), ill={})
    assert kubelet(looked(Facts(), state=state)) is m.Switch.FALSE


def test_an_illness_without_words() -> None:
    """A count that was kept, of a service that cannot be looked at now, is told without them."""
    state = DetectState(boot_id="b1", ill={KUBELET.condition: ILL_AFTER})
    told = shown(looked(Facts(), state=state), "KubeletUnhealthy")
    assert (told.status, told.message) == (m.Switch.TRUE, "")
