"""ECS's system events as conditions of a Node: through its SDK, one poll of the region, and by id what became of them."""

from datetime import timedelta

import pytest

from kubenode.core.hookspecs import Power
from tests.providers.aliyun.rig import Rig, rig
from tests.providers.doctored import SOON, Ward

PARAMS = {"vswitch": "vsw-1", "instance_type": "ecs.g7.xlarge", "image": "m-1", "security_groups": ["sg-1"]}


def ward() -> tuple[Ward, Rig, str]:
    """A machine on ECS, its cloud, and the id that ECS knows its instance by."""
    made = rig()
    one = Ward(made.provider, PARAMS)
    return one, made, one.instance.id.partition(".")[2]


@pytest.mark.parametrize("state", ["Inquiring", "Scheduled", "Executing"])
def test_a_reboot_is_told_and_a_restart_by_the_provider_avoids_it(state: str) -> None:
    """Also one that waits for consent. The poll shows it no longer, and the question by its id says why."""
    one, cloud, id = ward()
    cloud.cloud.maintain(id, "e-1", status=state)
    one.go(SOON)
    assert one.said() == {"CloudMaintenance": ("True", "RebootPlanned")}
    assert one.recorded() == [("e-1", state.lower())]
    cloud.provider.power(one.instance.id, Power.REBOOT, "t-1")
    one.go(SOON)
    assert one.said() == {"CloudMaintenance": ("False", "EventOver")}
    assert one.recorded() == []


def test_a_quiet_poll_is_one_call_and_one_with_events_too() -> None:
    """A second one only after an event is shown no longer, and only until that is recorded."""
    one, cloud, id = ward()

    def calls(length: timedelta) -> int:
        heard = cloud.calls(lambda: one.go(length))
        return heard.count("DescribeInstanceHistoryEvents")

    assert calls(timedelta(minutes=30)) == 30
    cloud.cloud.maintain(id, "e-1", "SystemMaintenance.Redeploy")
    assert calls(timedelta(minutes=30)) == 30
    assert one.said() == {"CloudMaintenance": ("True", "RedeployPlanned")}
    cloud.cloud.events["e-1"]["status"] = "Canceled"
    assert calls(timedelta(minutes=30)) == 31
    assert one.said() == {"CloudMaintenance": ("False", "EventOver")}
