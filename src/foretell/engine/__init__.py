"""The engine: every promise about a row is kept here, once, for every door."""
