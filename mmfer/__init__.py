"""mmfer: facial expression recognition from the grey face, 68 landmarks and a histogram of oriented gradients.

from mmfer import Predictor
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfer.use.predictor import Predictor

__all__ = ["Predictor", "__version__"]
__version__ = "0.1.0"

# onnxruntime (1.29 and newer) sends usage data to its maker from the moment it is imported, unless this is set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """Import Predictor when it is first asked for: a plain `import mmfer` takes 0.03 s, OpenCV alone ten times that."""
    if name == "Predictor":
        from mmfer.use.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
