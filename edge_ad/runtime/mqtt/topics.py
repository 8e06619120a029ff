"""Topics and topic filters, as MQTT 4.7 defines them."""

from __future__ import annotations

_LONGEST = 65_535


def check_filter(topic: str) -> None:
    """Raises ValueError for what cannot be subscribed to, or makes no sense for a stream."""
    _check_text(topic)
    if topic.startswith("$share/"):
        raise ValueError(f"topic {topic!r} is a shared subscription, which would give each agent only a part")
    levels = topic.split("/")
    for place, level in enumerate(levels):
        if "+" in level and level != "+":
            raise ValueError(f"topic {topic!r}: + must stand alone between slashes")
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise ValueError(f"topic {topic!r}: # must stand alone, after the last slash")


def check_prefix(prefix: str, name: str) -> None:
    """Raises ValueError where `prefix` (of the option `name`) cannot be the beginning of a topic."""
    _check_text(prefix)
    if "+" in prefix or "#" in prefix:
        raise ValueError(f"{name} {prefix!r} must not contain + or #")
    if prefix.startswith(("/", "$")) or prefix.endswith("/"):
        raise ValueError(f"{name} {prefix!r} must not begin with / or $, nor end with /")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message on `topic` belongs to a subscription to `topic_filter`."""
    if "+" not in topic_filter and "#" not in topic_filter:
        return topic_filter == topic
    if topic.startswith("$") and not topic_filter.startswith("$"):
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()  # stands for any number of levels, none included
        if len(levels) < len(wanted):
            return False
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        level in ("+", found) for level, found in zip(wanted, levels, strict=True)
    )


def _check_text(topic: str) -> None:
    if not topic or "\0" in topic or len(topic.encode("utf-8", "replace")) > _LONGEST:
        raise ValueError(f"topic {topic[:100]!r} must have 1 to {_LONGEST} bytes, and no zero byte")
