"""The benches: one module per `python -m bench NAME`, each with a function `measure`."""
