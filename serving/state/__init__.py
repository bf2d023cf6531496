"""State of one API process, and the background tasks that keep it current."""
