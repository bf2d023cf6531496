"""Production models under observation: drift, and champion against challenger."""
