"""The command line, a module for each kind of command: its flags, and what it calls."""
