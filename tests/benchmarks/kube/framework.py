"""kopf on the same job, as its documentation tells people to do it: a handler of updates of the spec, which patches the status.

Tuned: nothing is posted as Events, no other kinds are looked for, and its own notes stand in annotations alone. Its workers are not
limited, as it is by default: each keeps its object for `idle_timeout` after the last event, so a limit would be one of objects a second.
"""

import asyncio
import json
import logging
from typing import Any

import kopf

from tests.benchmarks.kube.contestant import given, ready


@kopf.on.login()
def login(**_: Any) -> kopf.ConnectionInfo:
    """Read the kubeconfig."""
    config = json.loads(given().read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    return kopf.ConnectionInfo(
        server=cluster["server"], ca_data=cluster["certificate-authority-data"],
        certificate_data=user["client-certificate-data"], private_key_data=user["client-key-data"],
    )  # fmt: skip


@kopf.on.startup()
def tune(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Turn off what the others have not either."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage()
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage()
    ready()


@kopf.on.update("kubenode.dev", "v1alpha1", "machines", field="spec")
async def answer(meta: kopf.Meta, patch: kopf.Patch, **_: Any) -> None:
    """Answer a change of the spec."""
    patch.status["observedGeneration"] = meta["generation"]


if __name__ == "__main__":
    logging.getLogger("kopf").setLevel(logging.ERROR)
    asyncio.run(kopf.operator(clusterwide=True, standalone=True))
