"""What the ECS driver says and asks, with the real SDK in front of a fake that checks signatures."""

import base64
import threading
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core.capability import CommandState, EventState, Impact
from kubenode.core.errors import InvalidObjectError
from kubenode.providers import (
    Ambiguous,
    AuthFailed,
    Busy,
    CapacityExhausted,
    CreateRequest,
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
)
from kubenode.providers.aliyun import AliyunParams, DataDisk, Disk, MetadataTokens, Placement, Spot
from kubenode.providers.asking import Denied
from kubenode.providers.pace import Budget, Pace
from kubenode.runtime.parameters import structured
from tests.providers.aliyun.cloud import FakeEcs
from tests.providers.aliyun.rig import PARAMS, Rig, request, rig

MADE = "cn-hangzhou.i-bp00000000"


def test_a_create_says_all_of_the_machine_class() -> None:
    """Every field is where ECS looks for it, under its name; user data and nothing else is in the body."""
    one = rig()
    params = attrs.evolve(
        PARAMS, system_disk=Disk(size=40, performance_level="PL0", encrypted=True, kms_key="k0"),
        data_disks=(DataDisk(size=100, performance_level="PL1", encrypted=True, kms_key="k1"), DataDisk(size=20, snapshot="s-1")),
        key_pair="ops", ram_role="node", spot=Spot.WITH_LIMIT, spot_price_limit=0.5, launch_template="lt-1",
        launch_template_version=3, resource_group="rg-1", deletion_protection=True,
        metadata_tokens=MetadataTokens.OPTIONAL, tags={"team": "infra"},
    )  # fmt: skip
    made = one.provider.create(request("t-1", params=params, data=b"#cloud-config"))
    assert (made.id, made.provider_id, made.zone) == (MADE, MADE, "cn-hangzhou-h")
    assert made.state is InstanceState.UNKNOWN
    (heard,) = one.account.heard
    ours = {
        k: v for k, v in heard.query.items() if not k.startswith(("Signature", "AccessKeyId", "Timestamp"))
    }
    assert ours == {
        "Action": "RunInstances", "Version": "2014-05-26", "Format": "JSON", "RegionId": "cn-hangzhou",
        "ClientToken": "t-1", "Amount": "1", "InstanceName": "web-1", "HostName": "web-1", "ZoneId": "cn-hangzhou-h",
        "VSwitchId": "vsw-1", "InstanceType": "ecs.g7.xlarge", "ImageId": "m-1", "KeyPairName": "ops", "RamRoleName": "node",
        "LaunchTemplateId": "lt-1", "LaunchTemplateVersion": "3", "ResourceGroupId": "rg-1", "HttpEndpoint": "enabled",
        "HttpTokens": "optional", "DeletionProtection": "true", "SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": "0.5",
        "SecurityGroupIds.1": "sg-1", "SecurityGroupIds.2": "sg-2", "SystemDisk.Size": "40", "SystemDisk.Category": "cloud_essd",
        "SystemDisk.PerformanceLevel": "PL0", "SystemDisk.Encrypted": "true", "SystemDisk.KMSKeyId": "k0", "DataDisk.1.PerformanceLevel": "PL1",
        "DataDisk.1.Size": "100", "DataDisk.1.Category": "cloud_essd", "DataDisk.1.Encrypted": "true",
        "DataDisk.1.KMSKeyId": "k1", "DataDisk.1.DeleteWithInstance": "true",
        "DataDisk.2.Size": "20", "DataDisk.2.Category": "cloud_essd", "DataDisk.2.SnapshotId": "s-1",
        "DataDisk.2.DeleteWithInstance": "true",
        "Tag.1.Key": "owner", "Tag.1.Value": "u1", "Tag.2.Key": "team", "Tag.2.Value": "infra",
    }  # fmt: skip
    assert heard.form == {"UserData": base64.b64encode(b"#cloud-config").decode()}


def test_an_instance_is_shown_in_our_words() -> None:
    """State, zone, tags, addresses with private ones first, and an aware time."""
    one = rig()
    one.provider.create(request(team="web"))
    seen = one.provider.get(MADE)
    assert (seen.id, seen.provider_id, seen.zone) == (MADE, MADE, "cn-hangzhou-h")
    assert seen.tags == {"owner": "u1", "team": "web"}
    assert seen.addresses == ("10.0.0.1", "47.0.0.1")
    assert seen.created_at == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    states = {
        "Pending": InstanceState.PENDING, "Starting": InstanceState.PENDING, "Running": InstanceState.RUNNING,
        "Stopping": InstanceState.RUNNING, "Stopped": InstanceState.STOPPED, "Melting": InstanceState.UNKNOWN,
    }  # fmt: skip
    for word, state in states.items():
        one.cloud.instances["i-bp00000000"]["Status"] = word
        assert one.provider.get(MADE).state is state


ERRORS = [
    ("Throttling", 400, Throttled, Throttled), ("Throttling.User", 403, Throttled, Throttled), ("Weird", 429, Throttled, Throttled),
    ("ServiceUnavailable", 503, Ambiguous, Unavailable), ("InternalError", 500, Ambiguous, Unavailable),
    ("Weird", 502, Ambiguous, Unavailable), ("Weird.New", 400, Ambiguous, Unavailable),
    ("OperationDenied.NoStock", 403, CapacityExhausted, CapacityExhausted), ("Zone.NotOnSale", 403, CapacityExhausted, CapacityExhausted),
    ("InvalidInstanceType.ZoneNotSupported", 403, CapacityExhausted, CapacityExhausted),
    ("QuotaExceed.ElasticQuota", 403, QuotaExceeded, QuotaExceeded), ("Account.Arrearage", 400, QuotaExceeded, QuotaExceeded),
    ("LastTokenProcessing", 403, Busy, Busy), ("OperationConflict", 403, Busy, Busy),
    ("Forbidden.RAM", 403, Denied, Denied), ("InvalidSecurityToken.Expired", 400, AuthFailed, AuthFailed),
    ("InvalidImageId.NotFound", 404, Invalid, Invalid), ("MissingParameter", 400, Invalid, Invalid),
    ("IdempotenceParamNotMatch", 400, TokenConflict, TokenConflict),
    ("InvalidSpotPriceLimit.LowerThanPublicPrice", 400, CapacityExhausted, CapacityExhausted), ("InvalidSpotPriceLimit", 400, Invalid, Invalid),
]  # fmt: skip


@pytest.mark.parametrize(("code", "status", "created", "read"), ERRORS)
def test_an_error_is_its_meaning_in_one_call(
    code: str, status: int, created: type[ProviderError], read: type[ProviderError]
) -> None:
    """Create and find say what the code means, after one call each; the vendor's own message is not told on."""
    told = "the string to sign is UserData=c2VjcmV0"
    for action, meaning in {"RunInstances": created, "DescribeInstances": read}.items():
        one = rig()
        one.cloud.fail(action, status, code, told)
        with pytest.raises(meaning) as raised:
            _act(one, action)
        assert type(raised.value) is meaning
        assert f"{action}: {code} (HTTP {status}, request REQ-1)" in str(raised.value)
        assert "c2VjcmV0" not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
        assert (raised.value.retry_after == timedelta(minutes=1)) is (meaning is Throttled)
        assert one.cloud.calls == [action]
        assert one.cloud.made == 0


def _act(one: Rig, action: str) -> None:
    match action:
        case "RunInstances":
            one.provider.create(request("t-2"))
        case "DescribeInstances":
            one.provider.find({}, None)
        case _:
            one.provider.events(None)


@pytest.mark.parametrize("code", ["Throttling", "ServiceUnavailable", "InternalError"])
def test_nothing_is_repeated_behind_our_back(code: str) -> None:
    """These are what the SDK would repeat by itself."""
    for action in ("RunInstances", "DescribeInstances", "DescribeInstanceHistoryEvents"):
        one = rig()
        one.cloud.fail(action, 503, code)
        with pytest.raises(ProviderError):
            _act(one, action)
        assert one.cloud.calls == [action]


def test_a_lost_create_is_repeated_into_the_same_instance() -> None:
    """Ambiguous, then the instance that was made; nothing is made twice."""
    one = rig()
    one.cloud.lose("RunInstances")
    with pytest.raises(Ambiguous, match=r"^RunInstances: the answer was lost; it may have been done$"):
        one.provider.create(request(data=b"x"))
    assert one.provider.create(request(data=b"x")).id == MADE
    assert one.cloud.made == 1


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b'"a text"', b"\xff\xfe"])
def test_an_answer_that_cannot_be_read_is_a_lost_one(body: bytes) -> None:
    """A proxy may say 200 and nothing: a create may have been done, a look was not."""
    one = rig()
    one.cloud.garble("RunInstances", body)
    with pytest.raises(Ambiguous):
        one.provider.create(request())
    one.cloud.garble("DescribeInstances", body)
    with pytest.raises(Unavailable):
        one.provider.get(MADE)
    assert one.provider.create(request()).id == MADE
    assert one.cloud.made == 1


def test_a_token_stands_for_every_parameter() -> None:
    """Another zone, other tags or other user data are another launch."""
    one = rig()
    first = request("t-1", data=b"a")
    one.provider.create(first)
    others = [
        request("t-1", data=b"b"), request("t-1", data=b"a", more="x"),
        request("t-1", data=b"a", params=attrs.evolve(PARAMS, zone="cn-hangzhou-k")),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(TokenConflict):
            one.provider.create(other)
    shuffled = attrs.evolve(first, tags=dict(reversed(first.tags.items())))
    assert one.provider.create(shuffled).id == MADE, "the order of tags is no parameter"
    assert one.cloud.made == 1


def test_what_ecs_would_not_take_is_refused_without_a_call() -> None:
    """A long token, large user data, many tags, and ids of elsewhere cost no call."""
    one = rig()
    many = {f"k{n}": "v" for n in range(20)}
    wrong: list[CreateRequest[AliyunParams]] = [
        request("t" * 65), request("t 1"), request("té"), request(""), request(data=b"x" * (32 * 1024 + 1)), request(**many),
    ]  # fmt: skip
    for asked in wrong:
        with pytest.raises(Invalid):
            one.provider.create(asked)
    with pytest.raises(Invalid, match="another region"):
        one.provider.get("cn-beijing.i-bp00000000")
    with pytest.raises(Invalid, match="no id"):
        one.provider.delete("aws:///cn-hangzhou/i-0123456789abcdef0")
    with pytest.raises(Invalid, match="18432"):
        one.provider.run_command(MADE, b"x" * (18 * 1024 + 1), "t", timedelta(seconds=60))
    with pytest.raises(Invalid, match="0 events"):
        one.provider.ended_events(())
    assert one.account.heard == []
    one.provider.create(request("t" * 64, data=b"x" * (32 * 1024)))
    assert len(one.account.heard[0].address) < 2_000, "user data is not in the address"


def test_parameters_are_read_and_judged_at_once() -> None:
    """As they stand in an object; every fault is named."""
    raw = {
        "vswitch": "vsw-1", "instance_type": "ecs.g7.large", "image": "m-1", "security_groups": ["sg-1"],
        "spot": "SpotAsPriceGo", "data_disks": [{"size": 20}], "fallback": [{"vswitch": "vsw-2"}],
    }  # fmt: skip
    read = structured(raw, AliyunParams, "spec.infrastructure.parameters")
    assert read.spot is Spot.AS_PRICE_GO
    assert read.data_disks == (DataDisk(size=20),)
    with pytest.raises(InvalidObjectError) as raised:
        AliyunParams(image="m-1", launch_template_version=2, spot=Spot.WITH_LIMIT, tags={"acs:x": "y"})
    assert {problem.where for problem in raised.value.problems} == {
        "vswitch", "instance_type", "security_groups", "launch_template_version", "spot_price_limit", "tags[acs:x]",
    }  # fmt: skip
    assert AliyunParams(launch_template="lt-1").image == "", "the template may have it all"
    keyed = {
        "system_disk": Disk(size=40, kms_key="k"),
        "data_disks": (DataDisk(size=20), DataDisk(size=20, kms_key="k")),
    }
    with pytest.raises(InvalidObjectError) as raised:
        AliyunParams(launch_template="lt-1", **keyed)
    assert [problem.where for problem in raised.value.problems] == [
        "system_disk.kms_key",
        "data_disks[1].kms_key",
    ]


def test_fallbacks_are_choices_in_order() -> None:
    """Each is one placement; with another vswitch the old zone is not said any more."""
    more = (
        Placement(vswitch="vsw-2"),
        Placement(instance_type="ecs.g6.xlarge"),
        Placement(vswitch="vsw-3", zone="z3"),
    )
    first, second, third, fourth = rig().provider.choices(attrs.evolve(PARAMS, fallback=more))
    assert first == PARAMS
    assert second == attrs.evolve(PARAMS, vswitch="vsw-2", zone="")
    assert third == attrs.evolve(PARAMS, instance_type="ecs.g6.xlarge")
    assert fourth == attrs.evolve(PARAMS, vswitch="vsw-3", zone="z3")
    with pytest.raises(InvalidObjectError):
        attrs.evolve(PARAMS, fallback=(Placement(),))


def test_delete_says_why_not() -> None:
    """Protected and Busy are told; a running one is released; "not found" is passed on, for the core to look into."""
    one = rig()
    one.provider.create(request("t-1", params=attrs.evolve(PARAMS, deletion_protection=True)))
    with pytest.raises(Protected, match="release protection"):
        one.provider.delete(MADE)
    one.cloud.protected.clear()
    one.cloud.instances["i-bp00000000"]["Status"] = "Pending"
    with pytest.raises(Busy):
        one.provider.delete(MADE)
    one.cloud.instances["i-bp00000000"]["Status"] = "Running"
    one.cloud.lose("DeleteInstance")
    with pytest.raises(Ambiguous):
        one.provider.delete(MADE)
    with pytest.raises(NotFound):
        one.provider.delete(MADE)
    assert one.cloud.instances == {}


def test_pages_are_as_many_as_are_needed() -> None:
    """250 instances are three calls, and each is given once."""
    one = rig()
    for number in range(250):
        one.provider.create(request(f"t-{number}"))
    found: list[str] = []
    cursor: str | None = None

    def walk() -> None:
        nonlocal cursor
        while True:
            page = one.provider.find({"owner": "u1"}, cursor)
            found.extend(each.id for each in page.items)
            cursor = page.cursor
            if cursor is None:
                return

    assert one.calls(walk) == ["DescribeInstances"] * 3
    assert len(set(found)) == len(found) == 250


def test_consent_is_one_call_and_a_repeat_is_told_apart() -> None:
    """What waits begins; what waits no more, never did, or is unknown, is NotFound: ECS makes no difference."""
    one = rig()
    one.provider.create(request())
    one.cloud.maintain("i-bp00000000", "e-1", "SystemMaintenance.ReInitErrorDisk", "Inquiring")
    (event,) = one.provider.events(None).items
    assert (event.state, event.impact) == (EventState.INQUIRING, Impact.DISK)
    assert one.calls(lambda: one.provider.confirm_event(event.id)) == ["AcceptInquiredSystemEvent"]
    assert one.account.heard[-1].query["EventId"] == "e-1"
    assert one.provider.events(None).items == ()
    for id in ("e-1", "e-2"):
        with pytest.raises(NotFound):
            one.provider.confirm_event(id)
    one.cloud.fail("AcceptInquiredSystemEvent", 403, "OperationConflict")
    with pytest.raises(Busy):
        one.provider.confirm_event("e-1")
    one.cloud.lose("AcceptInquiredSystemEvent")
    with pytest.raises(Ambiguous):
        one.provider.confirm_event("e-1")


def test_acts_without_a_token_of_the_vendor_are_done_once() -> None:
    """A known token is no second act; a lost answer is Ambiguous and not known; another act is a conflict."""
    one = rig()
    one.provider.create(request())
    assert one.calls(lambda: one.provider.power(MADE, Power.REBOOT, "p1")) == ["RebootInstance"]
    assert one.calls(lambda: one.provider.power(MADE, Power.REBOOT, "p1")) == []
    for other in (
        lambda: one.provider.power(MADE, Power.OFF, "p1"),
        lambda: one.provider.redeploy(MADE, "p1"),
    ):
        with pytest.raises(TokenConflict):
            other()
    one.cloud.lose("RedeployInstance")
    with pytest.raises(Ambiguous):
        one.provider.redeploy(MADE, "r1")
    assert one.calls(lambda: one.provider.redeploy(MADE, "r1")) == ["RedeployInstance"]
    assert one.calls(lambda: one.provider.redeploy(MADE, "r1")) == []
    assert one.account.heard[-1].query["ForceStop"] == "true"
    one.provider.power(MADE, Power.OFF, "p2")
    assert one.account.heard[-1].query["StoppedMode"] == "KeepCharging"
    with pytest.raises(NotFound):
        one.provider.power("cn-hangzhou.i-bp99999999", Power.ON, "p3")


def _maintained(one: Rig) -> None:
    one.provider.create(request())
    one.cloud.maintain("i-bp00000000", "e-1")
    one.cloud.maintain("i-bp00000000", "e-2", "SystemFailure.Reboot", "Executing")
    one.cloud.maintain("i-bp00000000", "e-3", "SystemMaintenance.IsolateErrorDisk", "Inquiring")
    one.cloud.maintain("i-bp00000000", "e-4", "InstanceExpiration.Stop")
    one.cloud.maintain("i-bp00000000", "e-5", "Surprise.New")
    one.cloud.maintain("i-bp00000000", "e-6", "SystemMaintenance.Reboot", "Executed")


def test_events_that_are_not_over_are_polled_region_wide() -> None:
    """One call; also those that wait for consent, which the vendor's default leaves out; what is over is asked for by id."""
    one = rig()
    _maintained(one)
    calls = one.calls(lambda: one.provider.events(None))
    assert calls == ["DescribeInstanceHistoryEvents"]
    assert "InstanceId" not in one.account.heard[-1].params
    seen = {event.id: event for event in one.provider.events(None).items}
    assert {name: (event.impact, event.state) for name, event in seen.items()} == {
        "e-1": (Impact.REBOOT, EventState.SCHEDULED), "e-2": (Impact.FAILURE, EventState.EXECUTING),
        "e-3": (Impact.DISK, EventState.INQUIRING), "e-4": (Impact.BILLING, EventState.SCHEDULED),
        "e-5": (Impact.OTHER, EventState.SCHEDULED),
    }  # fmt: skip
    assert seen["e-1"].instance == MADE
    assert seen["e-1"].not_before == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    one.provider.power(MADE, Power.REBOOT, "p1")
    assert one.provider.events(None).items == ()
    ended = {event.id: event.state for event in one.provider.ended_events(("e-1", "e-6", "e-9"))}
    assert ended == {"e-1": EventState.AVOIDED, "e-6": EventState.EXECUTED}


def test_the_cost_of_a_poll_follows_the_events() -> None:
    """A thousand instances cost one call, 250 events three."""
    one = rig()
    assert one.calls(lambda: one.provider.events(None)) == ["DescribeInstanceHistoryEvents"]
    for number in range(250):
        one.cloud.maintain(f"i-bp{number:08}", f"e-{number:04}")
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = one.provider.events(cursor)
        seen += [event.id for event in page.items]
        cursor = page.cursor
    assert cursor is None
    assert len(set(seen)) == 250


def test_a_command_runs_once_and_its_script_is_in_the_body() -> None:
    """One token, one command; every state of the vendor is one of ours; the output is read."""
    one = rig()
    one.provider.create(request())
    script = b"echo kubenode"
    run = one.provider.run_command(MADE, script, "c-1", timedelta(seconds=5))
    assert one.provider.run_command(MADE, script, "c-1", timedelta(seconds=5)) == run
    assert len(one.cloud.commands) == 1
    assert one.account.heard[-1].form == {"CommandContent": base64.b64encode(script).decode()}
    assert one.account.heard[-1].query["Timeout"] == "10", "the least that ECS takes"
    assert one.provider.command(MADE, run).state is CommandState.PENDING
    assert one.provider.command(MADE, run).exit_code is None
    row = one.cloud.commands[run]
    words = {
        "Success": CommandState.SUCCEEDED, "Failed": CommandState.FAILED, "Timeout": CommandState.TIMED_OUT,
        "Terminated": CommandState.FAILED, "Odd": CommandState.UNKNOWN,
    }  # fmt: skip
    for word, state in words.items():
        row.update(InvocationStatus=word, ExitCode=3, Output=base64.b64encode(b"done\n").decode())
        result = one.provider.command(MADE, run)
        assert (result.state, result.output) == (state, b"done\n")
        assert result.exit_code == (3 if state in (CommandState.SUCCEEDED, CommandState.FAILED) else None)
    with pytest.raises(NotFound):
        one.provider.command(MADE, "t-hz9999")
    with pytest.raises(NotFound):
        one.provider.run_command("cn-hangzhou.i-bp99999999", script, "c-2", timedelta(seconds=60))


def test_the_console_is_read() -> None:
    """As bytes, out of base64."""
    one = rig()
    one.provider.create(request())
    assert one.provider.console_log(MADE) == b"Kernel panic - not syncing\n"
    with pytest.raises(NotFound):
        one.provider.console_log("cn-hangzhou.i-bp99999999")


def test_a_node_names_its_instance() -> None:
    """As the cloud controller manager writes it, and as others have; no other cloud's is taken."""
    provider = rig(FakeEcs()).provider
    assert provider.instance_of("cn-hangzhou.i-bp1") == "cn-hangzhou.i-bp1"
    assert provider.instance_of("alicloud://cn-hangzhou.i-bp1") == "cn-hangzhou.i-bp1"
    for strange in (
        "i-bp1",
        "ack-hybrid://cn-hangzhou.i-bp1",
        "aws:///cn-hangzhou/i-0123",
        "cn-hangzhou.i-bp1/x",
        "",
    ):
        assert provider.instance_of(strange) is None


def test_two_acts_with_one_token_at_once_are_one() -> None:
    """The second is told that the first is under way."""
    one = rig()
    one.provider.create(request())
    one.account.delay = threading.Event()
    first = threading.Thread(target=lambda: one.provider.power(MADE, Power.REBOOT, "p1"))
    first.start()
    while one.cloud.calls[-1] != "RebootInstance":
        threading.Event().wait(0.01)
    with pytest.raises(Busy):
        one.provider.power(MADE, Power.REBOOT, "p1")
    one.account.delay.set()
    first.join()
    one.provider.power(MADE, Power.REBOOT, "p1")
    assert one.cloud.calls.count("RebootInstance") == 1


def test_calls_have_a_budget_and_readers_leave_some_to_writers() -> None:
    """What is over the budget is Throttled without a call; a release is let through where a look is not."""
    one = rig(calls_per_second=0.001, burst=8)
    one.provider.create(request())
    for _ in range(5):
        one.provider.get(MADE)
    sent = len(one.cloud.calls)
    with pytest.raises(Throttled) as raised:
        one.provider.get(MADE)
    assert raised.value.retry_after is not None
    assert len(one.cloud.calls) == sent
    one.provider.delete(MADE)
    assert len(one.cloud.calls) == sent + 1


def test_what_is_throttled_is_left_alone_for_a_minute() -> None:
    """Who is blocked in one minute is blocked until the next: no call is wasted, and other actions wait for a moment only."""
    now = [100.0]
    pace = Pace(Budget.full(rate=1e6, burst=40), lambda: now[0])
    one = rig(pace=pace)
    one.provider.create(request())
    one.cloud.fail("DescribeInstances", 400, "Throttling.User")
    with pytest.raises(Throttled, match=r"Throttling\.User"):
        one.provider.get(MADE)
    with pytest.raises(Throttled, match="budget"):
        one.provider.delete(MADE)
    for moment in (102.1, 130.0, 159.9):
        now[0] = moment
        with pytest.raises(Throttled, match="not sent") as raised:
            one.provider.get(MADE)
        assert raised.value.retry_after == timedelta(seconds=160.0 - moment)
    one.provider.power(MADE, Power.REBOOT, "p1")
    now[0] = 160.0
    one.provider.get(MADE)
    assert one.cloud.calls == ["RunInstances", "DescribeInstances", "RebootInstance", "DescribeInstances"]
