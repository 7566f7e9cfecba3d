"""Scoring a data set: sources, shards, a ledger, and parts that become one output."""
