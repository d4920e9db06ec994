"""Public data sets in their public layouts, one module a source: each reads an index, images and class names."""
