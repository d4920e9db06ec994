"""Training: folds and seeds, the loop, models as folders, calibration."""
