"""Find or build the programs of a real control plane: etcd and three programs of Kubernetes; and the kubelet.

Lives here: where the programs come from, and how they are built and kept. How they are started is
`kubenode.runtime.testing`, and for the kubelet `tests/hosts`. Called by the fixtures, and as a script to
build ahead of the tests (the standard library is enough for it):

    python tests/cluster/build.py

The order: the folder that `KUBEBUILDER_ASSETS` names; else the user's cache, where a folder is named by the
hash of all that goes into the build; else a build into that cache. The cache may be deleted at any time.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
"""What the folder holds; the last three are hard links to one binary, which reads the name it is called by."""

OLDEST: Final = (1, 36)
"""The oldest minor version of Kubernetes that the tests are written for."""

_HERE: Final = Path(__file__).resolve().parent
_SOURCES: Final = (
    "etcd/go.mod",
    "etcd/go.sum",
    "kubernetes/go.mod",
    "kubernetes/go.sum",
    "kubernetes/main.go",
)
_SUPPORTED_SOURCES: Final = (*_SOURCES[:2], "oldest/go.mod", "oldest/go.sum", "oldest/main.go")
_KUBELET_SOURCES: Final = (*_SOURCES[2:4], "kubernetes/kubelet/main.go")
_FLAGS: Final = ("-trimpath", "-buildvcs=false", "-v")
_STRIPPED: Final = "-s -w"
_TELL_EVERY_S: Final = 15.0


class Unavailable(Exception):
    """Says why tests cannot have on this machine what they need, and what to do about it."""

    def __init__(self, reason: str, *, fix: str) -> None:
        """Join both into the message.

        Args:
            reason: what is missing or wrong.
            fix: what the reader can do.
        """
        super().__init__(f"{reason}; fix: {fix}")
        self.reason = reason
        self.fix = fix


class ControlPlaneUnavailable(Unavailable):
    """There is no control plane on this machine."""


def control_plane_binaries(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds all of `PROGRAMS`, built first where need be.

    Args:
        environ: the environment to look at: KUBEBUILDER_ASSETS, XDG_CACHE_HOME, HOME, PATH and Go's own.

    Raises:
        ControlPlaneUnavailable: the folder named is not usable, or Go is missing, too old or fails.
    """
    if assets := environ.get("KUBEBUILDER_ASSETS"):
        return _checked(
            Path(assets), fix="complete that folder, or unset KUBEBUILDER_ASSETS to have all built"
        )
    folder = cache_folder(environ) / "controlplane" / _fingerprint(_SOURCES)
    if folder.is_dir():
        return folder
    go = _go(environ)
    with alone(folder, "the control plane") as lock:
        if not folder.is_dir():  # else another session built it while this one waited
            _build(go, folder, lock=lock, environ=environ)
    return folder


def oldest_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds all of `PROGRAMS` of the oldest Kubernetes that kubenode supports, built first where need be.

    Args:
        environ: the environment to look at: XDG_CACHE_HOME, HOME, PATH and Go's own.

    Raises:
        ControlPlaneUnavailable: Go is missing, too old or fails.
    """
    folder = cache_folder(environ) / "controlplane" / _fingerprint(_SUPPORTED_SOURCES)
    if folder.is_dir():
        return folder
    go = _go(environ)
    with alone(folder, "the oldest control plane") as lock:
        if not folder.is_dir():
            _build(go, folder, lock=lock, environ=environ, module="oldest")
    return folder


def kubelet_folder(version: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds `kubelet`, built first where need be.

    Args:
        version: the version that it is to say of itself, as `v1.36.4`, whatever it is built of; that of
            `kubernetes_version` when None. A second one costs no more than the linking.
        environ: the environment to look at: XDG_CACHE_HOME, HOME, PATH and Go's own.

    Raises:
        ControlPlaneUnavailable: Go is missing, too old or fails.
    """
    version = version or kubernetes_version()
    folder = cache_folder(environ) / "kubelet" / f"{_fingerprint(_KUBELET_SOURCES)}-{version}"
    if folder.is_dir():
        return folder
    go = _go(environ)
    with alone(folder, "the kubelet") as lock:
        if not folder.is_dir():
            _say(f"building a kubelet for the tests into {folder}")
            with replaced(folder) as building:
                _link(
                    go, "kubernetes", "kubelet", _stamp(version), "./kubelet",
                    building=building, title=f"kubelet {version}", lock=lock, environ=environ,
                )  # fmt: skip
    return folder


def kubernetes_version(module: str = "kubernetes") -> str:
    """Return the version of Kubernetes that is built here, as `v1.36.3`; that of the module `oldest` is the oldest supported."""
    return _required(f"{module}/go.mod", r"k8s\.io/kubernetes (v\S+)")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder in the user's cache for all that tests build once."""
    home = environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path(environ.get("HOME") or Path.home()) / ".cache"
    return base / "kubenode"


def _fingerprint(sources: tuple[str, ...]) -> str:
    digest = hashlib.sha256(" ".join((*_FLAGS, _STRIPPED)).encode())
    for name in sources:
        digest.update(name.encode() + b"\0" + (_HERE / name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _required(module_file: str, pattern: str) -> str:
    found = re.search(pattern, (_HERE / module_file).read_text())
    if found is None:
        raise ValueError(f"{module_file} has no {pattern}")
    return found[1]


def _checked(folder: Path, *, fix: str, since: tuple[int, int] = OLDEST) -> Path:
    """Return the folder when every program is there and Kubernetes is recent enough."""
    missing = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    if missing:
        raise ControlPlaneUnavailable(f"{folder} has no {', '.join(missing)}", fix=fix)
    said = _output([folder / "kube-apiserver", "--version"])
    version = re.search(r"v(\d+)\.(\d+)", said)
    if version is None:
        raise ControlPlaneUnavailable(f"{folder}/kube-apiserver --version says {said[-200:]!r}", fix=fix)
    if (int(version[1]), int(version[2])) < since:
        wanted = ".".join(map(str, since))
        raise ControlPlaneUnavailable(f"{folder} holds {said}, older than {wanted}", fix=fix)
    return folder


def _go(environ: Mapping[str, str]) -> str:
    """Return the path of a Go that can build the modules here."""
    wanted = max(_required(f"{module}/go.mod", r"(?m)^go (\S+)") for module in ("etcd", "kubernetes"))
    fix = f"install Go {wanted} or newer, or set KUBEBUILDER_ASSETS to a folder with {', '.join(PROGRAMS)}"
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise ControlPlaneUnavailable(
            "the control plane must be built once, and there is no Go on PATH", fix=fix
        )
    # Asked inside the module, Go 1.21 and newer answer with the toolchain they would switch to, or refuse.
    said = _output([go, "env", "GOVERSION"], cwd=_HERE / "kubernetes", env=_go_environ(environ))
    version = re.fullmatch(r"go(\d+)\.(\d+).*", said)
    major, minor = wanted.split(".")[:2]
    if version is None or (int(version[1]), int(version[2])) < (int(major), int(minor)):
        raise ControlPlaneUnavailable(f"Go is too old: {said[-300:]}", fix=fix)
    return go


def _go_environ(environ: Mapping[str, str]) -> dict[str, str]:
    # A go.work in a folder above would hide the modules here; without cgo no C compiler is needed.
    return {**environ, "CGO_ENABLED": "0", "GOWORK": "off"}


def _output(
    command: list[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as failed:  # not a program at all, or one for another machine
        return str(failed)
    return done.stdout.strip()


@contextmanager
def alone(folder: Path, what: str) -> Iterator[int]:
    """Hold the lock of a build into the folder while the block runs; yields its file descriptor.

    Args:
        folder: what is to be built; the folder around it is made.
        what: what it is called where waiting for another session is told.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        started = told = time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if told == started or time.monotonic() - told >= _TELL_EVERY_S:
                    told = time.monotonic()
                    _say(f"another session builds {what}; waiting, {_elapsed(started)} so far")
                time.sleep(0.2)
        yield lock.fileno()


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside, which takes this one's place at the end, with one rename; on an error it is gone."""
    building = Path(f"{folder}.building")
    shutil.rmtree(building, ignore_errors=True)  # left by a session that was killed; the lock says it is over
    building.mkdir()
    try:
        yield building
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _build(
    go: str, folder: Path, *, lock: int, environ: Mapping[str, str], module: str = "kubernetes"
) -> None:
    """Build all programs beside the folder, then put them in place with one rename."""
    version = kubernetes_version(module)
    _say(f"building a real control plane for the tests into {folder}")
    _say("once only; Go compiles some 2,600 packages: about 10 minutes on two cores, 5 GB in Go's own caches")
    with replaced(folder) as building:
        for title, source, program, ldflags, package in (
            ("etcd", "etcd", "etcd", _STRIPPED, "go.etcd.io/etcd/server/v3"),
            (f"Kubernetes {version}, three programs in one", module, PROGRAMS[1], _stamp(version), "."),
        ):
            _link(
                go, source, program, ldflags, package,
                building=building, title=title, lock=lock, environ=environ,
            )  # fmt: skip
        for name in PROGRAMS[2:]:
            (building / name).hardlink_to(building / PROGRAMS[1])
        _checked(
            building, fix="report this: the build went through, and what it made does not run", since=(1, 0)
        )
    _say("the control plane is built and kept for all later runs")


def _stamp(version: str) -> str:
    return f"{_STRIPPED} -X k8s.io/component-base/version.gitVersion={version}"


def _link(
    go: str, module: str, program: str, ldflags: str, package: str,
    *, building: Path, title: str, lock: int, environ: Mapping[str, str],
) -> None:  # fmt: skip
    """Make one program of a module here."""
    command = [go, "build", *_FLAGS, "-ldflags", ldflags, "-o", str(building / program), package]
    log = building / f"{module}.log"
    _compile(title, command, cwd=_HERE / module, log=log, lock=lock, environ=environ)
    log.unlink()


def _compile(
    title: str, command: list[str], *, cwd: Path, log: Path, lock: int, environ: Mapping[str, str]
) -> None:
    """Run one `go build`, telling about every 15 seconds how far it is."""
    started = time.monotonic()
    _say(f"building {title} ...")
    with log.open("w") as output:
        # Go holds the lock too: when this session is killed, the next one waits for the rest of the build
        # instead of running a second one beside it.
        process = subprocess.Popen(
            command, cwd=cwd, env=_go_environ(environ), stdout=output, stderr=output, pass_fds=(lock,)
        )
        try:
            while (code := _wait(process, _TELL_EVERY_S)) is None:
                lines = log.read_text().splitlines()
                fetched = sum(line.startswith("go: downloading") for line in lines)
                compiled = sum(" " not in line for line in lines)
                _say(
                    f"still building {title}: {_elapsed(started)} so far,"
                    f" {fetched} modules fetched, {compiled} packages compiled"
                )
        except BaseException:  # Ctrl-C: Go removes its own temporary files when it is asked to end
            process.terminate()
            process.wait()
            raise
    if code != 0:
        # A line without a space is the name of a package that was compiled.
        told = (line for line in log.read_text().splitlines() if not line.startswith("go: downloading"))
        problems = [line for line in told if " " in line]
        raise ControlPlaneUnavailable(
            f"building {title} failed:\n" + "\n".join(problems[-15:]) + "\n",
            fix="mend that (`go env GOPROXY` must answer; Go's caches need 5 GB), or set KUBEBUILDER_ASSETS",
        )
    _say(f"built {title} in {_elapsed(started)}")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _elapsed(started: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _say(text: str) -> None:
    sys.stderr.write(f"controlplane: {text}\n")
    sys.stderr.flush()


def _main() -> int:
    try:
        folder = control_plane_binaries()
    except ControlPlaneUnavailable as unavailable:
        _say(str(unavailable))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; what Go has compiled so far is kept in its cache")
        return 130
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
