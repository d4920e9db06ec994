"""A face: where it is, its 68 points, its alignment, its copies, and what a network reads of it."""
