"""Databases as what a job reads and writes. Drivers are imported in processes of their own, never in the one that runs
the job."""
