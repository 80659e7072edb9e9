"""The machine: its limits, its terminal and its files."""
