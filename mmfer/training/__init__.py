"""Training: the loop, models as folders, calibration."""
