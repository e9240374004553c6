"""The pages: templates, forms and one event stream, for people with a browser."""
