"""Each law of each kit has a planted fault that the kit finds: a new law cannot come without one.

That a fault is found, and by which words, is tested beside the faults; here only that none is missing.
"""

from collections.abc import Set
from typing import Any

import pytest

from tests.components import test_conformance as components
from tests.providers import test_conformance as providers
from tests.providers import test_conformance_acting as acting
from tests.providers import test_conformance_further as further
from tests.remedies import test_conformance as remedies
from tests.third_party.kit import ids, planted

ALONE = {
    "strange-state-is-unknown": providers.test_a_guessed_state_is_found,
    "importing-the-plugin-loads-no-sdk": providers.test_an_sdk_loaded_at_import_is_found,
}
"""Laws of the provider kit whose fault is planted in the cloud or at import, by a test of its own."""


@pytest.mark.parametrize(
    ("kit", "found"),
    [
        pytest.param(
            providers.test_rack,
            planted(providers.test_a_planted_fault_is_found)
            | planted(further.test_a_planted_fault_is_found)
            | planted(acting.test_a_planted_fault_is_found)
            | set(ALONE),
            id="provider",
        ),
        pytest.param(components.test_chrony, planted(components.test_a_planted_fault_is_found), id="component"),
        pytest.param(remedies.test_sound, planted(remedies.test_a_planted_fault_is_found), id="remedy"),
    ],
)  # fmt: skip
def test_every_law_has_a_planted_fault(kit: Any, found: Set[str]) -> None:
    """No law without one, and no fault of a law that is no more."""
    assert ids(kit) == found
