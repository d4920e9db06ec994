"""Use of a trained network: photos, video, a page, a server, ONNX."""
