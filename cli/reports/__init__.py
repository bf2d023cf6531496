"""What commands print and write: tables, pages, progress bars, files."""
