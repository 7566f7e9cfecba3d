"""Several processes that serve on one port: who starts them, what they tell each other, and how they share."""
