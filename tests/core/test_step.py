"""What a step says of itself: the mark of an artifact, the files of a kernel, the bundle of an agent; and what it never shows."""

import attrs

from kubenode.core.step import (
    AGENT_PATH,
    AGENT_UNIT,
    ArtifactFormat,
    InstallArtifact,
    SetKernel,
    UpgradeAgent,
)


def test_the_mark_of_an_artifact() -> None:
    """A program, a tree and a part of it with one digest are three things."""
    one = InstallArtifact(path="/x", url="https://x/secret", sha256="a" * 64, then=None)
    tree = attrs.evolve(one, format=ArtifactFormat.TAR)
    assert one.mark == "a" * 64
    assert tree.mark == "a" * 64 + ":/"
    assert attrs.evolve(tree, member="b/c").mark == "a" * 64 + ":/b/c"
    assert "secret" not in repr(one)


def test_a_value_of_the_kernel_is_not_shown() -> None:
    """There are secrets among them."""
    assert "hidden" not in repr(SetKernel(name="k", sysctl=(("net.ipv6.conf.all.stable_secret", "hidden"),)))


def test_the_files_of_a_kernel() -> None:
    """One for modules, one for settings, in their order; one of nothing is left out."""
    both = SetKernel(name="k", modules=("b", "a"), sysctl=(("y.x", "1 2"), ("c/d.e", "3")))
    modules, settings = (
        ("/etc/modules-load.d/k.conf", b"b\na\n"),
        ("/etc/sysctl.d/90-k.conf", b"y.x = 1 2\nc/d.e = 3\n"),
    )
    assert both.files == dict([modules, settings])
    assert attrs.evolve(both, sysctl=()).files == dict([modules])
    assert attrs.evolve(both, modules=()).files == dict([settings])


def test_a_bundle_of_the_agent_is_the_bin_of_a_tar_behind_the_agents_link() -> None:
    """Fetched like any artifact, shown without its URL, and no unit is restarted by it: the agent is its own."""
    step = UpgradeAgent(url="https://x/y?token=s3cr3t", sha256="a" * 64, within=30)
    made = step.installation
    assert (made.path, made.url, made.member, made.then) == (AGENT_PATH, step.url, "bin", None)
    assert made.mark == f"{'a' * 64}:/bin"
    assert (AGENT_PATH, AGENT_UNIT) == ("/opt/kubenode/bin", "kubenode-agent.service")
    assert "s3cr3t" not in repr(step)
