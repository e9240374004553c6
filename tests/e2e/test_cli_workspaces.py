"""Workspaces as the stock CLI finds, makes, lists and deletes them."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.configuration import Configuration


def test_init_creates_the_workspace_in_its_project(configuration: Configuration) -> None:
    project = f"p-{uuid.uuid4().hex[:8]}"
    configuration.cloud(f'name = "{configuration.name}"\n      project = "{project}"').init()
    workspace = configuration.workspace()
    assert workspace["attributes"]["terraform-version"] == "1.11.4"
    found = configuration.call("GET", f"/api/v2/organizations/main/projects?filter[names]={project}")["data"]
    assert [each["id"] for each in found] == [workspace["relationships"]["project"]["data"]["id"]]
    assert configuration.must("workspace", "show").strip() == configuration.name


@pytest.mark.parametrize("tags", ['["{tag}", "more"]', '{{ {tag} = "dev" }}'], ids=["set", "map"])
def test_t24_tags_find_the_workspaces(configuration: Configuration, tags: str) -> None:
    tag = f"t{uuid.uuid4().hex[:8]}"
    configuration.cloud("tags = " + tags.format(tag=tag))
    terminal = configuration.at_terminal("init")
    terminal.answer(configuration.name)
    assert terminal.ends() == 0, terminal.said
    other = configuration.name + "-other"
    configuration.must("workspace", "new", other)
    assert configuration.must("workspace", "list").split() == [configuration.name, "*", other]
    configuration.must("workspace", "select", configuration.name)
    assert tag in configuration.workspace()["attributes"]["tag-names"]
    assert "Resources: 1 added" in configuration.apply()
    configuration.must("workspace", "delete", other)
    assert configuration.must("workspace", "list").split() == ["*", configuration.name]


def test_a_prefix_names_several_workspaces(configuration: Configuration) -> None:
    configuration.remote(f'prefix = "{configuration.name}-"')
    assert "No existing workspaces" in configuration.refused("init", "-input=false")
    configuration.must("workspace", "new", "dev")
    configuration.init()
    configuration.must("workspace", "new", "live")
    assert configuration.must("workspace", "list").split() == ["dev", "*", "live"]
    assert "Resources: 1 added" in configuration.apply()
    configuration.must("workspace", "select", "dev")
    assert configuration.state()["resources"] == []
    assert "is not empty" in configuration.refused("workspace", "delete", "live")
    configuration.must("workspace", "delete", "-force", "live")
    assert configuration.must("workspace", "list").split() == ["*", "dev"]


def test_t23_a_workspace_with_resources_is_deleted_by_force_alone(configuration: Configuration) -> None:
    configuration.cloud(f'tags = ["t{uuid.uuid4().hex[:8]}"]')
    terminal = configuration.at_terminal("init")
    terminal.answer(configuration.name)
    assert terminal.ends() == 0, terminal.said
    configuration.apply()
    configuration.must("workspace", "new", configuration.name + "-other")
    assert "is not empty" in configuration.refused("workspace", "delete", configuration.name)
    configuration.must("workspace", "delete", "-force", configuration.name)
    assert configuration.name not in configuration.must("workspace", "list").split()
