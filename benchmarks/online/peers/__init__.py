"""The servers that people use today, each in an environment of its own, set up as those who know it would."""
