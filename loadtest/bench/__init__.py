"""The benchmark: CPU time per request beside other servers, and the cost of 10,000 connections.

python -m loadtest.bench --help
"""
