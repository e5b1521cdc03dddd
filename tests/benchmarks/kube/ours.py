"""Our engine through its public face, as a host would run it: recording, metrics, expectations and notes are on.

    python -m tests.benchmarks.kube.ours KUBECONFIG [all]

The machine controller alone answers a change of a spec with one write of the status; with `all` every controller runs, and the engine
holds its Lease, as `kubenode controller` does.
"""

import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from kubenode import Engine, KubeStore, Plugins
from kubenode.core.lease import CONTROLLER
from kubenode.runtime.record import Recorder
from tests.benchmarks.kube.contestant import given, ready

SCRAPE_EVERY_S = 15
"""As often as Prometheus is told to where it is told to often."""


async def main(kubeconfig: Path, recording: Path, *, whole: bool) -> None:
    """Run until killed."""
    with Recorder(recording) as sink:
        async with KubeStore.connect(kubeconfig=kubeconfig) as store:
            engine = Engine(
                store,
                plugins=Plugins.discover(sinks={"recording": sink}),
                controllers=None if whole else {"machine"},
                lease=CONTROLLER if whole else None,
                identity="benchmark",
            )
            metrics = CollectorRegistry()
            metrics.register(Engine.collector(engine))
            async with engine:
                await engine.settled(timedelta(hours=1))
                ready()
                while True:
                    await asyncio.sleep(SCRAPE_EVERY_S)
                    generate_latest(metrics)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(given(), Path(folder) / "run.knrec", whole="all" in sys.argv))
