"""Reports: what was measured, compared with the paper."""
