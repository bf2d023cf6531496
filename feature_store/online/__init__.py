"""The online store in Redis: its layout, reads, guarded writes, the writer process."""
