"""HTTP as every surface needs it: routes, middleware, limits, bodies, signed URLs.  Knows nothing of the
domain."""
