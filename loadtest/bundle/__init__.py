"""The format on disk: the files that a run writes, and how they are read back."""
