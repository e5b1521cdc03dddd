"""`kubenode machine import`: hosts that are there get an agent, and become machines."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import urlsplit

import attrs
import typer

from kubenode.core.errors import InvalidObjectError, KubenodeError, Problem
from kubenode.runtime.cli.connect import ExtraMissing
from kubenode.runtime.cli.lifecycle import key_value
from kubenode.runtime.cli.live import Cluster, Context, Kubeconfig
from kubenode.runtime.cli.output import (
    NO,
    UNKNOWN,
    YES,
    Format,
    Output,
    code_of,
    complain,
    document,
    examples,
    fix_of,
)
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.sim.story import examples as example_files
from kubenode.runtime.store.contract import Api

IMPORT: Final = examples(
    "kubenode machine import h1 --bundle kubenode-0.1.0-linux-x86_64.tar.gz --dry-run   # what it would do",
    "kubenode machine import h1 h2 h3 --bundle kubenode-0.1.0-linux-x86_64.tar.gz --label pool=general",
    "kubenode machine import 10.0.0.9 --name n9 --server https://10.0.0.1:6443 --ca ca.crt",
    "kubenode machine import h4 --paste --bundle b.tar.gz --bundle-url https://mirror/b.tar.gz",
)
AT_ONCE: Final = 4
"""Hosts that are imported at the same time."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def import_hosts(  # noqa: PLR0913, PLR0917 - one an option
    hosts: Annotated[list[str], typer.Argument(metavar="HOST", help="Name or address, as for ssh.")],
    name: Annotated[
        str | None, typer.Option(help="Of the Machine, of one host; without it the host's.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE of a Machine that is made. May be repeated.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="tar.gz with bin/kubenode to send; without it the host has to have kubenode."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="URL of the API server as the hosts reach it; without it the kubeconfig's."),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="Certificates that the server's is checked against; without it the kubeconfig's.")
    ] = None,
    user: Annotated[str, typer.Option(help="Who logs in; has to be root there.")] = "root",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Of sshd.")] = None,
    identity: Annotated[
        Path | None, typer.Option(help="Private key; without it those of ~/.ssh and of ssh-agent.")
    ] = None,
    known_hosts: Annotated[
        Path | None,
        typer.Option(help="Keys of hosts; without it ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts."),
    ] = None,
    host_key: Annotated[
        str | None, typer.Option(help="SHA256:... of one host's key, if you have compared it; it is then believed.")
    ] = None,
    timeout: Annotated[
        int, typer.Option(min=0, help="Seconds until it has to be Running; 0: as long as it takes. It goes on then.")
    ] = 900,
    paste: Annotated[
        bool, typer.Option("--paste", help="No SSH: print a line to paste into a root shell of the host. It holds a token.")
    ] = False,
    bundle_url: Annotated[
        str | None, typer.Option(help="With --paste and --bundle: from where the host gets it; checked by sha256.")
    ] = None,
    kubeconfig: Kubeconfig = None, context: Context = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Connect, look, and say what would be done; change nothing.")] = False,
    output: Format = Output.TABLE,
) -> None:  # fmt: skip
    """Give hosts that are there an agent over SSH, and wait until each is Running; progress is told on stderr.

    For each: a Machine with a bootstrap token, kubenode below /opt/kubenode, the agent's unit, its certificate, its
    phases. Done again it goes on where it was, and changes nothing that is right. A step that fails is undone, with
    all that this run has installed; nothing else is removed.

    Exit status: 0 all are Running, or with --dry-run could be imported; 1 one cannot be imported, or a step failed; 3
    a host or the server is not reached, or one was not Running within --timeout.
    """
    if len(hosts) > 1 and (name or host_key or paste):
        raise typer.BadParameter("--name, --host-key and --paste are of one host", param_hint="HOST")
    if len(set(hosts)) < len(hosts):
        raise typer.BadParameter("one is named twice", param_hint="HOST")
    if named := next((host for host in hosts if "@" in host), ""):
        raise typer.BadParameter(f"{named}: who logs in is named by --user", param_hint="HOST")
    if bundle_url is not None and (not paste or bundle is None):
        raise typer.BadParameter("needs --paste and --bundle", param_hint="--bundle-url")
    if paste and bundle is not None and bundle_url is None:
        raise typer.BadParameter("is needed with --paste and --bundle", param_hint="--bundle-url")
    try:
        from kubenode.runtime.bootstrap.archive import read_bundle
        from kubenode.runtime.bootstrap.importing import Order
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"this needs {error.name}: pip install 'kubenode[ssh]'") from None
    labels = dict(key_value(text) for text in label or ())
    url, authority = _server(server, ca, kubeconfig, context)
    held = None if bundle is None else read_bundle(bundle)
    unit = (example_files() / "kubenode-agent.service").read_bytes()
    orders = [
        Order(
            host=host, name=name or host.lower(), labels=labels, server=url, authority=authority, unit=unit, bundle=held,
            limit=timedelta(seconds=timeout) if timeout else None,
        )
        for host in hosts
    ]  # fmt: skip
    cluster = Cluster(kubeconfig=kubeconfig, context=context)
    if paste:
        _paste(cluster, orders[0], bundle_url or "", dry_run=dry_run, output=output)
        return
    connect = _ways(user, port, identity, known_hosts, host_key)
    told = cluster.ask(lambda store: _all(store, orders, connect, dry_run=dry_run))
    _show(told, dry_run=dry_run, output=output)


def _ways(
    user: str, port: int | None, identity: Path | None, known_hosts: Path | None, host_key: str | None
) -> Callable[[str], AbstractAsyncContextManager[Any]]:
    """Give what logs in on a host."""
    try:
        from kubenode.runtime.bootstrap.ssh import SYSTEM_KEYS, Login, connected
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"this needs {error.name}: pip install 'kubenode[ssh]'") from None
    if known_hosts is not None and not known_hosts.is_file():
        raise typer.BadParameter("there is no such file", param_hint="--known-hosts")
    files = (Path.home() / ".ssh" / "known_hosts", SYSTEM_KEYS) if known_hosts is None else (known_hosts,)

    def way(host: str) -> AbstractAsyncContextManager[Any]:
        return connected(
            Login(host=host, port=port, user=user, identity=identity, known_hosts=files, host_key=host_key)
        )  # fmt: skip

    return way


def _server(
    server: str | None, ca: Path | None, kubeconfig: Path | None, context: str | None
) -> tuple[str, bytes]:
    """Give the URL and the certificates that go to the hosts; what is not named is the kubeconfig's."""
    url, authority = server, _pem(ca)
    if url is None or not authority:
        try:
            from kubenode.runtime.store.client import load

            found = load(kubeconfig, context)
        except ModuleNotFoundError as error:
            raise ExtraMissing(f"this needs {error.name}: pip install 'kubenode[kube]'") from None
        url = url or found.url
        authority = authority or _held(found.tls)
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not url.isprintable() or set(url) & set(" \"'\\$"):
        _wrong("--server", f"{url!r} is no https URL", "--server https://10.0.0.1:6443")
    if parts.hostname in _LOOPBACK:
        _wrong(
            "--server",
            f"{url} is each host itself",
            "--server https://..., as the hosts reach the API server",
        )
    if not authority:
        _wrong("--ca", "the kubeconfig names no certificates of an authority", "--ca ca.crt")
    return url, authority


def _pem(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        text = path.read_bytes()
    except OSError as error:
        _wrong("--ca", f"{path} cannot be read: {error.strerror}", "name a file with certificates in PEM")
    if b"-----BEGIN CERTIFICATE-----" not in text or b"PRIVATE KEY" in text:
        _wrong(
            "--ca", f"{path} holds no certificates, or a private key", "name a file with certificates in PEM"
        )
    return text


def _held(tls: Any) -> bytes:
    from ssl import DER_cert_to_PEM_cert

    held = () if tls is None else tls.get_ca_certs(binary_form=True)
    return "".join(DER_cert_to_PEM_cert(one) for one in held).encode()


def _wrong(where: str, what: str, fix: str) -> NoReturn:
    raise InvalidObjectError((Problem(where=where, what=what, fix=fix),))


@attrs.frozen(kw_only=True)
class _Told:
    """How it went with one host."""

    host: str
    name: str
    done: Any = None
    error: KubenodeError | None = None


async def _all(
    store: Api,
    orders: list[Any],
    connect: Callable[[str], AbstractAsyncContextManager[Any]],
    *,
    dry_run: bool,
) -> list[_Told]:
    """Import hosts, some at once; what goes wrong with one is no other's business."""
    from kubenode.runtime.bootstrap.importing import Import

    free, clock = asyncio.Semaphore(AT_ONCE), SystemClock()

    def now() -> datetime:
        return clock.now().wall

    async def one(order: Any) -> _Told:
        way = partial(connect, order.host)
        wanted = Import(order=order, store=store, connect=way, tell=partial(_tell, order.host), now=now)
        async with free:
            try:
                done = await (wanted.plan() if dry_run else wanted.run())
            except KubenodeError as error:
                return _Told(host=order.host, name=order.name, error=error)
        return _Told(host=order.host, name=order.name, done=done)

    told = await asyncio.gather(*(one(order) for order in orders), return_exceptions=True)
    for found in told:
        if isinstance(found, BaseException):  # a bug of ours with one host, told when the others have ended
            raise found
    return [found for found in told if isinstance(found, _Told)]


def _tell(host: str, text: str) -> None:
    sys.stderr.write(f"{host}: {text}\n")
    sys.stderr.flush()


def _show(told: list[_Told], *, dry_run: bool, output: Output) -> None:
    """Say how it went, and leave with the exit status of the worst."""
    codes = {_code(one.error) for one in told if one.error is not None}
    if output is not Output.TABLE:
        document({"dry_run": dry_run, "hosts": [_document(one) for one in told]}, output)
    else:
        for one in told:
            _row(one, dry_run=dry_run)
    worst = next((code for code in (NO, UNKNOWN) if code in codes), max(codes, default=YES))
    if worst != YES:
        raise typer.Exit(worst)


def _row(told: _Told, *, dry_run: bool) -> None:
    """Say for people how it went with one host."""
    if told.error is not None:
        text = str(told.error)
        text = text if text.startswith(told.host) else f"{told.host}: {text}"
        complain(Output.TABLE, type(told.error).__name__, text, fix=fix_of(told.error), where=told.host)
        return
    dry = " (dry run, nothing changed)" if dry_run else ""
    made = "would be made" if dry_run and told.done.created else told.done.phase or "is there"
    sys.stdout.write(f"{told.host}{dry}: Machine {told.name} {made}\n")
    sys.stdout.writelines(f"    {step}\n" for step in told.done.steps or ("nothing to do on the host",))


def _code(error: KubenodeError) -> int:
    from kubenode.runtime.bootstrap.arrival import NotImported, StillComing
    from kubenode.runtime.bootstrap.remote import Lost

    if isinstance(error, StillComing | Lost):
        return UNKNOWN
    return NO if isinstance(error, NotImported) else code_of(error)


def _document(told: _Told) -> Mapping[str, Any]:
    from kubenode.runtime.bootstrap.importing import summary

    body: dict[str, Any] = {"host": told.host, "machine": told.name}
    if told.error is None:
        return {**body, **summary(told.done), "error": None}
    error = {
        "code": type(told.error).__name__,
        "message": str(told.error),
        "fix": fix_of(told.error),
    }
    return {**body, "created": None, "steps": None, "phase": None, "error": error}


def _paste(cluster: Cluster, order: Any, url: str, *, dry_run: bool, output: Output) -> None:
    """Print the line for one host; nothing is waited for, since nobody knows when it is pasted."""
    from kubenode.runtime.bootstrap.importing import pasted
    from kubenode.runtime.bootstrap.paste import LONGEST, line

    async def asked(store: Api) -> tuple[bool, str]:
        made = partial(line, url=url)
        return await pasted(order, store, SystemClock().now().wall, made, dry_run=dry_run)

    created, text = cluster.ask(asked)
    if output is not Output.TABLE:
        document(
            {"dry_run": dry_run, "host": order.host, "machine": order.name, "created": created, "line": text or None}, output
        )  # fmt: skip
    elif dry_run:
        sys.stdout.write(
            f"{order.host} (dry run, nothing changed): a line for Machine {order.name} would be printed\n"
        )
    else:
        sys.stderr.write(
            f"Machine {order.name}: paste this into a root shell of {order.host} within an hour; it is good once\n"
        )
        if len(text) > LONGEST:
            sys.stderr.write(
                f"it has more than {LONGEST} characters, so the shell has to be one that edits lines, as bash\n"
            )
        sys.stdout.write(f"{text}\n")
