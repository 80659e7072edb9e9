"""The benchmark: what a request costs beside other servers, and what 10,000 connections cost.

python -m loadtest.bench --help
"""
