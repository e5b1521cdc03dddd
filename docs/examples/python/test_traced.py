"""The suite that every Store passes, on one of your own."""

import asyncio
import itertools

import pytest
from traced import TracedStore

from kubenode import EmbeddedStore, Machine
from kubenode.runtime.testing.store import CASES, Case

NAMES = (f"case-{number}" for number in itertools.count())
OURS = [case for case in CASES if not case.needs_api and not case.needs_cel]


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.name)
def test_store(case: Case) -> None:
    store = TracedStore(EmbeddedStore(), print)
    asyncio.run(case(store, Machine.KIND, lambda: next(NAMES)))
