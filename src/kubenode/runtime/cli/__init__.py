"""The command line. One file a command group; exit codes: 0 yes, 1 no, 2 usage, 3 could not tell, 4 our bug."""

import sys


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        from kubenode.runtime.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(f"kubenode's command line needs {error.name}: pip install 'kubenode[cli]'\n")
        raise SystemExit(2) from None
    run()
