"""Starts and ends the processes of a measurement: targets, cells, searches."""
