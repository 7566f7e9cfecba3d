"""What people score data sets with today: scripts of their own, and Ray Data in an environment of its own."""
