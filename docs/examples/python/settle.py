"""kubenode from cron: do all that can be done now, say when to come again, and end."""

from kubenode import Engine, KubeStore

store = KubeStore.connect(context="prod")
again = Engine(store, identity="cron").run_until_settled()
print("come again at", again.isoformat() if again else "the next change")
