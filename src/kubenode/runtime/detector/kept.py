"""What a detector knows, on the disk: state and position in one file, so that they are of one moment.

Whoever reads on from there comes to the same, however often: lines are counted once, and a fault is neither forgotten
nor found anew.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.core.detect.decide import DetectState
from kubenode.core.detect.traces import Trace
from kubenode.core.errors import KubenodeError
from kubenode.core.model import Json
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import Switch
from kubenode.core.reading import format_stamp, parse_stamp
from kubenode.runtime.agent.tree import StepFailed, Tree

LOG = logging.getLogger("kubenode.agent")

FILE: Final = "/detector.json"
_FORMAT: Final = 1
_PRIVATE: Final = 0o600


@attrs.frozen(kw_only=True)
class Known:
    """What is known from one log.

    Attributes:
        position: where its source goes on.
    """

    state: DetectState = DetectState()
    position: str = ""


class KeptDetector:
    """The file.

    Args:
        state: the agent's own folder.
    """

    def __init__(self, state: Path) -> None:
        self._tree = Tree(state)

    def load(self) -> dict[str, Known]:
        """Give what is known, by the name of a log; nothing where the file is none of ours."""
        try:
            raw = self._tree.read(FILE)
            held: Any = json.loads(raw) if raw is not None else {"format": _FORMAT, "logs": {}}
            if held["format"] != _FORMAT:
                return {}
            return {str(name): _known(one) for name, one in held["logs"].items()}
        except (KubenodeError, ValueError, LookupError, TypeError, AttributeError) as error:
            LOG.warning("event=detector-not-read error=%s: %s", type(error).__name__, error)
            return {}

    def save(self, known: Mapping[str, Known]) -> bool:
        """Put it on the disk; tell whether it is there."""
        logs = {name: _written(one) for name, one in known.items()}
        try:
            self._tree.write(FILE, json.dumps({"format": _FORMAT, "logs": logs}).encode(), _PRIVATE)
        except StepFailed as error:
            LOG.warning("event=detector-not-kept error=%s", error)
            return False
        return True


def _written(known: Known) -> Json:
    state = known.state
    return {
        "position": known.position, "bootID": state.boot_id, "sequence": state.sequence, "dropped": state.dropped, "missed": state.missed,
        "hung": state.hung, "ill": dict(state.ill),
        "traces": {key: attrs.asdict(trace) for key, trace in state.traces.items()},
        "conditions": [
            {
                "type": one.type, "status": one.status.value, "reason": one.reason, "message": one.message,
                "since": format_stamp(one.last_transition_time),
            }
            for one in state.conditions
        ],
    }  # fmt: skip


def _known(raw: Json) -> Known:
    state = DetectState(
        boot_id=str(raw["bootID"]), sequence=int(raw["sequence"]), dropped=int(raw["dropped"]),
        missed=None if raw["missed"] is None else int(raw["missed"]), hung=None if raw["hung"] is None else int(raw["hung"]),
        ill={str(type): int(count) for type, count in raw["ill"].items()},
        traces={str(key): _trace(one) for key, one in raw["traces"].items()},
        conditions=tuple(_condition(one) for one in raw["conditions"]),
    )  # fmt: skip
    return Known(state=state, position=str(raw["position"]))


def _trace(raw: Any) -> Trace:
    return Trace(
        fired=bool(raw["fired"]), last=int(raw["last"]), hits=tuple(int(hit) for hit in raw["hits"]),
        subjects=tuple(str(one) for one in raw["subjects"]),
    )  # fmt: skip


def _condition(raw: Any) -> Condition:
    return Condition(
        type=str(raw["type"]), status=Switch(raw["status"]), reason=str(raw["reason"]), message=str(raw["message"]),
        last_transition_time=parse_stamp(raw["since"]),
    )  # fmt: skip
