"""The agent exchanges itself: the old one brings the new one and steps down; the new one takes the step up, and says that it came up.

In between the host's word is the `trial`, and who goes back if need be is the `fallback`, a unit that runs the old
agent's program. Every method can be called again after it was cut short anywhere, by the old agent or by the new one.
"""

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from kubenode.core.host.trial import Arrival, Trial, Verdict, Watched, judged
from kubenode.core.step import AGENT_PATH, AGENT_UNIT, UpgradeAgent
from kubenode.runtime.agent import fallback
from kubenode.runtime.agent.acts import CallOff, DropArtifact, PutBack, Undo
from kubenode.runtime.agent.artifacts import TARGET, Artifacts
from kubenode.runtime.agent.commands import Runner
from kubenode.runtime.agent.tree import Form, StepFailed, Tree, Was
from kubenode.runtime.agent.trial import RolledBack, Trials
from kubenode.runtime.agent.units import Units, told

LOG = logging.getLogger("kubenode.agent")

TRIAL: Final = "trial"
_EVERY: Final = 0.5
_RUN_LIMIT: Final = 30.0
_WATCHED_WITHIN: Final = 30.0
"""Seconds for the fallback to begin its watch; until it has, nothing is exchanged."""
_GONE_WITHIN: Final = 120.0
"""Seconds for systemd to stop an agent that has asked for it."""
_ALONE: Final = 2
"""So many times its limit a new agent waits for its verdict; then it takes it that nobody watches."""


@attrs.frozen(kw_only=True)
class Own:
    """What an agent knows of its own process.

    Attributes:
        program: the path of its program, without links.
        run: the run of the unit that it is, as systemd names it; empty when systemd did not start it.
        state: its folder.
        server: gives host and port of the API server; empty and 0 when nobody knows.
    """

    program: str = ""
    run: str = ""
    state: str = ""
    server: Callable[[], tuple[str, int]] = lambda: ("", 0)

    @classmethod
    def process(cls, state: str, server: Callable[[], tuple[str, int]]) -> "Own":
        """Give what is so of this process."""
        run = os.environ.get("INVOCATION_ID", "")
        return cls(program=os.readlink("/proc/self/exe"), run=run, state=state, server=server)


@attrs.frozen(kw_only=True)
class Upgrades:
    """Upgrades of the agent of one host.

    Attributes:
        own: of this process.
        tree: the host's files.
        units: its units.
        artifacts: where bundles are kept.
        trials: the trial.
        run: runs programs.
        pause: waits for some seconds; raises Stopped.
        arrival: gives how far this agent is; None: it has not come up yet.
    """

    own: Own
    tree: Tree
    units: Units
    artifacts: Artifacts
    trials: Trials
    run: Runner
    pause: Callable[[float], None]
    arrival: Callable[[], Arrival | None]

    def before(self, step: UpgradeAgent) -> tuple[tuple[Undo, ...], dict[str, str]]:
        """Give the way back, and what to note; nothing is changed.

        Raises:
            StepFailed: this agent cannot be exchanged.
        """
        was = self.tree.found(AGENT_PATH)
        if was.form is not Form.LINK or not fallback.is_of(self.own.program, was.target):
            fix = "install it by kubenode machine import --bundle"
            raise StepFailed(f"this agent is {self.own.program}, not of {AGENT_PATH}; {fix}")
        if not self.own.run or self.units.invocation(AGENT_UNIT) != self.own.run:
            raise StepFailed(
                f"this agent does not run as {AGENT_UNIT}, so nobody would start the new one; run it so"
            )
        mark = secrets.token_hex(8)
        drop = DropArtifact(path=AGENT_PATH, sha256=step.sha256)
        fresh = () if self.artifacts.is_kept(step.installation) else (drop,)
        return (CallOff(trial=mark), PutBack(path=AGENT_PATH, was=was), *fresh), {
            TARGET: was.target,
            TRIAL: mark,
        }

    def is_on(self, marks: Mapping[str, str]) -> bool:
        """Tell whether a trial has begun for a step: then that bounds how often it is taken up. Raises StepFailed."""
        mark = marks.get(TRIAL, "")
        trial = self.trials.current()
        return (trial is not None and trial.id == mark) or self.trials.verdict(mark) is not None

    def do(self, step: UpgradeAgent, marks: Mapping[str, str]) -> None:
        """Bring the new agent and step down; in the new one: say that it came up, and wait for the verdict.

        Raises:
            RolledBack: the new one was found bad, and this is the old one.
            StepFailed: it could not be done; this is the old one.
            Stopped: this agent ends, as it should.
        """
        mark, old = marks[TRIAL], marks[TARGET]
        verdict = self.trials.verdict(mark)
        if verdict is None:
            new = self.artifacts.bring(step.installation)
            if old == new or fallback.is_of(self.own.program, old):
                self._step_down(mark, old, new, step.within)
            verdict = self._prove(mark, step.within)
        if verdict.stays:
            return
        if not fallback.is_of(self.own.program, old):
            self._give_way(old)
        raise RolledBack(verdict.why)

    def call_off(self, act: CallOff) -> None:
        """Let the new agent not stay, if nobody has judged it. Raises StepFailed."""
        if self.is_on({TRIAL: act.trial}):
            self.trials.conclude(act.trial, Verdict(stays=False, why="the agent before has gone back"))

    def _step_down(self, mark: str, old: str, new: str, within: int) -> None:
        """Let the fallback watch, the link lead to the new agent, and systemd start that; never returns."""
        ran = self.run((f"{new}/kubenode", "version"), _RUN_LIMIT)
        if ran.code is None:
            raise StepFailed(told("kubenode version of the new agent", ran))
        if not ran.succeeded:  # another machine type, an older C library: the same again would be no better
            raise RolledBack(f"it does not run here: {told('kubenode version', ran)}")
        self.tree.put(fallback.LINK, Was(form=Form.LINK, target=old))
        self.tree.write(fallback.UNIT_FILE, fallback.unit_file(self.own.state), 0o644)
        self.tree.put(fallback.WANTED, Was(form=Form.LINK, target=fallback.UNIT_FILE))
        self.units.reread()
        server, port = self.own.server()
        self.trials.begin(
            Trial(id=mark, old=old, new=new, run=self.own.run, server=server, port=port, within=within)
        )
        self.units.restart(fallback.UNIT)
        self._wait(lambda: self.trials.watches() > 0, _WATCHED_WITHIN, f"{fallback.UNIT} does not watch")
        self.tree.put(AGENT_PATH, Was(form=Form.LINK, target=new))
        LOG.info("event=stepping-down to=%s", new)
        self.units.restart_soon(AGENT_UNIT)
        self._wait(lambda: False, _GONE_WITHIN, "systemd was asked to restart this agent, and has not")

    def _wait(self, over: Callable[[], bool], limit: float, why: str) -> None:
        waited = 0.0
        while not over():
            if waited >= limit:
                raise StepFailed(f"{why} after {limit:.0f} s")
            self.pause(_EVERY)
            waited += _EVERY

    def _prove(self, mark: str, within: int) -> Verdict:
        """Say how far this agent is, until it is judged; it judges itself only where nobody else does."""
        waited, said = 0.0, None
        while (verdict := self.trials.verdict(mark)) is None:
            arrival = self.arrival()
            alone = int(max(waited - (_ALONE - 1) * within, 0) * 1e9)
            found = judged(Watched(elapsed=alone, arrival=arrival), within)
            if found is not None:
                return self.trials.conclude(mark, found)
            if arrival is not None and arrival is not said:
                self.trials.arrive(mark, arrival)
                said = arrival
            self.pause(_EVERY)
            waited += _EVERY
        return verdict

    def _give_way(self, old: str) -> None:
        """Do what the fallback does, if that has not been quicker: let the old agent take over."""
        self.tree.put(AGENT_PATH, Was(form=Form.LINK, target=old))
        self.units.restart_soon(AGENT_UNIT)
        self._wait(lambda: False, _GONE_WITHIN, "systemd was asked to restart this agent, and has not")
