"""Load for the servers: clients that check every reply, scenarios for Locust, and a first meter."""
