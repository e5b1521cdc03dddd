"""A component: the configuration of chrony, and its unit."""

from collections.abc import Iterable
from typing import Any

import attrs

from kubenode.components import (
    ComponentDriver,
    ConfigState,
    Desired,
    Have,
    InvalidObjectError,
    Probe,
    Problem,
    ReadFile,
    RestartUnit,
    Running,
    Seen,
    Settings,
    Step,
    StopUnit,
    UnitState,
    WriteFile,
    hookimpl,
)  # fmt: skip

CONF, UNIT = "/etc/chrony/chrony.conf", "chrony.service"


@attrs.frozen(kw_only=True)
class ChronyParams:
    """What `MachineComponent.spec.parameters` says."""

    text: str


class Chrony:
    """Keep chrony.conf as it should be, and chrony running with it."""

    name = "chrony"
    params = ChronyParams

    def probes(self, want: Desired[ChronyParams], /) -> tuple[Probe, ...]:
        """Look at the file and the unit."""
        return ReadFile(CONF), UnitState(UNIT)

    def judge(self, want: Desired[ChronyParams], seen: Seen, /) -> Have:
        """Compare the file; what is not there has no entry."""
        content = seen.files.get(CONF)
        if content is None:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        same = content == want.params.text.encode()
        return Have(
            version=want.version if same else "",
            config=ConfigState.CURRENT if same else ConfigState.DRIFTED,
            state=Running.RUNNING if seen.units.get(UNIT) == "active" else Running.STOPPED,
        )

    def plan(self, want: Desired[ChronyParams], have: Have, /) -> tuple[Step, ...]:
        """Write and restart in one step; stop or restart alone when only that is wrong."""
        if want.state is Running.ABSENT:
            return self._absent(have)
        runs = want.state is Running.RUNNING
        turn = RestartUnit(unit=UNIT) if runs else StopUnit(unit=UNIT)
        if have.config is ConfigState.CURRENT:
            return () if have.state is want.state else (turn,)
        content = want.params.text.encode()
        if isinstance(turn, RestartUnit):
            return (WriteFile(path=CONF, content=content, then=turn),)
        return (WriteFile(path=CONF, content=content, then=None), turn)

    def _absent(self, have: Have) -> tuple[Step, ...]:
        if have.state is Running.ABSENT:
            return ()
        what = f"{CONF} is not removed by this driver; remove it by hand"
        raise InvalidObjectError((Problem(where="state", what=what),))


@hookimpl
def register_components(settings: Settings) -> Iterable[ComponentDriver[Any]]:
    """Register chrony."""
    return [Chrony()]
