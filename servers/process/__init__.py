"""The server's processes: arguments, start, workers and their supervisor, log, clock."""
