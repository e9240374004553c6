"""The API that the terraform CLI and the TFE clients speak, under /api/v2."""
