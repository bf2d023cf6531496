"""The platform on this machine or in containers: start, stop, look."""
