"""JSON:API: documents in and out.  Names have hyphens here and nowhere else."""

from backend_api.jsonapi.declarations import Attribute, Ref, ToMany, ToOne
from backend_api.jsonapi.documents import View
from backend_api.jsonapi.incoming import Incoming
from backend_api.jsonapi.paging import Page
from backend_api.jsonapi.resource import Described, Resource, described, page_of, read_action

__all__ = [
    "Attribute",
    "Described",
    "Incoming",
    "Page",
    "Ref",
    "Resource",
    "ToMany",
    "ToOne",
    "View",
    "described",
    "page_of",
    "read_action",
]
