"""The services on this machine or in containers: start, stop, readiness."""
