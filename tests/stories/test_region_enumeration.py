"""The calls of the stories of clouds meet every disturbance on the wire of both clouds, behind their real SDKs.

What a driver makes of a lost answer, a refusal or a proxy's page is its own; that no instance more or less is made, nor
one ended twice, is the same for both. A part is played here, and all of it at night.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from kubenode.core.decision import CreateInstance, TerminateInstance
from kubenode.core.errors import Ambiguous, CapacityExhausted
from tests.providers.aws.loopback import keys
from tests.stories import clouding
from tests.stories.disturbing import CLOUD_MODES, CLOUDS, Played, differences, differences_by_looks, play
from tests.stories.regional import STANDS, Stand
from tests.stories.test_cloud_enumeration import CALLED, CALLS

LOOK_MODES = ("crash", "timeout", "throttled", "conflict", "second")
CALL_MODES = ("before", "after", "lost", "conflict", "timeout", "throttled")
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module", params=STANDS)
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Each cloud."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        keys(folder, patch)
        with STANDS[request.param](folder) as one:
            yield one


@pytest.fixture(scope="module")
def wholes(stand: Stand) -> dict[str, Played]:
    """What was played undisturbed on this cloud, by story."""
    return {}


def whole(story: str, stand: Stand, wholes: dict[str, Played]) -> Played:
    """Give the undisturbed story."""
    if story not in wholes:
        wholes[story] = play(story, on=stand)
    return wholes[story]


@pytest.mark.parametrize("story", ["cloud-replace", "cloud-gone"])
def test_undisturbed_no_call_is_wasted(story: str, stand: Stand, wholes: dict[str, Played]) -> None:
    """As many creates and terminations as of the cloud in memory; nothing is repeated, by us or an SDK."""
    one = whole(story, stand, wholes)
    assert one.told.passed, [check for check in one.told.checks if not check.passed]
    assert one.told.summary == CALLS[story]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", CALL_MODES)
def test_a_disturbance_of_a_call_changes_nothing(mode: str, stand: Stand, wholes: dict[str, Played]) -> None:
    """One create and one termination of a replacement, in each mode another."""
    undisturbed = whole("cloud-replace", stand, wholes)
    for of in (CreateInstance, TerminateInstance):
        victims = [at for at, effect in enumerate(undisturbed.effects) if isinstance(effect, of)]
        victim = victims[CALL_MODES.index(mode) % len(victims)]
        part = slice(victim, victim + 1)
        assert list(differences("cloud-replace", mode, undisturbed, part=part, on=stand)) == []


@pytest.mark.parametrize("mode", LOOK_MODES)
def test_a_disturbance_of_a_look_changes_nothing(mode: str, stand: Stand, wholes: dict[str, Played]) -> None:
    """The looks that prove that an instance is gone."""
    undisturbed = whole("cloud-gone", stand, wholes)
    part = slice(3 + LOOK_MODES.index(mode) % 3, None, 4)
    assert list(differences_by_looks("cloud-gone", mode, undisturbed, part, on=stand)) == []


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("story", CLOUDS)
@pytest.mark.parametrize("mode", CLOUD_MODES)
def test_all_of_them(mode: str, story: str, stand: Stand, wholes: dict[str, Played]) -> None:
    """Every call in every mode, and every look in those that it can meet."""
    undisturbed = whole(story, stand, wholes)
    assert list(differences(story, mode, undisturbed, of=CALLED, on=stand)) == []
    if mode in LOOK_MODES or mode == "before":
        look_mode = "crash" if mode == "before" else mode
        assert list(differences_by_looks(story, look_mode, undisturbed, on=stand)) == []


def test_a_driver_that_takes_silence_for_a_refusal_is_noticed(
    stand: Stand, wholes: dict[str, Played], monkeypatch: Patch
) -> None:
    """By the fault that does what was asked and loses the answer: another attempt makes another instance."""
    undisturbed = whole("cloud-replace", stand, wholes)
    provider = stand.region.provider
    create = type(provider).create

    def refuses(self: object, request: object) -> object:
        try:
            return create(self, request)  # type: ignore[arg-type]
        except Ambiguous as error:
            raise CapacityExhausted(str(error)) from error

    monkeypatch.setattr(type(provider), "create", refuses)
    monkeypatch.setattr(clouding, "LONG", timedelta(minutes=20))
    found = next(differences("cloud-replace", "lost", undisturbed, of=CreateInstance, on=stand), "")
    assert "as many were ever made for each machine" in found
