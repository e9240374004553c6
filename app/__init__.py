"""Stateroom: runs of Terraform, somewhere else than on your machine."""
