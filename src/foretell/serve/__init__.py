"""The online door: HTTP/1.1 in, predictions out."""
