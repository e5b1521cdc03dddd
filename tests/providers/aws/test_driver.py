"""What AWS says, as what it means: the real boto3 before a fake, in the process, every call counted."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import attrs
import pytest

from kubenode.providers import (
    Ambiguous,
    AuthFailed,
    Busy,
    CapacityExhausted,
    CloudEvent,
    CreateRequest,
    EventState,
    Impact,
    Instance,
    InstanceState,
    Invalid,
    NotFound,
    Power,
    Protected,
    ProviderError,
    QuotaExceeded,
    Throttled,
    TokenConflict,
    Unavailable,
    Unsupported,
    conformance,
)
from kubenode.providers.asking import Denied
from kubenode.providers.aws import AwsParams, AwsProvider, Disk, LaunchTemplate, Placement, Spot
from tests.providers.aws.fake import NOW, FakeEc2, Refuse
from tests.providers.aws.loopback import frozen, in_process

PARAMS = AwsParams(instance_type="m7i.large", image="ami-1", zone="eu-west-1b")


def request(
    token: str = "t-1", params: AwsParams = PARAMS, data: bytes = b"", **tags: str
) -> CreateRequest[AwsParams]:
    """A create request."""
    return CreateRequest(token=token, machine="m1", params=params, tags=tags, user_data=data)


def cloud(**given: Any) -> tuple[AwsProvider, FakeEc2, list[float]]:
    """A provider, its fake and its clock."""
    fake = FakeEc2(**given)
    pace, clock = frozen()
    return in_process(conformance.Wire(), fake, pace=pace), fake, clock


def raised(call: Callable[[], object]) -> ProviderError:
    """Give the error of a call."""
    with pytest.raises(ProviderError) as caught:
        call()
    assert caught.value.__cause__ is None, "boto3's error would be shown with it"
    assert caught.value.__context__ is None, "boto3's error would be shown with it"
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "creates", "looks"),
    [
        ("RequestLimitExceeded", 503, Throttled, Throttled),
        ("Throttling", 400, Throttled, Throttled),
        ("SomethingNew", 429, Throttled, Throttled),
        ("InsufficientInstanceCapacity", 500, CapacityExhausted, CapacityExhausted),
        ("SpotMaxPriceTooLow", 400, CapacityExhausted, CapacityExhausted),
        ("MaxSpotInstanceCountExceeded", 400, QuotaExceeded, QuotaExceeded),
        ("InsufficientFreeAddressesInSubnet", 400, CapacityExhausted, CapacityExhausted),
        ("Unsupported", 400, CapacityExhausted, CapacityExhausted),
        ("UnsupportedOperation", 400, Unsupported, Unsupported),
        ("VcpuLimitExceeded", 400, QuotaExceeded, QuotaExceeded),
        ("UnauthorizedOperation", 403, Denied, Denied),
        ("RequestExpired", 400, AuthFailed, AuthFailed),
        ("OptInRequired", 401, AuthFailed, AuthFailed),
        ("IncorrectInstanceState", 400, Busy, Busy),
        ("OperationNotPermitted", 400, Protected, Protected),
        ("IdempotentInstanceTerminated", 400, TokenConflict, TokenConflict),
        ("InvalidAMIID.NotFound", 400, Invalid, Invalid),
        ("InvalidInstanceID.Malformed", 400, Invalid, Invalid),
        ("MissingParameter", 400, Invalid, Invalid),
        ("InvalidInstanceID.NotFound", 400, NotFound, NotFound),
        ("InternalError", 500, Ambiguous, Unavailable),
        ("Unavailable", 503, Ambiguous, Unavailable),
        ("SomethingNew", 400, Ambiguous, Unavailable),
        ("", 400, Ambiguous, Unavailable),
    ],
)  # fmt: skip
def test_codes_are_meanings_and_cost_one_call(code: str, status: int, creates: type, looks: type) -> None:
    """Also those that boto3 would repeat by itself; what nobody knows may have made an instance."""
    provider, fake, _ = cloud()
    fake.refusals = {name: [Refuse(code, status)] for name in ("RunInstances", "DescribeInstances")}
    assert type(raised(lambda: provider.create(request()))) is creates
    fresh, other, _ = cloud()
    other.refusals = {"DescribeInstances": [Refuse(code, status)]}
    assert type(raised(lambda: fresh.get("i-00000000000000000"))) is looks
    assert fake.calls == ["RunInstances"]
    assert other.calls == ["DescribeInstances"]


def test_too_many_stops_all_calls_for_a_while() -> None:
    """Nothing is sent until the pause is over, and a writer goes before a reader."""
    fake = FakeEc2(refusals={"DescribeInstances": [Refuse("RequestLimitExceeded", 503)]})
    pace, clock = frozen(rate=1.0, burst=8)
    provider = in_process(conformance.Wire(), fake, pace=pace)
    assert raised(lambda: provider.find({}, None)).retry_after == timedelta(seconds=2)
    assert isinstance(raised(lambda: provider.create(request())), Throttled)
    assert fake.calls == ["DescribeInstances"]
    clock[0] = 3.0
    assert isinstance(raised(lambda: provider.find({}, None)), Throttled)
    provider.create(request())
    assert fake.calls == ["DescribeInstances", "RunInstances"]


def test_not_shown_yet_is_not_gone() -> None:
    """Five minutes after a create AWS's "not found" is Unavailable, for looks, tags, power and deletes alike; then it counts."""
    provider, fake, clock = cloud()
    made = provider.create(request()).id
    calls: list[Callable[[], object]] = [
        lambda: provider.get(made), lambda: provider.delete(made), lambda: provider.set_tags(made, {"a": "b"}),
        lambda: provider.power(made, Power.OFF, "p"), lambda: provider.console_log(made),
    ]  # fmt: skip
    del fake.rows[made]
    for call in calls:
        error = raised(call)
        assert type(error) is Unavailable
        assert "made a moment ago" in str(error)
    clock[0] = 301.0
    assert type(raised(calls[0])) is NotFound
    assert type(raised(calls[1])) is NotFound
    assert len(fake.calls) == 8, "one call each"


def test_a_deleted_instance_is_no_longer_young() -> None:
    """What we have deleted ourselves may be gone at once."""
    provider, fake, _ = cloud()
    made = provider.create(request()).id
    provider.delete(made)
    assert provider.get(made).state is InstanceState.TERMINATED
    del fake.rows[made]
    assert type(raised(lambda: provider.get(made))) is NotFound


def test_a_token_whose_machine_is_dead_is_a_conflict() -> None:
    """Both as AWS says it since 2025, and as it was before: the dead instance comes back."""
    provider, _, _ = cloud()
    made = provider.create(request()).id
    provider.delete(made)
    assert type(raised(lambda: provider.create(request()))) is TokenConflict
    for word, said in (("shutting-down", "deleting"), ("terminated", "terminated")):
        dead = cloud(word=word)[0]
        assert f"is {said}; a new attempt" in str(raised(partial(dead.create, request())))


def test_the_token_is_the_requests_and_holds_in_a_zone() -> None:
    """AWS makes a second machine for the token in another zone: who tries there, needs another token."""
    provider, fake, _ = cloud()
    first = provider.create(request("t-zone"))
    assert fake.bodies[0]["ClientToken"] == "t-zone"
    assert provider.create(request("t-zone")).id == first.id
    moved = attrs.evolve(PARAMS, zone="eu-west-1c")
    assert provider.create(request("t-zone", moved)).id != first.id
    assert (
        type(raised(lambda: provider.create(request("t-zone", attrs.evolve(PARAMS, image="ami-2")))))
        is TokenConflict
    )
    assert type(raised(lambda: provider.create(request("t-zone", data=b"other")))) is TokenConflict


def test_user_data_is_sent_and_only_in_its_own_call() -> None:
    """It reaches AWS in base64, and the next create of the same thread has none of it."""
    provider, fake, _ = cloud()
    provider.create(request("t-1", data=b"#!/bin/sh\n"))
    provider.create(request("t-2"))
    assert [body.get("UserData") for body in fake.bodies] == ["IyEvYmluL3NoCg==", None]


def test_user_data_of_threads_is_not_mixed_up() -> None:
    """Eight creates at once send each their own."""
    provider, fake, _ = cloud()
    threads = [
        threading.Thread(target=provider.create, args=(request(f"t-{one}", data=bytes([65 + one])),))
        for one in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {body["ClientToken"]: body["UserData"] for body in fake.bodies} == {
        f"t-{one}": text
        for one, text in enumerate(["QQ==", "Qg==", "Qw==", "RA==", "RQ==", "Rg==", "Rw==", "SA=="])
    }


def test_all_parameters_are_on_the_wire() -> None:
    """Each field, by AWS's names; IMDSv2 is required in every case."""
    provider, fake, _ = cloud()
    params = AwsParams(
        instance_type="m7i.large", image="ami-1", subnet="subnet-1", security_groups=("sg-1", "sg-2"), key_name="ops",
        launch_template=LaunchTemplate(id="lt-1", version="7"), iam_profile="arn:aws:iam::1:instance-profile/node",
        disks=(Disk(device="/dev/xvda", size_gib=50, type="gp3", iops=4000, throughput_mib=200, encrypted=True, kms_key="k"),
               Disk(device="/dev/xvdb", snapshot="snap-1", keep=True)),
        spot=Spot(max_price="0.05"), placement_group="pg", metadata_hops=2, termination_protection=True,
        tags={"team": "a", "owner": "params"},
    )  # fmt: skip
    provider.create(request(params=params, owner="kubenode"))
    body = {key: value for key, value in fake.bodies[0].items() if key not in ("Action", "Version")}
    tags = {f"TagSpecification.{at}.{key}": value for at, kind in enumerate(("instance", "volume"), 1) for key, value in {
        "ResourceType": kind, "Tag.1.Key": "Name", "Tag.1.Value": "m1", "Tag.2.Key": "owner", "Tag.2.Value": "kubenode",
        "Tag.3.Key": "team", "Tag.3.Value": "a",
    }.items()}  # fmt: skip
    assert body == {
        **tags, "MinCount": "1", "MaxCount": "1", "ClientToken": "t-1", "ImageId": "ami-1", "InstanceType": "m7i.large",
        "LaunchTemplate.LaunchTemplateId": "lt-1", "LaunchTemplate.Version": "7", "SubnetId": "subnet-1",
        "Placement.GroupName": "pg", "SecurityGroupId.1": "sg-1", "SecurityGroupId.2": "sg-2", "KeyName": "ops",
        "IamInstanceProfile.Arn": "arn:aws:iam::1:instance-profile/node", "DisableApiTermination": "true",
        "BlockDeviceMapping.1.DeviceName": "/dev/xvda", "BlockDeviceMapping.1.Ebs.VolumeSize": "50",
        "BlockDeviceMapping.1.Ebs.VolumeType": "gp3", "BlockDeviceMapping.1.Ebs.Iops": "4000",
        "BlockDeviceMapping.1.Ebs.Throughput": "200", "BlockDeviceMapping.1.Ebs.Encrypted": "true",
        "BlockDeviceMapping.1.Ebs.KmsKeyId": "k", "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
        "BlockDeviceMapping.2.DeviceName": "/dev/xvdb", "BlockDeviceMapping.2.Ebs.SnapshotId": "snap-1",
        "BlockDeviceMapping.2.Ebs.DeleteOnTermination": "false", "InstanceMarketOptions.MarketType": "spot",
        "InstanceMarketOptions.SpotOptions.SpotInstanceType": "one-time", "InstanceMarketOptions.SpotOptions.MaxPrice": "0.05",
        "MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpEndpoint": "enabled",
        "MetadataOptions.HttpPutResponseHopLimit": "2",
    }  # fmt: skip
    provider.create(request("t-2", attrs.evolve(PARAMS, iam_profile="node")))
    assert fake.bodies[1]["IamInstanceProfile.Name"] == "node"
    assert fake.bodies[1]["MetadataOptions.HttpTokens"] == "required"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (request("x" * 65), "a token is 1 to 64"),
        (request("ü"), "printable ASCII"),
        (request(data=b"x" * 16385), "user data has 16385 bytes; AWS takes 16384"),
        (request(params=attrs.evolve(PARAMS, tags={f"k{one}": "v" for one in range(50)})), "51 tags; AWS takes 50"),
        (request(params=attrs.evolve(PARAMS, tags={"AWS:x": "v"})), "AWS keeps aws: to itself"),
    ],
)  # fmt: skip
def test_what_aws_refuses_in_any_case_is_not_sent(wrong: CreateRequest[AwsParams], words: str) -> None:
    """It is Invalid, and costs no call."""
    provider, fake, _ = cloud()
    error = raised(lambda: provider.create(wrong))
    assert isinstance(error, Invalid)
    assert words in str(error)
    assert fake.calls == []


def test_what_is_shown_of_an_instance() -> None:
    """Zone, tags, addresses, providerID as the cloud controller manager writes it, aware time."""
    provider, _, _ = cloud()
    made = provider.create(request(owner="u-1"))
    assert made == Instance(
        id="i-00000000000000000", state=InstanceState.RUNNING, zone="eu-west-1b", tags={"Name": "m1", "owner": "u-1"},
        addresses=("10.0.0.9",), provider_id="aws:///eu-west-1b/i-00000000000000000", created_at=NOW,
    )  # fmt: skip
    assert provider.get(made.id) == made


@pytest.mark.parametrize(
    ("provider_id", "found"),
    [
        ("aws:///eu-west-1b/i-0123456789abcdef0", "i-0123456789abcdef0"),
        ("aws:///eu-west-1/i-0123456789abcdef0", "i-0123456789abcdef0"),
        ("aws:////i-01234567", "i-01234567"),
        ("i-01234567", "i-01234567"),
        ("aws:///us-east-1a/i-0123456789abcdef0", None),
        ("aws:///eu-west-1b/i-0123456789ABCDEF0", None),
        ("aws:///eu-west-1b/fargate-ip-10-0-0-1", None),
        ("aws:///a/b/eu-west-1b/i-01234567", None),
        ("alicloud://cn-hangzhou.i-01234567", None),
        ("cn-hangzhou.i-01234567", None),
        ("", None),
    ],
)  # fmt: skip
def test_provider_ids_are_read_tolerantly_and_only_of_this_region(
    provider_id: str, found: str | None
) -> None:
    """An instance of another region would be looked for here, not found, and taken for gone."""
    provider, fake, _ = cloud()
    assert provider.instance_of(provider_id) == found
    assert fake.calls == []


def test_the_words_of_states() -> None:
    """Dying is not dead: it counts until AWS says terminated."""
    words = {"pending": InstanceState.PENDING, "stopping": InstanceState.STOPPING, "stopped": InstanceState.STOPPED,
             "shutting-down": InstanceState.DELETING, "terminated": InstanceState.TERMINATED, "": InstanceState.UNKNOWN}  # fmt: skip
    provider, fake, _ = cloud()
    made = provider.create(request()).id
    for word, state in words.items():
        fake.rows[made]["State"] = {"Name": word}
        assert provider.get(made).state is state


def test_find_takes_values_as_they_are() -> None:
    """A star in a tag's value is a star, and a backslash a backslash: else we should find, and delete, somebody else's."""
    provider, _, _ = cloud()
    values = ["a*", "ab", "a?", "a\\*", "a"]
    made = {value: provider.create(request(f"t-{at}", owner=value)).id for at, value in enumerate(values)}
    for value in values:
        assert [one.id for one in provider.find({"owner": value}, None).items] == [made[value]]


def test_protection_is_told_and_nothing_is_deleted() -> None:
    """Nobody unprotects it behind your back."""
    provider, fake, _ = cloud()
    made = provider.create(request()).id
    fake.protected.add(made)
    error = raised(lambda: provider.delete(made))
    assert type(error) is Protected
    assert "switch termination or stop protection off" in str(error)
    assert fake.calls == ["RunInstances", "TerminateInstances"]
    assert provider.get(made).state is InstanceState.RUNNING


def test_a_poll_gives_plans_and_failures_by_what_happens() -> None:
    """Three filtered questions: 500 quiet instances cost nothing; an id is the same in every poll."""
    provider, fake, _ = cloud()
    ids = [provider.create(request(f"t-{at}")).id for at in range(500)]
    fake.calls.clear()
    fake.plan(ids[0], "instance-retirement")
    fake.plan(ids[1], "system-maintenance", "[Completed] done")
    fake.plan(ids[2], "instance-stop", "[Canceled] no")
    since = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    fake.impaired[ids[3]] = {
        "SystemStatus": {
            "Status": "impaired",
            "Details": [{"Name": "reachability", "Status": "failed", "ImpairedSince": since}],
        }
    }
    fake.impaired[ids[4]] = {"AttachedEbsStatus": {"Status": "impaired", "Details": []}}
    found: dict[str, CloudEvent] = {}
    cursor, first = None, True
    while first or cursor:
        page = provider.events(cursor)
        found |= {event.instance: event for event in page.items}
        cursor, first = page.cursor, False
    assert fake.calls == ["DescribeInstanceStatus"] * 3
    assert {one: (found[one].type, found[one].impact, found[one].state) for one in ids if one in found} == {
        ids[0]: ("instance-retirement", Impact.RETIRE, EventState.SCHEDULED),
        ids[1]: ("system-maintenance", Impact.BRIEF, EventState.EXECUTED),
        ids[2]: ("instance-stop", Impact.STOP, EventState.CANCELED),
        ids[3]: ("system-status", Impact.FAILURE, EventState.EXECUTING),
        ids[4]: ("attached-ebs-status", Impact.DISK, EventState.EXECUTING),
    }
    assert found[ids[0]].id == f"instance-event-{ids[0][2:]}"
    assert found[ids[0]].not_before == NOW + timedelta(days=1)
    assert found[ids[0]].not_after == NOW + timedelta(days=1, hours=2)
    assert (found[ids[3]].id, found[ids[3]].not_before) == (f"{ids[3]}:system-status:20260302T080000Z", since)
    assert found[ids[4]].id == f"{ids[4]}:attached-ebs-status:"
    del fake.events[ids[0]][0]["InstanceEventId"]
    (old,) = [one for one in provider.events(None).items if one.instance == ids[0]]
    assert old.id == f"{ids[0]}:instance-retirement:20260303T090000Z", "an old event has no id of its own"
    assert isinstance(raised(lambda: provider.events("nonsense")), Invalid)


def test_power_and_its_tokens() -> None:
    """A token that was answered is one act; one whose answer was lost is sent again; two threads do not send it both."""
    provider, fake, _ = cloud()
    made = provider.create(request()).id
    fake.refusals["RebootInstances"] = [Refuse("InternalError", 500)]
    assert type(raised(lambda: provider.power(made, Power.REBOOT, "p"))) is Unavailable
    for _ in range(3):
        provider.power(made, Power.REBOOT, "p")
    assert fake.calls.count("RebootInstances") == 2
    with pytest.raises(TokenConflict):
        provider.power(made, Power.OFF, "p")
    with pytest.raises(Busy):
        provider._once.do("q", (), lambda: provider.power(made, Power.OFF, "q"))
    assert type(raised(lambda: provider.power("i-0000000000000000f", Power.OFF, "r"))) is NotFound


def test_the_console_is_bytes() -> None:
    """As AWS kept it, decoded; empty when there is none."""
    provider, fake, _ = cloud()
    made = provider.create(request()).id
    assert provider.console_log(made) == "booted ü".encode()
    fake.console = None
    assert provider.console_log(made) == b""


def test_choices_are_one_placement_each_in_order() -> None:
    """What a fall-back leaves out is as in the parameters; a new zone does not keep the old subnet; twins are one."""
    provider, _, _ = cloud()
    params = attrs.evolve(PARAMS, zone="", subnet="subnet-a", fallback=(
        Placement(instance_type="m6i.large"), Placement(zone="eu-west-1c"), Placement(subnet="subnet-c", instance_type="m6i.large"),
        Placement(instance_type="m7i.large"),
    ))  # fmt: skip
    tried = [(one.instance_type, one.zone, one.subnet) for one in provider.choices(params)]
    assert tried == [
        ("m7i.large", "", "subnet-a"), ("m6i.large", "", "subnet-a"), ("m7i.large", "eu-west-1c", ""), ("m6i.large", "", "subnet-c"),
    ]  # fmt: skip
    assert all(one.fallback == () for one in provider.choices(params))
