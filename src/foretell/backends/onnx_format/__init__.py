"""What an ONNX file says about itself, read without any runtime."""
