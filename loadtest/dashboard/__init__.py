"""python -m loadtest dashboard: the same page, served, and growing while a run goes on."""
