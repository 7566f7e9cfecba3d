"""A model in a process of its own, behind the same contract as any other: see `remote.model` and `remote.recipe`."""
