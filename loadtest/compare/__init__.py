"""python -m loadtest compare: many cells, in a fair order, into one bundle."""
