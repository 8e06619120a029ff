"""Many machines: a bundle for each, an index of them all.

Rule of this folder: a fleet is a folder; its index is the one truth about what was built, and one process at
a time builds into it. What is made for one asset never depends on which others are made beside it.
"""
