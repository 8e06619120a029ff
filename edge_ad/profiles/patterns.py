"""What the words of a profile look like."""

import re

NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
"""Of a profile, and of a converted form of a model."""
VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")
"""Of Python and glibc."""
PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""Of Debian."""
PACKAGE_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
"""Of an interpreter."""
REQUIREMENT = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*([<>=!~]=?[A-Za-z0-9.*+!]+(,[<>=!~]=?[A-Za-z0-9.*+!]+)*)?"
)
"""As pip takes it: a name and versions."""
CODE_NAME = re.compile(r"[a-z][a-z0-9]*")
"""Of an operating system."""
MACHINE = re.compile(r"[a-z][a-z0-9_]*")
"""As wheels have it."""
SOURCE = re.compile(r"https?://\S+|[A-Za-z ]+: \S.*")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
