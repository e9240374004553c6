"""Tortoise's engines, made safe against cancellation and concurrent writers."""
