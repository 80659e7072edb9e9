"""This machine: what it is and allows, its terminal and its files."""
