"""What the cells of bundles say, with how sure one can be of it."""
