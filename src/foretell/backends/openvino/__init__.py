"""Models on OpenVINO: its own IR, and ONNX files that ask for it."""
