"""Bundles, drawn: one page that needs no network, and Markdown."""
