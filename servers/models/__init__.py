"""The models, a file each: how a connection is started, and what waits for it."""
