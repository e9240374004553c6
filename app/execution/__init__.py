"""How one phase of a run is carried out, from the claim of its job to its result."""
