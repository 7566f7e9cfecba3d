"""What happened, in numbers: histograms that aggregate, and their exposition."""
