"""The online store in Redis: layout, reads, guarded writes, the writer process."""
