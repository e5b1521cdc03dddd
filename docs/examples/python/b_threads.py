"""kubenode in a program without asyncio: a thread runs the engine, and any thread stops it."""

from concurrent.futures import ThreadPoolExecutor
from socketserver import BaseServer

from kubenode import Engine, Store


def serve(server: BaseServer, store: Store) -> None:
    """Serve until somebody shuts the server down, or the engine fails."""
    engine = Engine(store, identity="platform")

    def run() -> None:
        try:
            engine.run()
        finally:
            server.shutdown()  # an engine that failed ends the server too

    with ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(run)
        try:
            server.serve_forever()
        finally:
            engine.stop()
        running.result()  # what the engine failed of is raised here
