"""A fake of ECS in memory: what it does is what the vendor documents, and its faults are planned by the test."""

import base64
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tests.providers.aliyun.server import Answer, NoAnswer, Params, refused

UNSIGNED = frozenset({"Signature", "SignatureNonce", "Timestamp"})
"""What differs between two requests that ask for the same."""
FINAL = frozenset({"Executed", "Avoided", "Canceled", "Failed"})


class FakeEcs:
    """Instances of one account. `plan` is a list of (action, fault): each is used once, by the next call of that action."""

    def __init__(self, status: str = "Running", late: int = 0, eventful: bool = False) -> None:
        self.status = status
        self.late = late
        self.eventful = eventful
        self.instances: dict[str, dict[str, Any]] = {}
        self.protected: set[str] = set()
        self.events: dict[str, dict[str, Any]] = {}
        self.commands: dict[str, dict[str, Any]] = {}
        self.plan: list[tuple[str, Callable[[Answer], Answer] | Answer]] = []
        self.calls: list[str] = []
        self.told: Callable[[str, str], None] = lambda act, instance: None
        self.made = 0
        self.images = {"m-1": "Available"}
        self.stock = {"cn-hangzhou-h": "Available", "cn-hangzhou-i": "SoldOut"}
        self.quotas = {"max-postpaid-instance-vcpu-count": 100, "used-postpaid-instance-vcpu-count": 8}
        self._tokens: dict[str, tuple[Params, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()

    def __call__(self, params: Params) -> Answer:
        """Answer one signed request."""
        with self._lock:
            action = params["Action"]
            self.calls.append(action)
            fault = self._planned(action)
            if fault is not None and not callable(fault):
                return fault  # refused before anything is done
            if params.get("DryRun") == "true":
                return refused(400, "DryRunOperation")
            answer = self._once(params) if "ClientToken" in params else self._do(params)
            return answer if fault is None else fault(answer)

    def fail(self, action: str, status: int, code: str, message: str = "") -> None:
        """Refuse the next call of an action."""
        self.plan.append((action, refused(status, code, message)))

    def lose(self, action: str) -> None:
        """Do the next call of an action, and never answer."""

        def lost(_: Answer) -> Answer:
            raise NoAnswer

        self.plan.append((action, lost))

    def garble(self, action: str, body: bytes, status: int = 200) -> None:
        """Do the next call of an action, and answer with something else."""
        self.plan.append((action, lambda _: (status, body)))

    def _planned(self, action: str) -> Callable[[Answer], Answer] | Answer | None:
        for index, (name, fault) in enumerate(self.plan):
            if name == action:
                del self.plan[index]
                return fault
        return None

    def _once(self, params: Params) -> Answer:
        token = params["ClientToken"]
        asked = {name: value for name, value in params.items() if name not in UNSIGNED}
        known = self._tokens.get(token)
        if known is not None:
            if known[0] != asked:
                return refused(400, "IdempotentParameterMismatch")
            return 200, known[1]
        status, body = self._do(params)
        if status == 200:
            assert not isinstance(body, bytes)
            self._tokens[token] = (asked, body)
        return status, body

    def _do(self, params: Params) -> Answer:
        act = getattr(self, f"_{params['Action']}", None)
        if act is None:
            return refused(404, "InvalidAction.NotFound")
        status, body = act(params)
        return status, {"RequestId": "REQ-1", **body}

    def _RunInstances(self, params: Params) -> Answer:  # noqa: N802 - the names of its actions
        name = f"i-bp{self.made:08}"
        self.made += 1
        self.instances[name] = {
            "InstanceId": name, "Status": self.status, "ZoneId": params.get("ZoneId", "cn-hangzhou-h"),
            "CreationTime": "2026-03-02T09:00Z", "InstanceName": params["InstanceName"],
            "Tags": {"Tag": [{"TagKey": k, "TagValue": v} for k, v in tags_of(params).items()]},
            "VpcAttributes": {"PrivateIpAddress": {"IpAddress": [f"10.0.0.{self.made % 250}"]}},
            "PublicIpAddress": {"IpAddress": []}, "EipAddress": {"IpAddress": "47.0.0.1"},
            "asked": dict(params), "looks": self.late,
        }  # fmt: skip
        if params.get("DeletionProtection") == "true":
            self.protected.add(name)
        if self.eventful:
            self.maintain(name, f"e-{name}")
        return 200, {"InstanceIdSets": {"InstanceIdSet": [name]}}

    def _DescribeInstances(self, params: Params) -> Answer:  # noqa: N802
        rows = [self.instances[name] for name in sorted(self.instances)]
        if "InstanceIds" in params:
            rows = [row for row in rows if row["InstanceId"] in json.loads(params["InstanceIds"])]
        wanted = tags_of(params).items()
        rows = [
            row for row in rows if wanted <= {t["TagKey"]: t["TagValue"] for t in row["Tags"]["Tag"]}.items()
        ]
        visible = [row for row in rows if row["looks"] <= 0]
        for row in rows:
            row["looks"] -= 1
        return paged(params, visible, "Instances", "Instance")

    def _DeleteInstance(self, params: Params) -> Answer:  # noqa: N802
        name = params["InstanceId"]
        if name not in self.instances:
            return refused(404, "InvalidInstanceId.NotFound")
        if name in self.protected:
            return refused(403, "InvalidOperation.DeletionProtection")
        if self.instances[name]["Status"] == "Pending":
            return refused(403, "IncorrectInstanceStatus.Initializing")
        if self.instances[name]["Status"] != "Stopped" and params.get("Force") != "true":
            return refused(403, "IncorrectInstanceStatus")
        del self.instances[name]
        return 200, {}

    def _act(self, params: Params, status: str) -> Answer:
        if params["InstanceId"] not in self.instances:
            return refused(404, "InvalidInstanceId.NotFound")
        self.instances[params["InstanceId"]]["Status"] = status
        return 200, {}

    def _StartInstance(self, params: Params) -> Answer:  # noqa: N802
        return self._act(params, "Running")

    def _StopInstance(self, params: Params) -> Answer:  # noqa: N802
        return self._act(params, "Stopped")

    def _RebootInstance(self, params: Params) -> Answer:  # noqa: N802
        for event in self.events.values():
            if event["InstanceId"] == params["InstanceId"] and event["status"] not in FINAL:
                event["status"] = "Avoided"
        return self._act(params, "Running")

    def _AcceptInquiredSystemEvent(self, params: Params) -> Answer:  # noqa: N802
        event = self.events.get(params["EventId"])
        if event is None or event["status"] != "Inquiring":
            return refused(404, "InvalidEventId.NoInquiringEventFound")
        event["status"] = "Executed"
        return 200, {"RequestId": "REQ-1"}

    def _RedeployInstance(self, params: Params) -> Answer:  # noqa: N802
        if params["InstanceId"] in self.instances:
            self.told("redeploy", f"{params['RegionId']}.{params['InstanceId']}")
        return self._RebootInstance(params)

    def _ReplaceSystemDisk(self, params: Params) -> Answer:  # noqa: N802
        row = self.instances.get(params["InstanceId"])
        if row is None:
            return refused(404, "InvalidInstanceId.NotFound")
        if row["Status"] != "Stopped":
            return refused(403, "IncorrectInstanceStatus")
        row["ImageId"] = params["ImageId"]
        self.told("reimage", f"{params['RegionId']}.{params['InstanceId']}")
        return 200, {"DiskId": f"d-{params['InstanceId']}"}

    def _TagResources(self, params: Params) -> Answer:  # noqa: N802
        row = self.instances.get(params["ResourceId.1"])
        if row is None or params["ResourceType"] != "instance":
            return refused(404, "InvalidResourceId.NotFound")
        tags = {tag["TagKey"]: tag["TagValue"] for tag in row["Tags"]["Tag"]} | tags_of(params)
        row["Tags"] = {"Tag": [{"TagKey": k, "TagValue": v} for k, v in tags.items()]}
        return 200, {}

    def _GetInstanceConsoleOutput(self, params: Params) -> Answer:  # noqa: N802
        if params["InstanceId"] not in self.instances:
            return refused(404, "InvalidInstanceId.NotFound")
        text = base64.b64encode(b"Kernel panic - not syncing\n").decode()
        return 200, {"InstanceId": params["InstanceId"], "ConsoleOutput": text}

    def _RunCommand(self, params: Params) -> Answer:  # noqa: N802
        if params["InstanceId.1"] not in self.instances:
            return refused(404, "InvalidInstance.NotFound")
        self.told("run_command", f"{params['RegionId']}.{params['InstanceId.1']}")
        name = f"t-hz{len(self.commands):04}"
        self.commands[name] = {
            "asked": dict(params),
            "InvocationStatus": "Running",
            "ExitCode": 0,
            "Output": "",
        }
        return 200, {"InvokeId": name, "CommandId": "c-1"}

    def _DescribeInvocationResults(self, params: Params) -> Answer:  # noqa: N802
        row = self.commands.get(params["InvokeId"])
        rows = [row] if row is not None and row["asked"]["InstanceId.1"] == params["InstanceId"] else []
        shown = [{k: v for k, v in row.items() if k != "asked"} for row in rows]
        return 200, {"Invocation": {"InvocationResults": {"InvocationResult": shown}}}

    def _DescribeImages(self, params: Params) -> Answer:  # noqa: N802
        rows = [
            {"ImageId": one, "Status": word} for one, word in self.images.items() if one == params["ImageId"]
        ]
        return 200, {"Images": {"Image": rows}, "TotalCount": len(rows)}

    def _DescribeAvailableResource(self, params: Params) -> Answer:  # noqa: N802
        zones = [
            {
                "ZoneId": zone,
                "AvailableResources": {"AvailableResource": [{"Type": "InstanceType", "SupportedResources": {
                    "SupportedResource": [{"Value": params["InstanceType"], "Status": word}]
                }}]},
            }
            for zone, word in self.stock.items() if zone == params["ZoneId"]
        ]  # fmt: skip
        return 200, {"AvailableZones": {"AvailableZone": zones}}

    def _DescribeAccountAttributes(self, params: Params) -> Answer:  # noqa: N802
        items = [
            {"AttributeName": name, "AttributeValues": {"ValueItem": [{"Value": str(self.quotas[name])}]}}
            for name in numbered(params, "AttributeName") if name in self.quotas
        ]  # fmt: skip
        return 200, {"AccountAttributeItems": {"AccountAttributeItem": items}}

    def maintain(
        self, instance: str, event: str, type_: str = "SystemMaintenance.Reboot", status: str = "Scheduled"
    ) -> None:
        """Plan maintenance."""
        self.events[event] = {
            "EventId": event, "InstanceId": instance, "ResourceType": "instance", "type": type_,
            "status": status, "NotBefore": "2026-03-02T09:00:00Z", "EventPublishTime": "2026-03-01T09:00:00Z",
            "Reason": "the host wears out",
        }  # fmt: skip

    def _DescribeInstanceHistoryEvents(self, params: Params) -> Answer:  # noqa: N802
        states = numbered(params, "InstanceEventCycleStatus") or sorted(FINAL)
        ids = numbered(params, "EventId")
        rows = [
            {k: v for k, v in one.items() if k not in ("type", "status")}
            | {
                "EventType": {"Name": one["type"], "Code": 34},
                "EventCycleStatus": {"Name": one["status"], "Code": 24},
            }
            for name, one in sorted(self.events.items())
            if one["status"] in states and (not ids or name in ids)
        ]
        return paged(params, rows, "InstanceSystemEventSet", "InstanceSystemEventType")


def numbered(params: Params, name: str) -> list[str]:
    """Give the values of `name.1`, `name.2`, ..."""
    found: list[str] = []
    while (value := params.get(f"{name}.{len(found) + 1}")) is not None:
        found.append(value)
    return found


def tags_of(params: Params) -> dict[str, str]:
    """Give the tags of a request."""
    found: dict[str, str] = {}
    while (key := params.get(f"Tag.{len(found) + 1}.Key")) is not None:
        found[key] = params.get(f"Tag.{len(found) + 1}.Value", "")
    return found


def paged(params: Params, rows: list[dict[str, Any]], plural: str, singular: str) -> Answer:
    """Give a page as ECS does: from 10 to 100 rows, and the token of the next, which is empty at the end."""
    size = min(100, max(10, int(params.get("MaxResults", "10"))))
    start = int(base64.b64decode(params["NextToken"])) if params.get("NextToken") else 0
    more = start + size < len(rows)
    shown = [
        {k: v for k, v in row.items() if k not in ("asked", "looks")} for row in rows[start : start + size]
    ]
    token = base64.b64encode(str(start + size).encode()).decode() if more else ""
    return 200, {plural: {singular: shown}, "NextToken": token}
