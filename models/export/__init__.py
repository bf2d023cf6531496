"""Export of trained models to model folders, each compared with its original."""
