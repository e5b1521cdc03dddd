"""A fake EC2 that the real boto3 talks to: what moto lacks. Its answers are written from boto3's own model of the API."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import attrs
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

MODEL = ServiceModel(Loader().load_service_model("ec2", "service-2"), "ec2")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WORDS = {"StopInstances": "stopped", "StartInstances": "running", "TerminateInstances": "terminated"}
IMAGE = "ami-0123456789abcdef0"
"""The one that is there."""
ZONAL = ("Placement.AvailabilityZone", "SubnetId")


class Refuse(Exception):
    """An error answer."""

    def __init__(self, code: str, status: int = 400, text: str = "no") -> None:
        self.code, self.status, self.text = code, status, text
        super().__init__(code)


def members(params: Mapping[str, str], prefix: str) -> list[str]:
    """Give the values of a list, as the wire has it."""
    found, number = [], 1
    while f"{prefix}.{number}" in params:
        found.append(params[f"{prefix}.{number}"])
        number += 1
    return found


@attrs.define
class FakeEc2:
    """Instances of one account and region.

    Attributes:
        page: how many an answer holds at most.
        late: how many looks a new instance stays hidden for.
        word: the state a new instance is in.
        planned: whether maintenance is planned for each that is made.
        refusals: error answers to the next calls, by operation.
        quotas: of Service Quotas, by code.
        console: what the console log holds, in base64; None when there is none.
        told: hears what is done to an instance, when nobody sees it by looking.
        calls: the operations that came, in order.
        bodies: what came, with its parameters.
    """

    page: int = 50
    late: int = 0
    word: str = "running"
    planned: bool = False
    refusals: dict[str, list[Refuse]] = attrs.field(factory=dict)
    calls: list[str] = attrs.field(factory=list)
    bodies: list[dict[str, str]] = attrs.field(factory=list)
    rows: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    tokens: dict[tuple[str, ...], tuple[dict[str, str], str]] = attrs.field(factory=dict)
    hidden: dict[str, int] = attrs.field(factory=dict)
    protected: set[str] = attrs.field(factory=set)
    events: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)
    impaired: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    quotas: dict[str, float] = attrs.field(factory=lambda: {"L-1216C47A": 640.0})
    console: str | None = "Ym9vdGVkIMO8"
    told: Callable[[str, str], None] = lambda act, instance: None
    _lock: Any = attrs.field(factory=threading.Lock)

    def answer(self, body: str) -> tuple[int, bytes]:
        """Answer one request: the status and the XML."""
        params = dict(parse_qsl(body, keep_blank_values=True))
        operation = params["Action"]
        with self._lock:
            self.calls.append(operation)
            self.bodies.append(params)
            try:
                if self.refusals.get(operation):
                    raise self.refusals[operation].pop(0)
                found = self._done(operation, params)
            except Refuse as refuse:
                text = f"<Response><Errors><Error><Code>{refuse.code}</Code><Message>{escape(refuse.text)}</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
                return refuse.status, text.encode()
        shape = MODEL.operation_model(operation).output_shape
        inner = xml(shape, found) if shape is not None else "<return>true</return>"
        return (
            200,
            f'<{operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId>{inner}</{operation}Response>'.encode(),
        )

    def quota(self, body: str) -> tuple[int, bytes]:
        """Answer one request to Service Quotas."""
        asked = json.loads(body)
        with self._lock:
            self.calls.append("GetServiceQuota")
            if self.refusals.get("GetServiceQuota"):
                refuse = self.refusals["GetServiceQuota"].pop(0)
                return refuse.status, json.dumps({"__type": refuse.code, "message": refuse.text}).encode()
            assert asked["ServiceCode"] == "ec2"
            value = self.quotas.get(asked["QuotaCode"])
        if value is None:
            return 400, json.dumps({"__type": "NoSuchResourceException"}).encode()
        return 200, json.dumps({"Quota": {"QuotaCode": asked["QuotaCode"], "Value": value}}).encode()

    def _done(self, operation: str, params: dict[str, str]) -> dict[str, Any]:
        if params.get("DryRun") == "true":
            raise Refuse("DryRunOperation", 412)
        found: dict[str, Any] = getattr(self, f"_{xform_name(operation)}")(params)
        return found

    def _run_instances(self, params: dict[str, str]) -> dict[str, Any]:
        # AWS's keys are zonal when a zone or a subnet is named: the same token elsewhere makes a second machine.
        key = (params["ClientToken"], *(params.get(name, "") for name in ZONAL))
        known = self.tokens.get(key)
        if known is not None:
            if known[0] != params:
                raise Refuse("IdempotentParameterMismatch")
            row = self.rows[known[1]]
            if row["State"]["Name"] == "terminated":
                raise Refuse("IdempotentInstanceTerminated")
            return {"Instances": [row]}
        made = f"i-{len(self.rows):017x}"
        tags, number = [], 1
        while f"TagSpecification.1.Tag.{number}.Key" in params:
            at = f"TagSpecification.1.Tag.{number}"
            tags.append({"Key": params[f"{at}.Key"], "Value": params[f"{at}.Value"]})
            number += 1
        self.rows[made] = {
            "InstanceId": made, "State": {"Name": self.word}, "Tags": tags, "LaunchTime": NOW, "PrivateIpAddress": "10.0.0.9",
            "Placement": {"AvailabilityZone": params.get("Placement.AvailabilityZone", "eu-west-1a")},
        }  # fmt: skip
        self.tokens[key] = (params, made)
        self.hidden[made] = self.late
        if self.planned:
            self.plan(made, "system-reboot")
        return {"Instances": [self.rows[made]]}

    def plan(self, instance_id: str, code: str, text: str = "planned") -> None:
        """Plan maintenance."""
        self.events[instance_id] = [{
            "InstanceEventId": f"instance-event-{instance_id[2:]}", "Code": code, "Description": text,
            "NotBefore": NOW + timedelta(days=1), "NotAfter": NOW + timedelta(days=1, hours=2),
        }]  # fmt: skip

    def _describe_instances(self, params: dict[str, str]) -> dict[str, Any]:
        ids = members(params, "InstanceId")
        shown = [one for one in self.rows if self._shows(one)]
        if ids:
            return {"Reservations": [{"Instances": [self.rows[self._known(one, shown)]]} for one in ids]}
        filters = _filters(params)
        carry = [
            one
            for one in shown
            if all(
                _matches(self._tags(one).get(name.removeprefix("tag:")), values)
                for name, values in filters.items()
            )
        ]
        part, more = self._part(carry, params)
        return {"Reservations": [{"Instances": [self.rows[one]]} for one in part], "NextToken": more}

    def _create_replace_root_volume_task(self, params: dict[str, str]) -> dict[str, Any]:
        one, key = self._known(params["InstanceId"], [*self.rows]), ("root", params["ClientToken"])
        known = self.tokens.setdefault(key, (params, one))
        if known[0] != params:
            raise Refuse("IdempotentParameterMismatch")
        if self.rows[one]["State"]["Name"] != "running":
            del self.tokens[key]
            raise Refuse("IncorrectInstanceState")
        if known[0] is params:
            self.rows[one]["ImageId"] = params["ImageId"]
            self.told("reimage", one)
        return {
            "ReplaceRootVolumeTask": {
                "ReplaceRootVolumeTaskId": "replacevol-1",
                "InstanceId": one,
                "TaskState": "pending",
            }
        }

    def _describe_images(self, params: dict[str, str]) -> dict[str, Any]:
        rows = [{"ImageId": one, "State": "available"} for one in members(params, "ImageId") if one == IMAGE]
        return {"Images": rows}

    def _describe_instance_type_offerings(self, params: dict[str, str]) -> dict[str, Any]:
        ((_, types),) = _filters(params).items()
        zones = ("eu-west-1a", "eu-west-1b")
        return {"InstanceTypeOfferings": [{"InstanceType": types[0], "Location": zone} for zone in zones]}

    def _describe_instance_status(self, params: dict[str, str]) -> dict[str, Any]:
        ((name, values),) = _filters(params).items()
        assert params["IncludeAllInstances"] == "true"
        if name == "event.code":
            found = {
                one: {"Events": events}
                for one, events in self.events.items()
                if {event["Code"] for event in events} & set(values)
            }
        else:
            check = {
                "system-status.status": "SystemStatus",
                "attached-ebs-status.status": "AttachedEbsStatus",
            }[name]
            found = {one: statuses for one, statuses in self.impaired.items() if check in statuses}
        part, more = self._part(sorted(found), params)
        return {"InstanceStatuses": [{"InstanceId": one, **found[one]} for one in part], "NextToken": more}

    def _turn(self, params: dict[str, str]) -> dict[str, Any]:
        (one,) = members(params, "InstanceId")
        row = self.rows[self._known(one, [*self.rows])]
        word = WORDS[params["Action"]]
        if word == "terminated" and one in self.protected:
            raise Refuse("OperationNotPermitted")
        if word != "terminated" and row["State"]["Name"] == "terminated":
            raise Refuse("IncorrectInstanceState")
        row["State"] = {"Name": word}
        return {}

    _stop_instances = _start_instances = _terminate_instances = _turn

    def _reboot_instances(self, params: dict[str, str]) -> dict[str, Any]:
        for one in members(params, "InstanceId"):
            self._known(one, [*self.rows])
        return {}

    def _create_tags(self, params: dict[str, str]) -> dict[str, Any]:
        one = self._known(params["ResourceId.1"], [*self.rows])
        tags, number = self._tags(one), 1
        while f"Tag.{number}.Key" in params:
            tags[params[f"Tag.{number}.Key"]] = params[f"Tag.{number}.Value"]
            number += 1
        self.rows[one]["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {}

    def _get_console_output(self, params: dict[str, str]) -> dict[str, Any]:
        self._known(params["InstanceId"], [*self.rows])
        return {"InstanceId": params["InstanceId"], "Output": self.console}

    def _tags(self, one: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.rows[one]["Tags"]}

    def _shows(self, one: str) -> bool:
        left = self.hidden.get(one, 0)
        self.hidden[one] = max(0, left - 1)
        return left == 0

    def _known(self, one: str, shown: list[str]) -> str:
        if one not in shown:
            raise Refuse("InvalidInstanceID.NotFound", text=f"The instance ID '{one}' does not exist")
        return one

    def _part(self, found: list[str], params: Mapping[str, str]) -> tuple[list[str], str | None]:
        begin = int(params.get("NextToken", "0"))
        end = begin + min(self.page, int(params["MaxResults"]))
        return found[begin:end], str(end) if end < len(found) else None


def _filters(params: Mapping[str, str]) -> dict[str, list[str]]:
    found, number = {}, 1
    while f"Filter.{number}.Name" in params:
        found[params[f"Filter.{number}.Name"]] = members(params, f"Filter.{number}.Value")
        number += 1
    return found


def _matches(value: str | None, patterns: list[str]) -> bool:
    """Match as EC2 does: * and ? are patterns unless a backslash is before them."""
    return value is not None and any(_like(value, pattern) for pattern in patterns)


def _like(value: str, pattern: str) -> bool:
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(_like(value[at:], pattern[1:]) for at in range(len(value) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        pattern = pattern[1:]
        return value[:1] == pattern[0] and _like(value[1:], pattern[1:])
    return bool(value) and pattern[0] in ("?", value[0]) and _like(value[1:], pattern[1:])


def xml(shape: Shape, value: Any) -> str:
    """Write a value as the model says it is on the wire."""
    match shape.type_name:
        case "structure":
            parts = []
            for name, member in shape.members.items():
                if value.get(name) is not None:
                    tag = member.serialization.get("name", name)
                    parts.append(f"<{tag}>{xml(member, value[name])}</{tag}>")
            return "".join(parts)
        case "list":
            return "".join(f"<item>{xml(shape.member, one)}</item>" for one in value)
        case "timestamp":
            return f"{value:%Y-%m-%dT%H:%M:%S.000Z}"
        case _:
            return escape(str(value))
