"""Training sets of the tick model: rows and labels, splits, manifests and reproduction."""
