"""A component driver and a remedy: pure, they return steps, the agent acts."""

import attrs

from kubenode.components import (
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
    Step,
    StopUnit,
    UnitState,
    WriteFile,
)
from kubenode.remedies import Case, Disruption

CONF, UNIT = "/etc/chrony/chrony.conf", "chrony.service"


@attrs.frozen(kw_only=True)
class ChronyParams:
    text: str


class Chrony:
    name = "chrony"
    params = ChronyParams

    def probes(self, want: Desired[ChronyParams], /) -> tuple[Probe, ...]:
        return ReadFile(CONF), UnitState(UNIT)

    def judge(self, want: Desired[ChronyParams], seen: Seen, /) -> Have:
        content = seen.files.get(CONF)
        if content is None:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        same = content == want.params.text.encode()
        config = ConfigState.CURRENT if same else ConfigState.DRIFTED
        state = Running.RUNNING if seen.units.get(UNIT) == "active" else Running.STOPPED
        return Have(version=want.version if same else "", config=config, state=state)

    def plan(self, want: Desired[ChronyParams], have: Have, /) -> tuple[Step, ...]:
        if want.state is Running.ABSENT and have.state is not Running.ABSENT:
            raise InvalidObjectError((Problem(where="state", what="remove the file by hand"),))
        if want.state is have.state and (have.config is ConfigState.CURRENT or have.state is Running.ABSENT):
            return ()
        restart = RestartUnit(unit=UNIT) if want.state is Running.RUNNING else None
        turn = restart or StopUnit(unit=UNIT)
        if have.config is ConfigState.CURRENT:
            return (turn,)
        write = WriteFile(path=CONF, content=want.params.text.encode(), then=restart)
        return (write,) if restart else (write, turn)


@attrs.frozen(kw_only=True)
class GpuParams:
    gpu: int


class GpuReset:
    name = "gpu-reset"
    params = GpuParams
    disruption = Disruption.DRAIN  # what its permit is for

    def plan(self, case: Case[GpuParams], /) -> tuple[Step, ...]:
        return (RestartUnit(unit=f"nvidia-gpu-reset@{case.params.gpu}.service"),)
