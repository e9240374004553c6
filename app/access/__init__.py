"""Who there is, who they are, and what they may do."""

from app.access.actions import account, create_user, find_user, show_user, visible_users
from app.access.sessions import login_link

__all__ = ["account", "create_user", "find_user", "login_link", "show_user", "visible_users"]
