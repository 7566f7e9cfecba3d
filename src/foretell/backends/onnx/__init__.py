"""ONNX files on ONNX Runtime."""
