"""python -m loadtest dashboard: the pages of all runs, served, and growing while a run is live."""
