"""The command line, a module for each kind of command: what it takes, and whom it calls."""
