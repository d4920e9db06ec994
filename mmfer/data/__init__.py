"""Data: the FaceSet contract, splits and duplicates, public layouts (sources) and rendered faces (synthetic)."""
