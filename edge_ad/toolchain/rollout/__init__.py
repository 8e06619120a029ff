"""From a fleet to its machines: which host runs which assets, who gets new bundles when, how it went.

What is done on a host is an Ansible role of builtin modules (`role/`), which uses the commands of edge-ad
that are there. Nothing here opens a connection by itself.
"""
