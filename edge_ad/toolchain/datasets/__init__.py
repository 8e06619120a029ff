"""Recordings: how they are described, found, read, simulated and fetched."""
