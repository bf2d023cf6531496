"""The Feast repository, generated from the contracts, and the files of its offline store."""
