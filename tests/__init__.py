"""Unit tests are pure and fast, integration tests use real services, e2e tests drive the real CLI."""
