"""`kubenode controller`: the central controllers against a real cluster."""

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import attrs
import typer

from kubenode.core.lease import CONTROLLER, NAMESPACE, OBSERVER, LeaseTimes
from kubenode.runtime.cli.connect import ExtraMissing, connect
from kubenode.runtime.cli.live import Context, Kubeconfig
from kubenode.runtime.cli.logs import to_stderr
from kubenode.runtime.cli.output import examples
from kubenode.runtime.controller.rights import ENROL, EXTERNAL
from kubenode.runtime.controller.wiring import NAMES, OPTIONAL
from kubenode.runtime.embed import Engine
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.lease import Lease
from kubenode.runtime.userdata.files import read_settings
from kubenode.runtime.userdata.settings import UserDataSettings

LOG = logging.getLogger("kubenode.controller")
NOWHERE = "none"
HELP = examples(
    "kubenode controller --kubeconfig ~/.kube/config",
    "kubenode controller --context prod --observe-only  # beside the real one: says what it would do",
    "kubenode controller --enrolment                    # and give agents their certificates",
    "kubenode controller --listen 0.0.0.0:8484          # in a pod, for its probes and for Prometheus",
    "curl 127.0.0.1:8484/readyz                         # why it cannot do its work, a line each",
)


@attrs.frozen(kw_only=True)
class Wanted:
    """What was asked for."""

    kubeconfig: Path | None
    context: str | None
    settings: Path | None
    lease: Lease | None
    listen: str
    observe_only: bool
    enrolment: bool
    remediation: bool
    user_data: UserDataSettings | None


def controller(  # noqa: PLR0913, PLR0917 - one an option
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    settings: Annotated[
        Path | None, typer.Option(help="A TOML file with a table for each plugin, such as kubenode.toml.")
    ] = None,
    lease: Annotated[
        str | None,
        typer.Option(
            help=f"Lease to keep: of several controllers with the same one, one acts. {NOWHERE}: act without one. "
            f"[default: {CONTROLLER}, and {OBSERVER} with --observe-only]",
            show_default=False,
        ),
    ] = None,
    lease_namespace: Annotated[str, typer.Option(help="Namespace of the Lease.")] = NAMESPACE,
    lease_seconds: Annotated[
        int,
        typer.Option(min=3, max=3600, help="After so long another one takes over from one that has died."),
    ] = 15,
    listen: Annotated[
        str, typer.Option(help=f"Address of /healthz, /readyz and /metrics; {NOWHERE}: nowhere.")
    ] = "127.0.0.1:8484",
    observe_only: Annotated[
        bool, typer.Option("--observe-only", help="Write nothing but the Lease; log what would be done next.")
    ] = False,
    enrolment: Annotated[
        bool,
        typer.Option(
            "--enrolment", help="Approve certificates of agents; needs kubenode manifests --enrolment."
        ),
    ] = False,
    remediation: Annotated[
        bool,
        typer.Option(
            "--remediation",
            help="Answer to health checks of Cluster API and medik8s; needs kubenode manifests --remediation.",
        ),
    ] = False,
    user_data: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with what instances enrol with: server, ca_file, key_file, bundle_url, bundle_sha256. "
            "Needs kubenode manifests --user-data, and --enrolment here or elsewhere."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log every decision, also those that do nothing.")
    ] = False,
) -> None:
    """Run the controllers until SIGTERM or SIGINT; calls under way are finished first, then the Lease is released.

    Install what they need first: kubenode manifests | kubectl apply -f -

    Exit status: 0 told to stop, 1 something is wrong with the configuration or the cluster, 2 wrong use,
    3 the cluster cannot be reached.
    """
    to_stderr(verbose=verbose)
    name = lease if lease is not None else OBSERVER if observe_only else CONTROLLER
    kept = None
    if name != NOWHERE:
        kept = Lease(name=name, namespace=lease_namespace, times=_times(lease_seconds))
    wanted = Wanted(
        kubeconfig=kubeconfig, context=context, settings=settings, lease=kept, listen=listen, observe_only=observe_only,
        enrolment=enrolment, remediation=remediation, user_data=None if user_data is None else read_settings(user_data),
    )  # fmt: skip
    asyncio.run(serve(wanted))


def _times(seconds: int) -> LeaseTimes:
    """Divide the duration as 15 s are: stop after 10 s without a renewal, renew every 2 s."""
    duration = timedelta(seconds=seconds)
    return LeaseTimes(duration=duration, renew_within=duration * 2 / 3, every=duration * 2 / 15)


def _check_enrolment() -> None:
    """Look for the extra before anything is connected; raises ExtraMissing."""
    try:
        from kubenode.runtime import pkcs10  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"--enrolment needs {error.name}: pip install 'kubenode[enrolment]'") from None


class _Told:
    """What a signal does: it stops the engine, or, while there is none yet, the start."""

    def __init__(self, start: "asyncio.Task[None] | None") -> None:
        self._start = start
        self.engine: Engine | None = None
        self.to_stop = False

    def __call__(self) -> None:
        self.to_stop = True
        if self.engine is not None:
            self.engine.stop()
        elif self._start is not None:
            self._start.cancel()


async def serve(wanted: Wanted) -> None:
    """Connect, run, and stop on a signal, at any time: what any host of an Engine does, and no more."""
    told = _Told(asyncio.current_task())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)
    try:
        await _serve(wanted, told)
    except asyncio.CancelledError:
        if not told.to_stop:
            raise


async def _serve(wanted: Wanted, told: _Told) -> None:
    if wanted.enrolment:
        _check_enrolment()
    plugins = Plugins.discover(wanted.settings)
    optional = {ENROL: wanted.enrolment, EXTERNAL: wanted.remediation}
    only = (*NAMES, *(name for name in OPTIONAL if optional[name]))
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(connect(wanted.kubeconfig, wanted.context))
        engine = Engine(
            store, plugins=plugins, observe_only=wanted.observe_only, lease=wanted.lease, controllers=only,
            user_data=wanted.user_data,
        )  # fmt: skip
        if wanted.listen != NOWHERE:
            from kubenode.runtime.http import served

            address = await stack.enter_async_context(served(engine, wanted.listen))
            LOG.info("event=listening address=%s", address)
        async with engine:
            told.engine = engine
            await engine.wait()
