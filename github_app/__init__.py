"""The GitHub App: webhooks in, checks out."""
