"""What the cells of bundles show, and how certain it is."""
