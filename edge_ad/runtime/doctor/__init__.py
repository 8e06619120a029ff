"""What stands in the way of a trustworthy service on this machine, and the commands that help.

Every group of checks is a module with one function that takes the `Machine` and yields `Finding`s. A check
reads; the one thing that is written is a small file, removed again, in the folders that a service writes.

Rule of this folder: the standard library, and what of `edge_ad` needs no more than that. Only `probe` loads
numpy, an interpreter and bundles, in a process of its own: they may be the very thing that is broken.
"""
