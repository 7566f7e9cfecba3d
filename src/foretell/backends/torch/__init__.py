"""PyTorch: exported programs, TorchScript, weights with their class, and live modules."""
