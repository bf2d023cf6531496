"""The Feast repository, generated from the contracts, and the files its offline store reads."""
