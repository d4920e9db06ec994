"""Testing: evaluation, perturbed faces, statistics."""
