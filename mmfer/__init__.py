"""mmfer: facial expression recognition from the grey face, 68 landmarks and a histogram of oriented gradients."""

import os

__version__ = "0.1.0"

# onnxruntime (1.29 and newer) sends usage data to its maker from the moment it is imported, unless this is set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
