"""Figures, the machine they were measured on, and the results as a table and as a file."""
