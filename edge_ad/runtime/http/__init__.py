"""The agent's face over HTTP: a status page, its figures as JSON, and metrics for Prometheus. Opt-in.

It shows and never commands: there is no request that changes anything but who is logged in. What it knows of
the agent is a `view.AgentView`. waitress serves, in threads of its own; only `listener` knows it.
"""
