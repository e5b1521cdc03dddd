"""EC2's events as conditions of a Node: through boto3, one poll of the region."""

from datetime import UTC, datetime, timedelta

from kubenode.providers import conformance
from tests.providers.aws.fake import FakeEc2, Refuse
from tests.providers.aws.loopback import in_process
from tests.providers.doctored import SOON, Ward

PARAMS = {"image": "ami-1", "instance_type": "m7i.large", "zone": "eu-west-1a"}


def ward() -> tuple[Ward, FakeEc2, str]:
    """A machine on EC2, its cloud, and the id of its instance."""
    fake = FakeEc2()
    made = Ward(in_process(conformance.Wire(), fake), PARAMS)
    return made, fake, made.instance.id


def test_a_retirement_is_told_and_ends_by_its_description() -> None:
    """EC2 shows what is finished for a week, and says only there that it is."""
    one, fake, id = ward()
    assert one.said() == {}
    fake.plan(id, "instance-retirement")
    one.go(SOON)
    assert one.said() == {"CloudMaintenance": ("True", "RetirementPlanned")}
    assert one.recorded() == [(f"instance-event-{id[2:]}", "scheduled")]
    fake.plan(id, "instance-retirement", "[Completed] it is done")
    one.go(SOON)
    assert one.said() == {"CloudMaintenance": ("False", "EventOver")}


def test_a_status_check_that_passes_again_is_over_when_polls_have_not_shown_it_for_long() -> None:
    """EC2 says of its end nothing at all. Refusals in between change nothing."""
    one, fake, id = ward()
    since = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    details = [{"Name": "reachability", "Status": "failed", "ImpairedSince": since}]
    fake.impaired[id] = {"SystemStatus": {"Status": "impaired", "Details": details}}
    one.go(SOON)
    assert one.said() == {"CloudFailure": ("True", "HostFailing")}
    fake.impaired.clear()
    fake.refusals["DescribeInstanceStatus"] = [Refuse("InternalError", 500)] * 4
    one.go(timedelta(minutes=5))
    assert fake.refusals["DescribeInstanceStatus"] == []
    assert one.said() == {"CloudFailure": ("True", "HostFailing")}
    one.go(timedelta(minutes=20))
    assert one.said() == {"CloudFailure": ("False", "EventUnlisted")}


def test_an_hour_of_polls_is_180_calls_whatever_happens() -> None:
    """Three filtered questions a minute: scheduled events, failed hosts, failed disks."""
    one, fake, id = ward()
    for planned in (False, True):
        if planned:
            fake.plan(id, "system-reboot")
        fake.calls.clear()
        one.go(timedelta(hours=1))
        assert fake.calls.count("DescribeInstanceStatus") == 180
