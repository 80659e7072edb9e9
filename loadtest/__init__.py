"""Load for the servers: clients that check every reply, an open-loop meter, and comparisons."""
