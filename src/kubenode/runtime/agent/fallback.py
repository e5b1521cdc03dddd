"""The fallback: a unit that runs the program of the agent before while a new one is on trial, and puts that back if need be.

It needs nothing of the new agent, which may not start, hang, or take the host down; and no server. It begins before the
agent's link is exchanged, goes on after a power cut, and is at rest when there is no trial.
"""

import logging
import socket
from collections.abc import Callable
from typing import Final

import attrs

from kubenode.core.host.trial import Arrival, Trial, Verdict, Watched, judged
from kubenode.core.step import AGENT_PATH, AGENT_UNIT
from kubenode.runtime.agent.tree import Form, Tree, Was
from kubenode.runtime.agent.trial import TRIAL, Trials
from kubenode.runtime.agent.units import Units

LOG = logging.getLogger("kubenode.agent")

UNIT: Final = "kubenode-agent-fallback.service"
UNIT_FILE: Final = f"/etc/systemd/system/{UNIT}"
WANTED: Final = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
LINK: Final = "/opt/kubenode/fallback"
"""Leads to where the agent's link led before the trial."""
_OPT: Final = "/opt/kubenode"
_EVERY: Final = 1.0
_CONNECT_LIMIT: Final = 5.0


def is_of(program: str, target: str) -> bool:
    """Tell whether a program lies below what the agent's link leads to: a path from the link's folder, or from the root."""
    return program.startswith(f"{target if target.startswith('/') else f'{_OPT}/{target}'}/")


def unit_file(state: str) -> bytes:
    """Give the unit's file.

    Args:
        state: the agent's own folder.
    """
    return f"""# Written by the kubenode agent when it was upgraded; at rest while there is no trial.
[Unit]
Description=fallback of the kubenode agent: puts the one before back if the new one does not come up
ConditionPathExists={state}/{TRIAL}
After=dbus.service
StartLimitIntervalSec=0

[Service]
ExecStart={LINK}/kubenode fallback --state-dir {state}
Restart=on-failure
RestartSec=2

# It writes links and its own files, asks systemd, and connects to the API server; nothing else.
ProtectSystem=strict
ReadWritePaths={_OPT} {state}
CapabilityBoundingSet=
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077

[Install]
WantedBy=multi-user.target
""".encode()


def reached(host: str, port: int) -> bool:
    """Tell whether a server takes connections, as this host sees it."""
    try:
        socket.create_connection((host, port), _CONNECT_LIMIT).close()
    except OSError:
        return False
    return True


@attrs.frozen(kw_only=True)
class Fallback:
    """Watches over the trial of one host.

    Attributes:
        tree: the host's files.
        units: its units.
        trials: the trial.
        elapsed: gives a time that never goes back, nanoseconds.
        pause: waits for some seconds.
        reached: tells whether a server takes connections.
    """

    tree: Tree
    units: Units
    trials: Trials
    elapsed: Callable[[], int]
    pause: Callable[[float], None]
    reached: Callable[[str, int], bool] = reached

    def run(self) -> Verdict | None:
        """Watch until the trial is over and all is done; give how it ended, None when there was none, or another began.

        Raises:
            StepFailed: something could not be done, so that it has to begin anew.
        """
        trial = self.trials.current()
        if trial is None:
            return None
        watches, begun, runs = self.trials.watch(), self.elapsed(), set[str]()
        LOG.info("event=watching trial=%s watches=%d", trial.id, watches)
        while self.trials.current() == trial:
            verdict = self.trials.verdict(trial.id)
            if verdict is None:
                seen = self._seen(trial, runs, self.elapsed() - begun, watches)
                found = judged(seen, trial.within)
                verdict = None if found is None else self.trials.conclude(trial.id, found)
            if verdict is not None:
                LOG.warning("event=trial-over stays=%s why=%r", verdict.stays, verdict.why)
                if not verdict.stays:
                    self._back(trial)
                self.trials.end()
                return verdict
            self.pause(_EVERY)
        return None

    def _seen(self, trial: Trial, runs: set[str], elapsed: int, watches: int) -> Watched:
        run, result = self.units.last_run(AGENT_UNIT)
        if run and run != trial.run:
            runs.add(run)
        arrival = self.trials.arrival(trial.id)
        # Only one that keeps its host asks for it, and the answer may take its time.
        asks = arrival is Arrival.KEEPS and bool(trial.server)
        return Watched(
            elapsed=elapsed, watches=watches, starts=len(runs), result=result if runs else "", arrival=arrival,
            reached=asks and self.reached(trial.server, trial.port),
        )  # fmt: skip

    def _back(self, trial: Trial) -> None:
        """Let the link lead where it led, and the agent before run; if that has never ended, it is left alone."""
        if self.tree.found(AGENT_PATH) == Was(form=Form.LINK, target=trial.new):
            self.tree.put(AGENT_PATH, Was(form=Form.LINK, target=trial.old))
        if self.units.last_run(AGENT_UNIT)[0] != trial.run or not self.units.runs(AGENT_UNIT):
            self.units.kill(AGENT_UNIT)  # one that hangs would have a minute to end
            self.units.restart(AGENT_UNIT)
