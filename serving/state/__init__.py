"""What one API process holds, and the tasks that keep it current."""
