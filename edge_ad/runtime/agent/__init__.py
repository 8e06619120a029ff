"""The agent: detectors as a service, from usual sources to usual sinks, for years.

Only here sources, detectors, spool and sinks meet; none of them knows of another. One event loop, no locks:
what blocks (a disk that syncs, a webhook, a broker's client) has a thread of its own.
"""
