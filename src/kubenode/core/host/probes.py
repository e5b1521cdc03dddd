"""A component's own probes: what they look at, and whether they find it running.

They belong to one version, so they are not asked before that version is installed, nor of what is not to run. What an
exec or a version probe prints may hold a secret: it is compared, and shown nowhere.
"""

import re
from typing import assert_never

import attrs

from kubenode.core.hookspecs import Have, Seen
from kubenode.core.model.component import (
    ComponentProbe,
    ExecProbe,
    HttpProbe,
    MachineComponentSpec,
    TcpProbe,
    VersionProbe,
)
from kubenode.core.model.entry import Running
from kubenode.core.probe import RUNS, Check, Exec, HttpGet, Probe, TcpConnect, UnitState


def looked_at(spec: MachineComponentSpec, wanted: Running) -> tuple[Probe, ...]:
    """Say what the probes of a component look at; nothing when it is not to run."""
    return tuple(_probe(one) for one in spec.probes) if wanted is Running.RUNNING else ()


def probed(have: Have, spec: MachineComponentSpec, wanted: Running, seen: Seen) -> tuple[Have, str]:
    """Judge the running state by the probes too.

    Args:
        have: what the driver found.
        spec: of the component that is wanted.
        wanted: its running state.
        seen: what was found for `looked_at`.

    Returns:
        `have`, Stopped when a probe fails; and the first that fails, in words without anything that was printed.
        Empty when none fails, or none was asked.
    """
    if not (wanted is have.state is Running.RUNNING and have.version == spec.version):
        return have, ""
    failing = next((text for one in spec.probes if (text := _failing(one, spec, seen))), "")
    return (attrs.evolve(have, state=Running.STOPPED), failing) if failing else (have, "")


def _probe(probe: ComponentProbe) -> Probe:
    way = _way(probe)
    return UnitState(way) if isinstance(way, str) else _check(way, probe.timeout_seconds)


def _way(probe: ComponentProbe) -> ExecProbe | HttpProbe | TcpProbe | str | VersionProbe:
    """Give how a probe looks; the rules of the schema let exactly one way be set."""
    return next(way for way in probe.ways if way is not None)


def _check(way: ExecProbe | HttpProbe | TcpProbe | VersionProbe, timeout: int) -> Check:
    match way:
        case ExecProbe() | VersionProbe():
            return Exec(way.command, timeout)
        case HttpProbe():
            host = f"[{way.host}]" if ":" in way.host else way.host
            return HttpGet(f"{way.scheme.value.lower()}://{host}:{way.port}{way.path}", timeout)
        case TcpProbe():
            return TcpConnect(way.host, way.port, timeout)
        case _:
            assert_never(way)


def _failing(probe: ComponentProbe, spec: MachineComponentSpec, seen: Seen) -> str:
    """Say how a probe fails; empty when it does not."""
    way = _way(probe)
    if isinstance(way, str):
        state = seen.units.get(way, "not there")
        return "" if state in RUNS else f"unit {way} is {state}"
    check = _check(way, probe.timeout_seconds)
    named = _named(check)
    answer = seen.answers.get(check)
    if answer is None:
        return f"{named} does not answer within {probe.timeout_seconds} s"
    match way:
        case ExecProbe():
            return f"{named} exits with {answer.code}" if answer.code else ""
        case VersionProbe():
            if answer.code:
                return f"{named} exits with {answer.code}"
            version = way.prints or spec.version
            return "" if prints(answer.text, version) else f"{named} does not print {version}"
        case HttpProbe():
            return "" if 200 <= answer.code < 400 else f"{named} answers {answer.code}"
        case TcpProbe():
            return ""
        case _:
            assert_never(way)


def _named(check: Check) -> str:
    match check:
        case Exec():
            return check.argv[0]  # an argument may be a secret
        case HttpGet():
            return check.url.partition("?")[0]
        case TcpConnect():
            return f"{check.host} port {check.port}"
        case _:
            assert_never(check)


def prints(text: str, version: str) -> bool:
    """Tell whether a text names a version, whole, perhaps with a v before it.

    >>> prints("Kubernetes v1.30.4", "1.30.4"), prints("kubelet 1.30.41", "1.30.4"), prints("11.30.4-rc1", "1.30.4")
    (True, False, False)
    """
    before, after = r"(?<![A-Za-z0-9.+:~_-])v?", r"(?![A-Za-z0-9+:~_-]|\.[A-Za-z0-9])"
    return re.search(before + re.escape(version) + after, text) is not None
