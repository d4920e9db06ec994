"""mmfer: facial expression recognition from the grey face, 68 landmarks and a histogram of oriented gradients."""

__version__ = "0.1.0"
