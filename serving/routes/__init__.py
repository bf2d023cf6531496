"""HTTP routes, a module per group; they only translate between HTTP and `serving.core`."""
