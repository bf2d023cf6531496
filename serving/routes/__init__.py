"""HTTP routes, one module per group. They only translate between HTTP and `serving.core`."""
