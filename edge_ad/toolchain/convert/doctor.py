"""One way in to the conversion doctor: any model file."""

from __future__ import annotations

from pathlib import Path

from edge_ad.errors import ConversionError
from edge_ad.toolchain.convert.explain import Explanation, explain_tflite
from edge_ad.toolchain.convert.explain_keras import KerasExplanation, explain_keras
from edge_ad.toolchain.convert.model_files import recognize


def explain_file(path: Path) -> Explanation | KerasExplanation:
    """What is in a `.tflite` or `.keras` file, told apart by content.

    A `.keras` file that edge_ad cannot convert is explained too: the reasons are its `problems`. Raises
    ConversionError for a file that is neither, or is damaged.
    """
    if recognize(path) == "keras":
        return explain_keras(path)
    try:
        return explain_tflite(path.read_bytes())
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror}") from error
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error
