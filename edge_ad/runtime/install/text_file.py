"""Files of settings that are kept, compared and put back."""

from __future__ import annotations

from pathlib import Path

from edge_ad.runtime.install.progress import InstallError


def text_of(path: Path) -> str | None:
    """A file's text with its line ends as they are; None where there is none. Raises InstallError."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InstallError(f"{path} on the board is no text in UTF-8: mend it first") from error
