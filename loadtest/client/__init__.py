"""One connection of the load: what it sends, when, and what it accepts as a reply."""
