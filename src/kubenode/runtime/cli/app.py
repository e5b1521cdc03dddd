"""The command words. Each has a file; `words.py` says how all of them end."""

import typer

from kubenode.runtime.cli.agent import HELP as AGENT
from kubenode.runtime.cli.agent import agent
from kubenode.runtime.cli.controller import HELP as CONTROLLER
from kubenode.runtime.cli.controller import controller
from kubenode.runtime.cli.demo import HELP as DEMO
from kubenode.runtime.cli.demo import demo
from kubenode.runtime.cli.explain import HELP as EXPLAIN
from kubenode.runtime.cli.explain import explain
from kubenode.runtime.cli.files import MANIFESTS, VALIDATE, manifests, validate
from kubenode.runtime.cli.freeze import FREEZE, UNFREEZE, freeze, unfreeze
from kubenode.runtime.cli.history import HELP as HISTORY
from kubenode.runtime.cli.history import history
from kubenode.runtime.cli.installed import PLUGINS, VERSION, plugins, version
from kubenode.runtime.cli.machine import machine
from kubenode.runtime.cli.plan import HELP as PLAN
from kubenode.runtime.cli.plan import plan
from kubenode.runtime.cli.provider import provider
from kubenode.runtime.cli.replay import HELP as REPLAY
from kubenode.runtime.cli.replay import replay
from kubenode.runtime.cli.rollout import rollout
from kubenode.runtime.cli.sim import sim
from kubenode.runtime.cli.uninstall import HELP as UNINSTALL
from kubenode.runtime.cli.uninstall import uninstall
from kubenode.runtime.cli.words import Words

app = typer.Typer(
    name="kubenode", cls=Words, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=True,
    rich_markup_mode=None,
    help="Does for Kubernetes nodes what Deployments do for pods: import, upgrade in batches, heal, "
    "and never make an outage worse.",
    epilog="Exit status: 0 yes, 1 no, 2 wrong use, 3 could not tell, 4 a bug of ours, 130 interrupted.",
)  # fmt: skip

app.command(epilog=DEMO)(demo)
app.command(epilog=REPLAY)(replay)
app.command(epilog=VALIDATE)(validate)
app.command(epilog=PLAN)(plan)
app.command(epilog=EXPLAIN)(explain)
app.command(epilog=MANIFESTS)(manifests)
app.command(epilog=PLUGINS)(plugins)
app.command(epilog=VERSION)(version)
app.add_typer(sim, name="sim")
app.command(epilog=CONTROLLER)(controller)
app.command(epilog=AGENT)(agent)
app.command(epilog=UNINSTALL)(uninstall)
app.add_typer(provider, name="provider")
app.add_typer(machine, name="machine")
app.add_typer(rollout, name="rollout")
app.command(epilog=HISTORY)(history)
app.command(epilog=FREEZE)(freeze)
app.command(epilog=UNFREEZE)(unfreeze)


def run() -> None:
    """Run the command line of this process."""
    app()
