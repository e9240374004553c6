"""The pages about GitHub, one module a page; their templates are in `github_app/templates`."""
